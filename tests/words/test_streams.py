"""Whoever reads our output may go away, or take ASCII only: what is being done goes on, and exit codes stay."""

from __future__ import annotations

import os
import pty
import subprocess
from pathlib import Path

import pytest

from tests.words.test_signals import inventory, silent
from tests.words.words import HEEDING, REPO

__all__ = ["silent"]
ENV = os.environ | {"PYTHONIOENCODING": ""}


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    done = subprocess.run(
        ["sh", "-c", "(sleep 1; ./inv runs; echo $? >&2) | true"], cwd=REPO, capture_output=True,
        env=ENV | {"LOADPROOF_RESULTS": str(tmp_path)}, text=True, timeout=60,
    )  # fmt: skip
    assert done.stderr.strip() == "141" and not done.stdout


def test_talk_that_nobody_hears_ends_nothing(tmp_path: Path, silent: dict[str, int]) -> None:
    path = inventory(tmp_path / "hosts.yml", silent, ansible_ssh_common_args="-o ConnectTimeout=2")
    gone, ours = os.pipe()
    os.close(gone)
    try:
        done = subprocess.run(
            ["./inv", "status", "-i", str(path)], cwd=REPO, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=ours, text=True, timeout=60,
        )  # fmt: skip
    finally:
        os.close(ours)
    assert done.returncode == 3, "as if it had been heard"
    assert "app1" in done.stdout and "load1" in done.stdout


def test_a_terminal_that_is_closed(tmp_path: Path, silent: dict[str, int]) -> None:
    path = inventory(tmp_path / "hosts.yml", silent, ansible_ssh_common_args="-o ConnectTimeout=60")
    terminal, theirs = pty.openpty()
    with subprocess.Popen(
        [*HEEDING, "setsid", "--ctty", "./inv", "status", "-i", str(path)], cwd=REPO,
        stdin=theirs, stdout=theirs, stderr=theirs,
    ) as process:  # fmt: skip
        os.close(theirs)
        seen = b""
        while b"inventory:" not in seen:
            seen += os.read(terminal, 4096)
        os.close(terminal)
        assert process.wait(30) == 4


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_letters_that_the_output_cannot_spell(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "20261124T031500Z-a" / "trials").mkdir(parents=True)
    done = subprocess.run(
        ["./inv", "runs"], cwd=REPO, env=ENV | {"LOADPROOF_RESULTS": str(tmp_path), "PYTHONIOENCODING": encoding},
        capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and b"20261124T031500Z-a" in done.stdout, done.stderr


def test_words_that_are_no_utf_8(tmp_path: Path) -> None:
    done = subprocess.run(
        [b"./inv", b"plan", b"--note", b"gr\xf6sse"], cwd=REPO, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 64 and "--note: 'gr\\udcf6sse' has control characters" in done.stderr
