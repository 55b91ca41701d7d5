"""What is said of an experiment before it starts."""

from __future__ import annotations

from dataclasses import replace

from loadproof.console import experiment as show
from loadproof.plan import experiment


def test_a_threshold_that_cannot_be_reached_is_told_before_the_start() -> None:
    asked = replace(experiment.named("quick"), thresholds=("ratio(servers=2/servers=1).tps > 1.5",))
    told = "note: a threshold on a ratio needs 3 blocks: with fewer it fails"
    assert told not in show.cost(replace(asked, blocks=3))
    assert told in show.cost(replace(asked, blocks=2))
    assert told not in show.cost(replace(asked, blocks=1, thresholds=("tps > 1",)))
