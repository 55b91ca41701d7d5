"""Real sudo on a real host: allowed without a password, wanting one, missing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadproof.control import inventory
from loadproof.control.remote import checked, connect
from loadproof.errors import StepFailed
from loadproof.plan.values import Host

pytestmark = pytest.mark.lab
USER = "lptest"
MAKE = f"""set -e
id {USER} >/dev/null 2>&1 || useradd --create-home --shell /bin/sh {USER}
install -d -m 700 -o {USER} /home/{USER}/.ssh
cat >/home/{USER}/.ssh/authorized_keys; chown {USER} /home/{USER}/.ssh/authorized_keys
rm -f /etc/sudoers.d/{USER}
"""
ALLOW = f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER}"
WITH_PASSWORD = f"echo '{USER} ALL=(ALL) ALL' >/etc/sudoers.d/{USER}"


@pytest.fixture(scope="module")
def host(lab_inventory: Path) -> Iterator[Host]:
    """A lab host on which the test user can log in."""
    host = inventory.read(lab_inventory).group("load")[0]
    root = connect(host)
    public = Path(f"{host.identity_file}.pub").read_text()
    checked(root, MAKE, 30, public)
    yield host
    checked(root, f"rm -f /etc/sudoers.d/{USER}; userdel --remove {USER} 2>/dev/null; true", 30)
    root.close()


def as_root(host: Host, command: str) -> None:
    remote = connect(host)
    checked(remote, command, 30)
    remote.close()


def test_passwordless_sudo_is_root(host: Host, tmp_path: Path) -> None:
    as_root(host, ALLOW)
    remote = connect(dataclasses.replace(host, ssh_user=USER))
    assert remote.run("id -u", 10).stdout == "0\n"
    assert remote.run("cat", 10, stdin="in").stdout == "in"
    remote.put(b"x" * 100_000, "/root/lptest file", 0o600)
    assert (
        remote.run("stat -c '%U %a %s' '/root/lptest file'; rm '/root/lptest file'", 10).stdout
        == "root 600 100000\n"
    )
    remote.fetch("/etc/shadow", tmp_path / "s")
    assert remote.run("exit 7", 10).exited == 7
    remote.close()


@pytest.mark.parametrize("rule", [WITH_PASSWORD, f"rm -f /etc/sudoers.d/{USER}"])
def test_sudo_that_wants_a_password_says_so_and_does_not_hang(host: Host, rule: str) -> None:
    as_root(host, rule)
    remote = connect(dataclasses.replace(host, ssh_user=USER))
    with pytest.raises(StepFailed, match=f"sudo wants a password for user {USER}") as caught:
        remote.run("true", 10)
    assert "NOPASSWD" in caught.value.next
    with pytest.raises(StepFailed, match="sudo wants a password"):
        remote.put(b"x", "/tmp/lptest-not", 0o600)
    remote.close()


def test_no_sudo_at_all(host: Host) -> None:
    as_root(host, "mv /usr/bin/sudo /usr/bin/sudo.away")
    try:
        remote = connect(dataclasses.replace(host, ssh_user=USER))
        with pytest.raises(StepFailed, match=f"sudo is missing for user {USER}"):
            remote.run("true", 10)
        remote.close()
    finally:
        as_root(host, "mv /usr/bin/sudo.away /usr/bin/sudo")
