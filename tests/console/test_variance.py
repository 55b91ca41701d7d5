"""What `inv variance` prints."""

from __future__ import annotations

from analysis import spread, variance
from loadproof.console import variance as show
from tests.analysis import test_variance as made


def test_parts_arms_and_proposals_are_there() -> None:
    trials = made.trials(1, ("one", "two"), 30, 0.06, 0.10)
    found = variance.components(trials)
    assert found is not None
    figure = spread._figure("tps", 15.0, trials, found)
    text = show.variance({"runs": ["RUN"], "figures": [figure], "missing": ["mtt_ms: none"]})
    assert "runs: RUN" in text and "note: mtt_ms: none" in text
    assert "tps: 60 VALID trials with a hold of 15 s" in text
    assert "within its hold" in text and " 2.00 " in text
    assert [row["hold_s"] for row in figure["proposals"]] == [15.0, 30.0, 60.0, 120.0, 300.0]
    noise = [row["noise_percent"] for row in figure["proposals"]]
    assert noise == sorted(noise, reverse=True) and noise[0] == figure["noise_percent"]
    now = figure["proposals"][0]["sees"]
    assert [one["percent"] for one in now] == [5.0, 10.0, 20.0]
    assert now[0]["pairs"] > now[1]["pairs"] > now[2]["pairs"]
    assert all(one["low"] <= one["pairs"] <= one["high"] for one in now)
    assert now[1]["minutes"] == 2 * now[1]["pairs"] * (15 + 20) / 60
    assert f"{now[1]['pairs']} ({now[1]['low']} to {now[1]['high']})" in text
    assert spread.ROUGH not in figure["sentence"]  # 29 degrees of freedom
    few = made.trials(1, ("one", "two"), 4, 0.06, 0.10)
    rough = variance.components(few)
    assert rough is not None and spread._figure("tps", 15.0, few, rough)["sentence"].endswith(spread.ROUGH)
    assert "10 % are seen soonest with a hold of 15 s" in figure["sentence"] and figure["sentence"] in text


def test_nothing_to_tell_is_said() -> None:
    text = show.variance({"runs": ["RUN"], "figures": [], "missing": ["no VALID trial has figures"]})
    assert text.endswith("note: no VALID trial has figures")
