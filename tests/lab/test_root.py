"""Single commands as root: sudo that asks for a password, callers with a strict umask, callers that are killed."""

from __future__ import annotations

import os
import pty
import signal
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from lab import hosts, network, root
from lab.processes import start_time
from loadproof.errors import LabUnavailable
from tests.lab.asking import wait_until

REPO = Path(__file__).parents[2]
# Like sudo with a ticket: -v asks, -n does not.
SUDO = """#!/bin/sh
echo "$*" >>"$CALLS/sudo"
case $1 in
-v) printf 'Password: '; read -r word; [ "$word" = open ] || exit 1; touch "$CALLS/ticket" ;;
-n) [ -e "$CALLS/ticket" ] || { echo 'sudo: a password is required' >&2; exit 1; }; shift; exec "$@" ;;
esac
"""
NEED_ROOT = """
import os
from lab.root import need_root
from loadproof.errors import LabUnavailable
os.geteuid = lambda: 1000
try:
    need_root()
    print("has root")
except LabUnavailable as error:
    print(error.what, "|", error.kept, "|", error.next)
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a sudo of ours, first on PATH, that writes down how it was called."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sudo").write_text(SUDO)
    (tmp_path / "bin" / "sudo").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(REPO))
    return tmp_path


def asked(typed: bytes | None) -> str:
    """What a caller who is not root is told: on a terminal where `typed` comes in, or (None) without one."""
    ours, theirs = pty.openpty()
    try:
        if typed is not None:
            os.write(ours, typed)
        stdin = subprocess.DEVNULL if typed is None else theirs
        words = [sys.executable, "-c", NEED_ROOT]
        done = subprocess.run(words, stdin=stdin, capture_output=True, text=True, timeout=30)
        return done.stdout + done.stderr
    finally:
        os.close(ours)
        os.close(theirs)


def test_on_a_terminal_sudo_asks_once_and_the_rest_goes_on_without(calls: Path) -> None:
    assert "has root" in asked(b"open\n")
    assert (calls / "sudo").read_text().splitlines() == ["-n true", "-v", "-n true"]
    assert "has root" in asked(b"")
    assert (calls / "sudo").read_text().splitlines()[3:] == ["-n true"], "a ticket that is there is used"


def test_a_wrong_password_is_a_refusal_that_touched_nothing(calls: Path) -> None:
    said = asked(b"wrong\n")
    assert "a password is required" in said and "nothing was touched" in said and "sudo -v" in said


def test_without_a_terminal_nobody_is_asked(calls: Path) -> None:
    assert "a password is required" in asked(None)
    assert (calls / "sudo").read_text().splitlines() == ["-n true"]


def test_a_ticket_that_ends_on_the_way_does_not_say_that_nothing_was_touched(
    calls: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabUnavailable, match="a password is required") as caught:
        root.must(["true"], what="no bridge", root=True)
    assert "nothing was touched" not in caught.value.kept and "goes on" in caught.value.kept
    assert caught.value.next.startswith("sudo -v")


def test_a_warning_of_sudos_is_no_refusal(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    warning = "#!/bin/sh\necho 'sudo: unable to resolve host vm: Name or service not known' >&2\nshift\nexec \"$@\"\n"
    (calls / "bin" / "sudo").write_text(warning)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabUnavailable, match="no bridge: exit 1 from sh") as caught:
        root.must(["sh", "-c", "echo 'RTNETLINK answers: busy' >&2; exit 1"], what="no bridge", root=True)
    assert "needs root" not in caught.value.what


def umasked(script: str, *words: str, stdin: bytes = b"") -> None:
    """Run one of the scripts as sudo does for a caller with umask 077."""
    done = subprocess.run(
        ["sh", "-c", 'umask 077; exec "$0" "$@"', "sh", "-c", script, "sh", *words],
        input=stdin, capture_output=True, timeout=20,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_files_that_root_writes_can_be_read_by_a_caller_with_a_strict_umask(tmp_path: Path) -> None:
    umasked(hosts.BOOT, str(tmp_path), "", str(min(os.sched_getaffinity(0))), "true")
    umasked(network.MANAGER_FILE, str(tmp_path / "conf.d" / "x.conf"), stdin=b"[keyfile]\n")
    for name in ("pid", "console.log", "conf.d/x.conf"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o644, name
    assert stat.S_IMODE((tmp_path / "conf.d").stat().st_mode) == 0o755


TETHERED = """
import sys
from lab.root import run
run(["sh", "-c", 'echo $$ >"$1"; exec sleep 60', "sh", sys.argv[1]], tethered=True)
"""


def pid_in(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().endswith("\n"), "the command runs")
    return int(path.read_text())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_tethered_command_ends_with_its_caller(tmp_path: Path, number: signal.Signals) -> None:
    environment: Mapping[str, str] = os.environ | {"PYTHONPATH": str(REPO)}
    words = [sys.executable, "-c", TETHERED, str(tmp_path / "pid")]
    with subprocess.Popen(words, env=environment) as caller:
        pid = pid_in(tmp_path / "pid")
        caller.send_signal(number)
    wait_until(lambda: not start_time(pid), "the command has ended", within=5)


def test_a_tethered_command_gives_what_it_said_and_its_exit_code() -> None:
    done = root.run(["sh", "-c", "cat; echo out; echo err >&2; exit 7"], tethered=True)
    assert (done.exited, done.stdout, done.stderr) == (7, "out\n", "err\n")
    late = root.run(["sh", "-c", "echo begun; exec sleep 60"], tethered=True, within=0.5)
    assert late.exited == 124 and late.stdout == "begun\n" and late.seconds < 10
