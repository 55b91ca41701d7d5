"""An experiment on the lab: blocks, every trial fetched and judged, left in its middle and gone on with, compared."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.words.trials import Run, going, inv, newest
from tests.words.words import Shell, Words, until

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


def until_second(run: Run) -> None:
    """Until its second trial is under load."""

    def there() -> bool:
        journals = sorted(run.path.glob("trials/*/journal.jsonl"))
        return len(journals) > 1 and '"stage": "watch"' in journals[1].read_text()

    until(there, "the load of the second trial", 90)


def hashes(run: Run) -> dict[str, str]:
    """Of the raw files that are here."""
    return {name: one for name, one in run.hashes().items() if "/raw/" in name}
