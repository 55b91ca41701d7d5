"""An experiment on the lab: blocks, every trial fetched and judged, left in its middle and gone on with, compared."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from loadproof.plan.trials import CUT_SHORT
from tests.words.trials import STAGES, Run, assert_quiet, going, inv, newest
from tests.words.words import HOSTS, Shell, Words, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(400)]

ASKED = """\
question: Does the test have an answer?
factors: {servers: [1, 2]}
repeats: 2
limiter: none
processes: 1
threads: 2
interval: 300ms
settle: 1s
hold: 4s
warm: 20
think: 20ms
thresholds: ["failures < 1%", "tps > 100000"]
"""


def plans(run: Run) -> list[dict[str, Any]]:
    return [json.loads((path / "plan.json").read_text()) for path in sorted((run.path / "trials").iterdir())]


def test_it_is_left_gone_on_with_and_answered(words: Words, shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "asked.yml"
    path.write_text(ASKED)
    said = inv(words, "experiment", str(path), "--dry-run")
    assert said.code == 0 and "4 trials (2 blocks of 2 arms" in said.out and "at most" in said.out, said
    with going(words, str(path), word="experiment") as begun:
        begun.reached("seal", "end")  # of its first trial
        until_second(begun.run)
        begun.send(signal.SIGINT)
        left = begun.ended()
    assert left.code == 4 and "trial 01: " in left.err, left
    first = hashes(begun.run)
    said = inv(words, "experiment", "--resume", within_s=300)
    run = newest(words)
    assert run.path == begun.run.path and said.code in (0, 2, 99), said
    assert {name: one for name, one in hashes(run).items() if name in first} == first, (
        "what was measured stays"
    )
    made, results = plans(run), run.results
    planned = [one for one in made if not one["because"].startswith("repeat of ")]
    assert [one["id"] for one in planned] == ["01", "02", "03", "04"]
    # the second one to run, or, where 01 did not hold, its repeat: no measurement
    assert len([one for one in made if one["because"].endswith(f": {CUT_SHORT}")]) == 1
    orders = [[one["arm"] for one in planned if one["block"] == block] for block in (1, 2)]
    assert orders[0] == orders[1][::-1] and sorted(orders[0]) == ["servers=1", "servers=2"]
    assert all((run.path / "trials" / f"{one['id']}-{one['arm'].replace('=', '-')}" / "raw" / "load1" / "manifest.json").exists()
               for one in made)  # fmt: skip
    assert results["question"] == "Does the test have an answer?" and results["primary"] == "tps"
    assert {one["metric"] for one in results["comparisons"]} >= {"tps", "mtt_ms"}
    assert [one["passed"] for one in results["thresholds"]][2:] == [False, False]
    assert said.code == (99 if results["verdict"] == "VALID" else 2)
    assert "<testsuite" in (run.path / "junit.xml").read_text() and (run.path / "summary.md").exists()
    compared = inv(words, "compare", run.path.name, run.path.name)
    assert compared.code == 0 and "nothing that is recorded differs" in compared.out, compared


@pytest.mark.long
def test_a_trial_that_was_left_before_its_load_is_run_and_no_other_twice(
    words: Words, shell: Shell, tmp_path: Path
) -> None:
    path, early = tmp_path / "left.yml", STAGES[: STAGES.index("limit")]
    # so many requests that the signal comes while they are sent
    asked = ASKED.replace("warm: 20", "warm: 1000").replace("repeats: 2", "repeats: 1")
    path.write_text(asked.replace("hold: 4s", "hold: 2s"))
    with going(words, str(path), word="experiment") as begun:
        until(lambda: "warm" in begun_of(begun.run, "02"), "the warm-up of the second trial", 120)
        begun.send(signal.SIGINT)
        left = begun.ended()
    run, first = begun.run, hashes(begun.run)
    assert left.code == 4 and left.message.error.startswith("Ctrl-C"), left
    assert f"experiment --resume {run.id}" in left.message.next, left
    assert begun_of(run, "02") == (*early, "stop", "lift", "seal") and first
    assert not list(run.path.glob("trials/02-*/raw")), "nothing was measured"
    assert_quiet(shell)
    said = inv(words, "experiment", "--resume", run.id, within_s=200)
    assert said.code in (0, 2, 99), said
    assert {name: one for name, one in hashes(run).items() if name in first} == first
    made = plans(run)
    planned = [one for one in made if not one["because"].startswith("repeat of ")]
    assert [one["id"] for one in planned] == ["01", "02"]
    assert sorted(one["arm"] for one in planned) == ["servers=1", "servers=2"]
    tries = {one["id"]: begun_of(run, one["id"]) for one in made}
    assert tries.pop("02") == (*early, "stop", "lift", "seal", *STAGES)
    assert set(tries.values()) == {STAGES}, "from its beginning to its end, once"
    judged = sorted(one["id"] for arm in run.results["arms"] for one in arm["trials"])
    assert judged == [one["id"] for one in made]
    for host in HOSTS:
        assert len(list(run.path.glob(f"trials/*/raw/{host}/manifest.json"))) == len(made), host
    assert not [line for line in run.results["incomplete"] if "interrupted" in line], (
        "of a try that is no more"
    )
    assert_quiet(shell)


def begun_of(run: Run, trial: str) -> tuple[str, ...]:
    """The stages of one of its trials in the order in which they began, all its tries; but for the generator's own rate."""
    text = "".join(path.read_text() for path in run.path.glob(f"trials/{trial}-*/journal.jsonl"))
    lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return tuple(line["stage"] for line in lines if line["event"] == "begin" and line["stage"] != "rate")


def until_second(run: Run) -> None:
    """Until its second trial is under load."""

    def there() -> bool:
        journals = sorted(run.path.glob("trials/*/journal.jsonl"))
        return len(journals) > 1 and '"stage": "watch"' in journals[1].read_text()

    until(there, "the load of the second trial", 90)


def hashes(run: Run) -> dict[str, str]:
    """Of the raw files that are here."""
    return {name: one for name, one in run.hashes().items() if "/raw/" in name}
