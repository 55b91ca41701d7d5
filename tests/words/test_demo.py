"""What a newcomer sees, and the load of the original: the main job from words to figures, with its own known bounds."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.words.trials import RECOMPUTE, Run, newest, recompute
from tests.words.words import Words, judged

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def plain(lab_alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Words:
    """`./inv` on the lab as it is, nothing deployed before."""
    return Words(tmp_path_factory.mktemp("results"), lab_alone)


def demo(words: Words, *flags: str) -> tuple[list[dict[str, Any]], str]:
    """The arms of a demo, and what it printed."""
    said = judged(words.bare("demo", *flags, within_s=800))
    run = newest(words)
    recompute(run)
    (found,) = (one for one in run.results["comparisons"] if one["primary"])
    assert found["n"] <= 4 and "(primary)" in said.out and "report: " in said.err, said
    assert (run.path / "report.html").exists()
    return json.loads((run.path / "results.json").read_text())["arms"], said.out


def numbers(run: Run) -> None:
    """Every number, recomputed from raw/ with nothing of ours; without one success in the hold some are null."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(RECOMPUTE), str(run.path)],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and " 0 differences" in done.stdout, done.stdout + done.stderr


def shares(arms: list[dict[str, Any]]) -> list[float]:
    return [server["cpu_percent"] for arm in arms for server in arm["servers"]]


def test_two_servers_serve_more_and_each_gets_its_share(plain: Words) -> None:
    one, two = arms = demo(plain)[0]
    assert [arm["label"] for arm in arms] == ["servers=1", "servers=2"]
    assert all(3 <= share <= 8 for share in shares(arms)), shares(arms)
    ratio = two["tps"] / one["tps"]
    assert ratio >= 1.3
    assert 0.75 <= ratio / (sum(shares([two])) / sum(shares([one]))) <= 1.25


def test_without_a_limit_nobody_is_held_to_it(plain: Words) -> None:
    arms, _ = demo(plain, "--limiter", "none")
    assert not all(3 <= share <= 8 for share in shares(arms)), shares(arms)


def test_a_thousand_users_break_pipes_that_the_apps_own_rows_tell(plain: Words) -> None:
    words = (
        "--servers",
        "2",
        "--vusers",
        "1000",
        "--variant",
        "local_async",
        "--timeout",
        "2s",
        "--hold",
        "60s",
    )
    said = plain.bare("bench", *words, within_s=600)
    assert said.code == 0, said
    run = Run(newest(plain).path)
    judged(plain.bare("fetch-results", "--run", run.id, within_s=300))
    (arm,) = run.results["arms"]
    assert arm["window"]["users"] == 1000 and arm["failures"] > 0
    for part in (arm, arm["whole_run"]):
        assert part["unexplained"] <= part["failures"] / 100
        assert sum(part["attribution"].values()) + part["unexplained"] == part["failures"]
    books = arm["whole_run"]["ledgers"]
    assert books["requests"]["differences"] == 0 and abs(books["time"]["gap"]) <= 0.02, books
    assert sum(server["broken_pipe"] for server in arm["servers"]) == arm["broken_pipe"] > 0
    numbers(run)
