"""Every way of naming runs to `report`, with ./inv and with plain invoke; and how it exits."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from invoke.context import Context
from invoke.exceptions import Exit

from tests.words.words import REPO, messages
from words import given, places, runs, talk

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
        (["report", "--run"], ["report", "--run="]),
        (["analyse", A], ["analyse", f"--run={A}"]),
        (["variance", "-1", B, "--json"], ["variance", "--run=-1", f"--run={B}", "--json"]),
        (["bench", "--name", "report", A], ["bench", "--name", "report", A]),
        ([], []),
        (["share", A], ["share", f"--run={A}"]),
        (["share"], ["share"]),
        (["share", "--run", A], ["share", "--run", A]),
    ],
)
def test_words_after_report_are_runs(words: list[str], expected: list[str]) -> None:
    assert given.repeated(words) == expected


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


STORED = REPO / "tests" / "data" / "runs" / "20261124T031500Z-format1"


def test_a_report_that_is_not_valid_is_printed_all_the_same_and_exits_2(tmp_path: Path) -> None:
    """The stored run is older than some of what is asked: its verdict is UNKNOWN."""
    shutil.copytree(STORED, tmp_path / STORED.name)
    done = subprocess.run(
        ["./inv", "report"], cwd=REPO, stdin=subprocess.DEVNULL, env=os.environ | {"LOADPROOF_RESULTS": str(tmp_path)},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2 and "Traceback" not in done.stderr, done.stderr
    first, *rest = done.stdout.split("\n")
    assert first.startswith("UNKNOWN: ") and "generator_rate" in first
    assert any(line.startswith("TPS ") for line in rest) and "report: " in done.stderr


def test_to_analyse_asks_no_host_and_ends_as_report_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The newest run by default; its hosts are not there, and nobody looks for them."""
    shutil.copytree(STORED, tmp_path / STORED.name)
    monkeypatch.setattr(places, "RESULTS", tmp_path)

    def refuse(*args: object) -> None:
        raise AssertionError("a connection")

    monkeypatch.setattr("socket.socket.connect", refuse)
    with pytest.raises(Exit) as ended:
        runs.analyse.body(Context(), run=[], json=False)
    told = capsys.readouterr()
    assert ended.value.code == 2 and told.out.startswith("UNKNOWN: ") and "report: " in told.err
    runs.variance.body(Context(), run=[STORED.name], json=True)
    assert '"missing"' in capsys.readouterr().out


def test_a_run_is_shared_with_or_without_its_name(tmp_path: Path) -> None:
    """The card needs an analysis, and no browser, host or network."""
    environment = os.environ | {"LOADPROOF_RESULTS": str(tmp_path)}

    def inv(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["./inv", *words], cwd=REPO, stdin=subprocess.DEVNULL, env=environment, capture_output=True, text=True, timeout=120
        )  # fmt: skip

    folder = Path(shutil.copytree(STORED, tmp_path / STORED.name))
    (folder / "results.json").unlink(missing_ok=True)
    early = inv("share")
    (message,) = messages(early.stderr)
    assert early.returncode == 2, early.stderr
    assert "not analysed yet" in message.error and f"report --run {STORED.name}" in message.next
    assert inv("report").returncode == 2
    for words in ((), (STORED.name,), ("--run", "-1")):
        (folder / "share.png").unlink(missing_ok=True)
        done = inv("share", *words)
        assert done.returncode == 0 and "UNKNOWN" in done.stdout, done.stderr
        assert (folder / "share.png").read_bytes().startswith(b"\x89PNG")
        assert (folder / "share.md").read_text().rstrip() == done.stdout.rstrip()


@pytest.mark.parametrize(("verdict", "code"), [("VALID", None), ("INVALID", 2), ("UNKNOWN", 2)])
def test_the_verdict_is_the_exit_code(
    verdict: str, code: int | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = None
    try:
        talk.finish({"verdict": verdict, "checks": []}, tmp_path / "report.html", as_json=True)
    except Exit as ended:
        seen = ended.code
    assert seen == code and f'"verdict": "{verdict}"' in capsys.readouterr().out
