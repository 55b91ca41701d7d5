"""`timings.null` on simulated trials: what it counts, and that it counts 5 % where there is nothing."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tests.analysis.test_compare import arm, trial
from timings import null


def found(seed: int, count: int, ratio: float = 1.0, noise: float = 0.12) -> dict[str, Any]:
    """results.json of `count` blocks of two arms, of which one has `ratio` times the TPS of the other."""
    chance = np.random.default_rng(seed)
    made: dict[str, list[dict[str, Any]]] = {"copy=a": [], "copy=b": []}
    for block in range(1, count + 1):
        for place, label in enumerate(sorted(made, reverse=bool(block % 2))):
            tps = 50 * math.exp(chance.normal(0, noise)) * (ratio if label == "copy=b" else 1)
            made[label].append(trial(2 * block + place, block, tps))
    return {"arms": [arm(label, listed, copy=label) for label, listed in made.items()]}


def test_blocks_are_those_with_a_valid_trial_of_each_arm_in_the_order_they_were_run() -> None:
    one = found(1, 6)
    one["arms"][0]["trials"][2]["verdict"] = "INVALID"
    listed = null.recorded(one)
    assert [block[0]["block"] for block in listed] == [1, 2, 4, 5, 6]
    assert all(int(first["id"]) + 1 == int(second["id"]) for first, second in listed)


def test_names_are_given_anew_in_balance() -> None:
    drawn = null.recorded(found(1, 4))
    seen = set()
    for seed in range(20):
        first, second = null.relabelled(drawn, seed)
        assert sorted(one["id"] for arm in (first, second) for one in arm["trials"]) == sorted(
            one["id"] for block in drawn for one in block
        )
        early = [int(one["id"]) % 2 for one in first["trials"]]
        assert sum(early) == 2  # every arm is first in half of the blocks
        seen.add(tuple(early))
    assert len(seen) > 2


def test_of_nothing_five_in_a_hundred_are_called_different() -> None:
    """Many short runs: draws of one run share its trials, and would not be as certain."""
    runs = [null.recorded(found(seed, 30)) for seed in range(40)]
    tps, mtt = null.claims(runs, times=2000)
    assert null.LOW <= tps.rate <= null.HIGH
    assert (tps.figure, mtt.figure, tps.times) == ("tps", "mtt_ms", 2000)
    assert tps.false == mtt.false  # MTT is made as the inverse here: one fact
    assert tps.by_much < tps.false


def test_one_run_of_30_blocks_gives_about_that() -> None:
    rates = [
        null.claims([null.recorded(found(seed, 30))], times=1000, seed=seed)[0].rate for seed in range(6)
    ]
    assert all(0.01 < rate < 0.12 for rate in rates) and 0.03 < np.mean(rates) < 0.07


def test_the_same_seed_gives_the_same_and_what_is_not_a_against_a_shows() -> None:
    listed = [null.recorded(found(3, 30))]
    assert null.claims(listed, 200) == null.claims(listed, 200)
    # twice the TPS in one of the arms: an eighth of all draws names all four pairs the same way round
    apart = [null.recorded(found(3, 30, ratio=2.0))]
    assert null.claims(apart, 500)[0].rate > null.HIGH


def test_what_is_counted_is_what_the_product_calls_different() -> None:
    """Trials of which the first of each block is slower, drawn in one order: a claim each time."""
    drawn = null.recorded(found(4, 4, noise=0.001))
    first, second = null.relabelled(drawn, 1)
    for one in first["trials"]:
        one["tps"] *= 2
    assert null.compare.one(first, second, "tps")["words"].startswith("different by more")
