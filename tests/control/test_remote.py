"""The contract of Remote, held by each implementation: fake, local, ssh; and on the lab's hosts."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from loadproof.control import inventory
from loadproof.control.fake import ShellFake
from loadproof.control.local import LocalRemote
from loadproof.control.remote import Remote, checked, connect
from loadproof.control.ssh import SshRemote
from loadproof.errors import LocalDisk, NotReady, StepFailed
from loadproof.plan.shell import quote
from loadproof.plan.values import Host
from tests.control.servers import SUDO_PASSES, serving

ODD_NAMES = ["plain", "two words", "it's", 'a"quote', "$HOME`id`;x", "new\nline", "-rf", "ümlaut", "a*b?[c]"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory):
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


@pytest.fixture(params=["fake", "local", "ssh", "ssh with sudo", pytest.param("lab", marks=pytest.mark.lab)])
def remote(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Remote]:
    made: Remote
    if request.param == "lab":
        made = connect(inventory.read(request.getfixturevalue("lab_inventory")).hosts[0])
    elif request.param == "fake":
        made = ShellFake(Host("h1", ("app",), "h1"))
    elif request.param == "local":
        sudo = tmp_path / "sudo-bin" / "sudo"
        sudo.parent.mkdir()
        sudo.write_text(SUDO_PASSES)
        sudo.chmod(0o755)
        monkeypatch.setenv("PATH", f"{sudo.parent}:{os.environ['PATH']}")
        made = LocalRemote(Host("h1", ("app",), "h1", connection="local"))
    else:
        user = "root" if request.param == "ssh" else "somebody"
        made = SshRemote(request.getfixturevalue("server").host(user))
    yield made
    made.close()
    made.close()


@pytest.fixture
def folder(remote: Remote) -> Iterator[str]:
    """A scratch folder on the host."""
    path = checked(remote, "mktemp -d", 10).stdout.strip()
    yield path
    checked(remote, quote("rm", "-rf", "--", path), 10)


def test_says_who_it_is(remote: Remote) -> None:
    finished = remote.run("id -u; echo to stderr >&2", 10)
    assert (finished.exited, finished.stderr) == (0, "to stderr\n")
    assert finished.host == remote.host.name
    assert finished.command == "id -u; echo to stderr >&2"
    assert finished.stdout.strip().isdigit()


def test_a_failing_command_is_an_answer(remote: Remote) -> None:
    assert remote.run("exit 3", 10).exited == 3
    assert remote.run("no-such-program-here", 10).exited == 127
    with pytest.raises(StepFailed) as caught:
        checked(remote, "echo one; echo two >&2; exit 4", 10)
    assert caught.value.exited == 4
    assert caught.value.last_lines == "one\ntwo"


def test_death_by_signal_is_128_plus_n(remote: Remote) -> None:
    assert remote.run("kill -9 $$", 10).exited in (137, 128 + 9)


def test_standard_input_arrives_whole_and_ends(remote: Remote) -> None:
    text = "".join(f"line {number} ü\n" for number in range(30_000))
    finished = remote.run("sha256sum; cat", 20, stdin=text)
    assert finished.stdout.split()[0] == hashlib.sha256(text.encode()).hexdigest()


def test_a_command_that_reads_no_input_is_no_trouble(remote: Remote) -> None:
    assert remote.run("echo done", 10, stdin="x" * 3_000_000).stdout == "done\n"


def test_input_and_output_both_large(remote: Remote) -> None:
    text = "0123456789abcdef" * 250_000
    assert remote.run("cat", 30, stdin=text).stdout == text


def test_output_on_both_streams_does_not_block(remote: Remote) -> None:
    finished = remote.run("head -c 3000000 /dev/zero | tr '\\0' e >&2; head -c 3000000 /dev/zero", 30)
    assert (len(finished.stdout), len(finished.stderr)) == (3_000_000, 3_000_000)


def test_what_is_no_utf8_is_replaced(remote: Remote) -> None:
    assert remote.run("printf 'a\\377b'", 10).stdout == "a\ufffdb"


@pytest.mark.parametrize("word", [*ODD_NAMES, "", "\\", "!x", "%s", "~", "{a,b}"])
def test_quoting_survives_the_way(remote: Remote, word: str) -> None:
    assert remote.run(quote("printf", "%s", word), 10).stdout == word


@pytest.mark.parametrize("name", ODD_NAMES)
def test_put_and_fetch_with_odd_names(remote: Remote, folder: str, tmp_path: Path, name: str) -> None:
    data = bytes(range(256)) * 500
    remote.put(data, f"{folder}/{name}", mode=0o600)
    mode, owner = remote.run(quote("stat", "-c", "%a %u", "--", f"{folder}/{name}"), 10).stdout.split()
    assert mode == "600"
    assert owner.isdigit()
    remote.fetch(f"{folder}/{name}", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == data
    assert os.listdir(tmp_path) == [entry for entry in os.listdir(tmp_path) if not entry.endswith(".part")]
    assert remote.run(quote("ls", "-A", folder) + " | grep -c part", 10).stdout.strip() == "0"


def test_put_of_a_file_replaces_whole(remote: Remote, folder: str, tmp_path: Path) -> None:
    local = tmp_path / "big"
    local.write_bytes(os.urandom(3_000_000))
    remote.put(b"old", f"{folder}/x")
    remote.put(local, f"{folder}/x")
    assert remote.run(f"sha256sum <{folder}/x", 10).stdout.split()[0] == digest(local)
    remote.put(b"", f"{folder}/x", 0o755)
    assert remote.run(f"stat -c '%s %a' {folder}/x", 10).stdout == "0 755\n"


def test_put_and_fetch_that_cannot(remote: Remote, folder: str, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="cannot write"):
        remote.put(b"x" * 1_000_000, f"{folder}/none/x")
    with pytest.raises(StepFailed, match="cannot read"):
        remote.fetch(f"{folder}/none", tmp_path / "back")
    assert not list(tmp_path.glob("back*"))


def test_a_full_disk_here_is_not_blamed_on_the_link(remote: Remote, folder: str, tmp_path: Path) -> None:
    if isinstance(remote, ShellFake):
        pytest.skip("copies by itself")
    remote.put(b"x" * 300_000, f"{folder}/x")
    (tmp_path / "back.part").symlink_to("/dev/full")
    with pytest.raises(LocalDisk, match="No space left on device .* MB are free") as caught:
        remote.fetch(f"{folder}/x", tmp_path / "back")
    assert caught.value.exit_code == 3
    assert str(tmp_path) in caught.value.where
    assert all((caught.value.kept, caught.value.next))
    assert not list(tmp_path.glob("back*"))
    assert remote.run("echo here", 10).stdout == "here\n"


def test_a_command_beyond_its_time_is_ended(remote: Remote, folder: str) -> None:
    started = time.monotonic()
    with pytest.raises(NotReady, match="not within 1 s"):
        remote.run(f"echo $$ >{folder}/pid; echo seen; sleep 60", 1)
    assert time.monotonic() - started < 9
    assert remote.run(f"kill -0 $(cat {folder}/pid)", 10).exited != 0


def test_an_exit_code_of_124_is_the_commands_own(remote: Remote) -> None:
    assert remote.run("exit 124", 10).exited == 124


def test_twenty_at_a_time(remote: Remote) -> None:
    with ThreadPoolExecutor(20) as pool:
        ran = list(pool.map(lambda n: remote.run(f"echo {n}; sleep 0.02", 20).stdout, range(20)))
    assert ran == [f"{number}\n" for number in range(20)]


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_fetch_keeps_private_files_private_enough(remote: Remote, folder: str, tmp_path: Path) -> None:
    remote.put(b"secret", f"{folder}/s", 0o600)
    remote.fetch(f"{folder}/s", tmp_path / "s")
    assert stat.S_ISREG((tmp_path / "s").stat().st_mode)


SUDO_IN_GERMAN = """#!/bin/sh
case "${LC_ALL:-$LANG}" in
    C) echo "sudo: a password is required" >&2;;
    *) echo "sudo: Ein Passwort ist notwendig" >&2;;
esac
exit 1
"""


def test_sudo_is_understood_whatever_the_language(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sudo").write_text(SUDO_IN_GERMAN)
    (tmp_path / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("LANG", "de_DE.UTF-8")
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StepFailed, match="sudo wants a password"):
        LocalRemote(Host("here", ("app",), "here")).run("true", 10)
