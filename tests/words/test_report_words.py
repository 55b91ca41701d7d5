"""Every way of naming runs to `report`, with ./inv and with plain invoke."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import tasks
from tests.words.words import REPO, messages

A, B = "20261124T031500Z-a", "20261124T041500Z-b"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["report"], ["report"]),
        (["report", A, B], ["report", f"--run={A}", f"--run={B}"]),
        (["report", "--run", A, "--run", B], ["report", f"--run={A}", f"--run={B}"]),
        (["report", "--run", "-1", "-2"], ["report", "--run=-1", "--run=-2"]),
        (["report", "--json", A, f"--run={B}"], ["report", "--json", f"--run={A}", f"--run={B}"]),
        (["report", "--help"], ["report", "--help"]),
        (["report", "--run"], ["report", "--run"]),
        (["bench", "--name", "report", A], ["bench", "--name", "report", A]),
        ([], []),
    ],
)
def test_words_after_report_are_runs(words: list[str], expected: list[str]) -> None:
    assert tasks.repeated(words) == expected


@pytest.mark.parametrize("program", [["./inv"], [str(Path(sys.executable).with_name("invoke"))]])
@pytest.mark.parametrize(
    "form", ["{a} {b}", "--run {a} --run {b}", "--run={a} {b} --json", "-1 {b}", "--run -1 {b}", "-2"]
)
def test_each_form_reads_each_run(tmp_path: Path, program: list[str], form: str) -> None:
    """The first run is there, the second is not: so the message names it only when both were understood."""
    (tmp_path / A / "trials").mkdir(parents=True)
    done = subprocess.run(
        [*program, "report", *form.format(a=A, b=B).split()], cwd=REPO, stdin=subprocess.DEVNULL,
        env=os.environ | {"LOADPROOF_RESULTS": str(tmp_path)}, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    (message,) = messages(done.stderr)
    missing = "-2" if form == "-2" else B
    assert done.returncode == 64 and f"there is no run {missing} " in message.error, done.stderr
