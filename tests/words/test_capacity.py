"""A search for a capacity on the lab: left in its middle, gone on with, answered by fresh trials. What is refused needs no
host."""

from __future__ import annotations

import json
import signal

import pytest

from tests.words.test_flags import inv as alone
from tests.words.test_flags import refusal
from tests.words.trials import going, inv, newest
from tests.words.words import Words, until

# a generous limit and few users: what the lab's speed is does not matter
ASKED = (
    "--p95", "5s", "--failures", "4%", "--most", "4", "--limiter", "none", "--think", "50ms", "--settle", "1s", "--hold",
    "15s",
)  # fmt: skip


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "nothing is asked of the load: --p95 500ms"),
        (("--p95", "soon"), "is no length of time"),
        (("--p95", "500ms", "--timeout", "400ms"), "no answer takes longer than the timeout of 400ms"),
        (("--p95", "500ms", "--fresh", "2"), "no whole number from 5 to 20"),
    ],
)
def test_what_cannot_be_asked_is_refused(flags: tuple[str, ...], said: str) -> None:
    assert said in refusal(alone("capacity", *flags)).error


def test_it_is_told_before_it_starts() -> None:
    done = alone("capacity", "--p95", "500ms", "--dry-run")
    assert done.returncode == 0 and "How many users may there be with p95 below 500 ms?" in done.stdout, done
    assert "at most" in done.stdout and "none of which counts" in done.stdout


@pytest.mark.lab
@pytest.mark.long
@pytest.mark.timeout(1200)
def test_it_is_left_gone_on_with_and_answered(words: Words) -> None:
    with going(words, *ASKED, word="capacity") as begun:
        begun.reached("seal", "end")  # of its first trial

        def second() -> bool:
            journals = sorted(begun.run.path.glob("trials/*/journal.jsonl"))
            return len(journals) > 1 and '"stage": "watch"' in journals[1].read_text()

        until(second, "the load of the second trial", 120)
        begun.send(signal.SIGINT)
        left = begun.ended()
    assert left.code == 4, left
    said = inv(words, "capacity", "--resume", within_s=1000)
    run = newest(words)
    assert run.path == begun.run.path and said.code in (0, 2), said
    found = run.results["capacity"]
    plans = [json.loads((path / "plan.json").read_text()) for path in sorted((run.path / "trials").iterdir())]
    assert {plan["purpose"] for plan in plans} >= {"search"}
    assert all(plan["load"]["users"] in range(1, 5) for plan in plans)
    assert found["limit"] == {"p95_ms": 5000.0, "failures": 4.0}
    if run.results["verdict"] == "VALID" and found["kind"] in ("found", "at least"):
        assert found["n"] == 5 and found["upper_ms"] <= 5000 and f"Capacity: {found['answer']}" in said.out
    else:
        assert "not decided" in found["answer"] or "could not be measured" in found["answer"], found
