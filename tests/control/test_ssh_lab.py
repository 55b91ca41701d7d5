"""Silence and loss on a real host: an sshd of its own on port 2222, so that nobody else is disturbed."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadproof.control import inventory
from loadproof.control.remote import Remote, checked, connect
from loadproof.control.ssh import SshRemote
from loadproof.errors import HostUnreachable, LinkLost
from loadproof.plan.values import Host

pytestmark = pytest.mark.lab
PORT = 2222
UNIT = "test-sshd-2222"
DROP = f"ip rule {{}} ipproto 6 sport {PORT} blackhole"
# the session's own sshd stops answering, and goes on after a while whatever the test does
FREEZE = (
    "p=$PPID; while [ $p -gt 1 ] && ! grep -q sshd /proc/$p/comm; do p=$(awk '/^PPid/{print $2}' /proc/$p/status); done; "
    "setsid sh -c \"sleep 25; kill -CONT $p\" >/dev/null 2>&1 </dev/null & "
    "sleep 0.2; kill -STOP $p; sleep 60"
)  # fmt: skip


@pytest.fixture(scope="module")
def host(lab_inventory: Path) -> Host:
    return inventory.read(lab_inventory).group("load")[0]


@pytest.fixture(scope="module")
def beside(host: Host) -> Iterator[Remote]:
    """A connection that stays."""
    remote = connect(host)
    yield remote
    remote.close()


@pytest.fixture(scope="module")
def apart(host: Host, beside: Remote) -> Iterator[Host]:
    """The same host through an sshd of its own."""
    checked(beside, f"systemctl reset-failed {UNIT}", 10, ok=(0, 1))
    checked(beside, f"systemd-run --unit={UNIT} /usr/sbin/sshd -D -p {PORT} -o PidFile=none", 10)
    yield dataclasses.replace(host, ssh_port=PORT)
    checked(beside, f"systemctl stop {UNIT}", 10)


def test_a_frozen_sshd_is_noticed_in_time(apart: Host) -> None:
    remote = connect(apart)
    started = time.monotonic()
    with pytest.raises(LinkLost, match="the outcome is unknown"):
        remote.run(FREEZE, 120)
    assert time.monotonic() - started < 15
    remote.close()


def test_a_dropped_port_is_noticed_in_time(apart: Host, beside: Remote) -> None:
    remote = connect(apart)
    assert remote.run("true", 10).ok
    checked(beside, DROP.format("add"), 10)
    try:
        begun, errors = time.monotonic(), []

        def fails(other: Remote) -> None:
            with pytest.raises((LinkLost, HostUnreachable)) as caught:
                other.run("true", 60)
            errors.append((time.monotonic() - begun, caught.value))

        fresh = SshRemote(apart)
        threads = [threading.Thread(target=fails, args=(other,)) for other in (remote, fresh)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(errors) == 2
        assert all(seconds < 15 for seconds, _ in errors), errors
        assert "no answer" in " ".join(str(error) for _, error in errors)
    finally:
        checked(beside, DROP.format("del"), 10)
    assert connect(apart).run("true", 10).ok


def test_a_killed_session_is_a_lost_link(apart: Host) -> None:
    remote = connect(apart)
    with pytest.raises(LinkLost):
        remote.run(
            FREEZE.replace("kill -STOP $p", "kill -KILL $p").replace("sleep 25; kill -CONT $p", ":"), 30
        )
    assert remote.run("echo back", 10).stdout == "back\n"
    remote.close()
