"""What rate.py counts of rows that a real recorder wrote."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from loadtests import recorder
from tests.hostside.conftest import HOSTSIDE


def ask(
    out: Path, *workers: int, from_s: float, to_s: float, within: float = 5
) -> tuple[int, dict[str, Any]]:
    question = {"out": str(out), "workers": workers, "from_s": from_s, "to_s": to_s, "within": within}
    words = [sys.executable, "-I", "-S", str(HOSTSIDE / "rate.py"), json.dumps(question)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30)
    return done.returncode, json.loads(done.stdout)


def ended(writer: recorder.Recorder, at_ns: int, error: int = recorder.OK) -> None:
    """A request that ended then, in CLOCK_MONOTONIC nanoseconds."""
    attempt = SimpleNamespace(
        id=1, name="/x", port=1, status=200, received=0, think_us=0, intended_ns=0, start_ns=at_ns - 1000,
        first_ns=at_ns, end_ns=at_ns,
    )  # fmt: skip
    writer.request(attempt, error, "", 1)


def test_counts_what_was_answered_between_the_two_seconds(tmp_path: Path) -> None:
    writers = [recorder.Recorder(str(tmp_path), number) for number in (1, 2)]
    begun = time.monotonic_ns()
    for writer in writers:
        writer.user(recorder.KIND_USER_STARTED, 1)
    for writer, count in zip(writers, (40, 10), strict=True):
        for index in range(count):
            ended(writer, begun + 60_000_000 + index * 1_000_000)  # from 0.06 s on
        ended(writer, begun + 20_000_000)  # before
        ended(writer, begun + 250_000_000)  # after
        ended(writer, begun + 70_000_000, recorder.CUT)
    ended(writers[0], begun + 80_000_000, recorder.RESET)
    code, said = ask(tmp_path, 1, 2, from_s=0.05, to_s=0.15)
    assert code == 0
    assert (said["rate"], said["failed"], said["workers"]) == (500.0, 1, 2)
    assert abs(said["measured_us"] - time.time_ns() // 1000) < 5_000_000


def test_a_worker_that_never_starts_is_named(tmp_path: Path) -> None:
    writer = recorder.Recorder(str(tmp_path), 1)
    writer.user(recorder.KIND_USER_STARTED, 1)
    code, said = ask(tmp_path, 1, 2, from_s=0, to_s=0.1, within=0.2)
    assert code == 3 and said["why"] == "no user started within 0.2 s: requests-2.rows"
