"""The launcher, with a Python of ours that only writes down what it is asked: no network, no packages."""

from __future__ import annotations

import os
import pty
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.words.words import messages

REPO = Path(__file__).resolve().parents[1]
PYTHON = """#!/bin/sh
echo "$*" >>"$TOLD/python"
case "$*" in
*version_info\\ *) exit "${TOO_OLD:-0}" ;;
*ensurepip*) [ -z "${NO_VENV:-}" ] || [ -e "$TOLD/apt-get" ] ;;
*version_info*) echo python3.11-venv ;;
'-m venv '*) [ -z "${VENV_FAILS:-}" ] && mkdir -p "$3/bin" && ln -s "$(readlink -f "$0")" "$3/bin/python" ;;
*'-m pip '*) [ -z "${PIP_WAITS:-}" ] || sleep 5; exit "${PIP_FAILS:-0}" ;;
*'-m invoke '*) shift 5; for word; do printf '%s\\n' "[$word]"; done ;;
esac
"""
APT = """#!/bin/sh
echo "$*" >>"$TOLD/apt-get"
"""


@dataclass
class Clone:
    """A clone whose `inv` is the real one."""

    folder: Path
    told: Path
    python: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        path = f"{self.told}/bin:{os.environ['PATH']}"
        named = {"TOLD": str(self.told), "LOADPROOF_PYTHON": str(self.python), "PATH": path}
        return {**os.environ, **named, **self.extra}

    def inv(self, *words: str, stdin: int = subprocess.DEVNULL) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self.folder / "inv"), *words], env=self.environment, stdin=stdin, capture_output=True, text=True,
            timeout=20,
        )  # fmt: skip

    def made(self) -> int:
        """How often an environment was begun."""
        lines = (self.told / "python").read_text().splitlines()
        return sum(line.startswith("-m venv ") for line in lines)

    def typed(self, text: bytes, *words: str) -> subprocess.CompletedProcess[str]:
        """On a terminal where `text` comes in."""
        ours, theirs = pty.openpty()
        try:
            os.write(ours, text)
            return self.inv(*words, stdin=theirs)
        finally:
            os.close(ours)
            os.close(theirs)


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    folder, told = tmp_path / "My clone", tmp_path / "told"
    (folder / "locks").mkdir(parents=True)
    (folder / "docs").mkdir()
    (told / "bin").mkdir(parents=True)
    shutil.copy(REPO / "inv", folder / "inv")
    (folder / "locks" / "control.lock").write_text("one==1\n")
    (folder / "docs" / "words.txt").write_text("the words\n")
    for path, text in ((told / "python3.11", PYTHON), (told / "bin/apt-get", APT)):
        path.write_text(text)
        path.chmod(0o755)
    (told / "bin/sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (told / "bin/sudo").chmod(0o755)
    return Clone(folder, told, told / "python3.11")


def test_the_launcher_stays_small() -> None:
    assert len((REPO / "inv").read_text().splitlines()) < 80


def test_the_environment_is_made_once_and_words_arrive_as_they_were_typed(clone: Clone) -> None:
    first = clone.inv("bench", "--note", "two  words", "*")
    assert first.returncode == 0 and first.stdout == "[bench]\n[--note]\n[two  words]\n[*]\n", first
    assert "making the environment" in first.stderr
    second = clone.inv("runs")
    assert second.stderr == "" and second.stdout == "[runs]\n" and clone.made() == 1


def test_without_words_they_are_listed_and_nothing_is_made(clone: Clone) -> None:
    done = clone.inv()
    assert (done.returncode, done.stdout) == (0, "the words\n")
    assert not (clone.folder / ".venv").exists() and not (clone.told / "python").exists()


def test_a_changed_lock_makes_it_anew(clone: Clone) -> None:
    clone.inv("runs")
    (clone.folder / "locks" / "control.lock").write_text("one==2\n")
    assert clone.inv("runs").stdout == "[runs]\n" and clone.made() == 2
    assert clone.inv("runs").stderr == "" and clone.made() == 2


def test_a_python_that_was_removed_or_replaced_makes_it_anew(clone: Clone) -> None:
    newer = clone.told / "python3.12"
    link = clone.told / "python3"
    shutil.copy(clone.python, newer)
    link.symlink_to(clone.python)
    clone.python = link
    clone.inv("runs")
    python = clone.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(link)  # as venv does: the name that it was called by, not what is behind it
    assert clone.inv("runs").stderr == "" and clone.made() == 1
    link.unlink()
    link.symlink_to(newer)  # the distribution's upgrade
    assert clone.inv("runs").stdout == "[runs]\n" and clone.made() == 2
    newer.unlink()
    clone.python = clone.told / "python3.11"
    assert clone.inv("runs").stdout == "[runs]\n" and clone.made() == 3


def four_parts(done: subprocess.CompletedProcess[str], code: int, said: str) -> None:
    (message,) = messages(done.stderr)
    assert done.returncode == code and said in message.error, done
    assert message.where and message.kept and message.next, done


def test_no_python_is_said_in_four_parts(clone: Clone) -> None:
    clone.extra = {"TOO_OLD": "1"}
    four_parts(clone.inv("runs"), 3, "no python3 of version 3.11 or newer was found")
    clone.python = Path("/nowhere/python3")
    four_parts(clone.inv("runs"), 3, "/nowhere/python3")


@pytest.mark.parametrize(
    ("fault", "said"), [("VENV_FAILS", "-m venv failed"), ("PIP_FAILS", "pip could not install")]
)
def test_an_environment_that_could_not_be_made_is_made_at_the_next_start(
    clone: Clone, fault: str, said: str
) -> None:
    clone.extra = {fault: "1"}
    four_parts(clone.inv("runs"), 3, said)
    clone.extra = {}
    assert clone.inv("runs").stdout == "[runs]\n" and clone.made() == 2


def test_a_signal_while_it_is_made_is_said_and_it_is_made_anew(clone: Clone) -> None:
    clone.extra = {"PIP_WAITS": "1"}
    with subprocess.Popen(
        [str(clone.folder / "inv"), "runs"], env=clone.environment, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    ) as begun:  # fmt: skip
        end = time.monotonic() + 10
        while "-m pip" not in (
            (clone.told / "python").read_text() if (clone.told / "python").exists() else ""
        ):
            assert time.monotonic() < end
            time.sleep(0.02)
        os.killpg(begun.pid, signal.SIGINT)  # as a terminal does
        _, err = begun.communicate(timeout=10)
    four_parts(subprocess.CompletedProcess([], begun.returncode, "", err), 4, "interrupted")
    clone.extra = {}
    assert clone.inv("runs").stdout == "[runs]\n" and clone.made() == 2


def test_the_package_for_venv_is_asked_for_on_a_terminal_only(clone: Clone) -> None:
    clone.extra = {"NO_VENV": "1"}
    for answer in (b"n\n", b"\x04"):
        declined = clone.typed(answer, "runs")
        assert declined.returncode == 4 and "nothing was touched" in declined.stderr, declined
        assert "python3.11-venv" in declined.stderr and not (clone.told / "apt-get").exists()
    assert clone.typed(b"y\n", "runs").stdout == "[runs]\n"
    (clone.told / "apt-get").unlink()
    shutil.rmtree(clone.folder / ".venv")
    assert clone.inv("runs").stdout == "[runs]\n", "nobody is there to ask"
    assert "install -y -qq --no-upgrade" in (clone.told / "apt-get").read_text()


def test_through_a_link_it_is_the_clones(clone: Clone, tmp_path: Path) -> None:
    """Another project's .venv beside the link is not ours to touch."""
    other = tmp_path / "other"
    (other / ".venv").mkdir(parents=True)
    (other / ".venv" / "precious").touch()
    (other / "inv").symlink_to(clone.folder / "inv")
    done = subprocess.run(
        ["./inv", "runs"], cwd=other, env=clone.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )  # fmt: skip
    assert done.stdout == "[runs]\n" and (clone.folder / ".venv" / "base").exists()
    assert sorted(path.name for path in other.rglob("*")) == [".venv", "inv", "precious"]


def test_an_environment_of_somebody_else_is_kept(clone: Clone) -> None:
    precious = clone.folder / ".venv" / "precious"
    precious.parent.mkdir()
    precious.touch()
    done = clone.inv("runs")
    assert done.returncode == 3 and precious.exists() and clone.made() == 0
    assert "was not made by ./inv" in done.stderr and "next:  move it away" in done.stderr


def test_a_copy_of_the_launcher_alone_does_nothing(clone: Clone) -> None:
    (clone.folder / "locks" / "control.lock").unlink()
    done = clone.inv("runs")
    assert done.returncode == 3 and "no whole clone" in done.stderr
    assert not (clone.folder / ".venv").exists() and not (clone.folder / ".cache").exists()
