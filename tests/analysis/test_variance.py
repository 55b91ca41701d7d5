"""Where spread comes from, on simulated trials whose parts are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest

from analysis import variance
from analysis.statistics import paired
from analysis.variance import Components, Trial
from loadproof.plan import blocks


def trials(
    seed: int,
    arms: Sequence[str],
    count: int,
    launches: float,
    drift: float,
    within: float = 0.02,
    run: str = "r",
) -> list[Trial]:
    """`count` blocks; noise of launches (with what happens within) and of blocks as standard deviations of logarithms."""
    chance = np.random.default_rng(seed)
    made = []
    for block, order in enumerate(blocks.orders(len(arms), count, seed), start=1):
        moved = chance.normal(0, drift) if drift else 0.0
        for place, arm in enumerate(order):
            noise = chance.normal(0, math.hypot(launches, within)) + moved
            number = len(arms) * (block - 1) + place + 1
            value = math.exp(noise) * (arm + 1)
            made.append(Trial(run, arms[arm], block, number, 15.0, 20.0, value, within**2))
    return made


def found(listed: Sequence[Trial]) -> Components:
    one = variance.components(listed)
    assert one is not None
    return one


def test_parts_are_those_that_were_put_in() -> None:
    """2 % within, 6 % between launches, 10 % between blocks; over 2000 blocks of two arms that differ by a factor of 2."""
    one = found(trials(1, ("one", "two"), 2000, 0.06, 0.10))
    assert one.freedom == 1999
    assert math.sqrt(one.noise) == pytest.approx(math.hypot(0.06, 0.02), rel=0.05)
    assert one.within is not None and one.launches is not None
    assert math.sqrt(one.within) == pytest.approx(0.02) and math.sqrt(one.launches) == pytest.approx(
        0.06, rel=0.05
    )
    assert math.sqrt(one.blocks) == pytest.approx(0.10, rel=0.05)


def test_the_analysis_of_variance_by_hand() -> None:
    """Logarithms 0, 2 / 1, 1 in two blocks: means of blocks 0.5 and 1.5, of arms 1 and 1; residuals +- 0.5: their squares
    are 1 with one degree of freedom, and the blocks' own variance is 0.5 - 1 / 2 = 0."""
    logs = {("a", 1): 0.0, ("a", 2): 2.0, ("b", 1): 1.0, ("b", 2): 1.0}
    listed = [Trial("r", arm, block, 1, 15, 20, math.exp(log), None) for (arm, block), log in logs.items()]
    assert variance.components(listed) is None  # one degree of freedom tells nothing
    twice = [*listed, *(Trial("s", *list(vars(one).values())[1:]) for one in listed)]
    one = found(twice)
    assert (one.noise, one.freedom) == (pytest.approx(1.0), 2)
    assert one.blocks == pytest.approx(0.0, abs=1e-12) and one.within is one.launches is None
    assert one.at(1.0) == one.noise and one.at(2.0) is None


@pytest.mark.parametrize("drift", [0.0, 0.01])
def test_an_arm_alone_is_told_by_trials_that_follow_each_other(drift: float) -> None:
    """A drift of 1 % a trial over 400 trials: a factor of 50 between first and last, and the noise stays what it is."""
    chance = np.random.default_rng(5)
    logs = chance.normal(0, 0.06, 400) + drift * np.arange(400)
    one = found([Trial("r", "a", at, at, 15, 20, math.exp(log), 0.0) for at, log in enumerate(logs, start=1)])
    assert math.sqrt(one.noise) == pytest.approx(0.06, rel=0.1)
    assert (one.blocks > 1) == bool(drift)


def test_blocks_without_one_of_the_arms_and_other_runs_do_not_mix() -> None:
    first, second = (trials(seed, ("one", "two"), 400, 0.06, 0.10, run=str(seed)) for seed in (1, 2))
    louder = [Trial(*list(vars(one).values())[:6], one.value * 50, one.within) for one in second]
    assert found([*first, *louder]).noise == pytest.approx(found([*first, *second]).noise)
    assert found(first[:-1]).freedom == 398
    assert variance.components(first[:4]) is None
    assert variance.components([]) is None


@pytest.mark.parametrize(("carried", "seconds"), [(0.0, 15), (0.0, 60), (0.6, 60), (0.6, 300)])
def test_spread_within_a_hold_is_that_of_its_mean(carried: float, seconds: int) -> None:
    """Against the spread of many such means; seconds taken as independent would say half of it where they carry over."""
    chance = np.random.default_rng(seconds)
    fresh = chance.normal(0, 10 * math.sqrt(1 - carried**2), (1500, seconds + 40))
    noise = np.zeros_like(fresh)
    for at in range(1, noise.shape[1]):
        noise[:, at] = carried * noise[:, at - 1] + fresh[:, at]
    series = 100 + noise[:, 40:]
    true = float(np.log(series.mean(axis=1)).std())
    told = [variance.within(one, np.ones(seconds)) for one in series]
    assert None not in told
    mean = math.sqrt(float(np.mean([one for one in told if one is not None])))
    assert mean == pytest.approx(true, rel=0.05 if not carried else 0.25)
    if carried:
        assert series.std() / 100 / math.sqrt(seconds) < 0.6 * true


def test_spread_of_a_mean_time_weighs_seconds_by_their_requests() -> None:
    """Batches of 3 s with 10 and 30 requests a second of 100 and 200 ms in turn, by hand."""
    began = np.repeat([10.0, 30.0, 10.0, 30.0, 10.0], 3)
    taken = began * np.repeat([100.0, 200.0, 100.0, 200.0, 100.0], 3)
    mean = (9 * 1000 + 6 * 6000) / 270
    beside = [30 * (100 - mean), 90 * (200 - mean), 30 * (100 - mean), 90 * (200 - mean), 30 * (100 - mean)]
    expected = 5 / 4 * sum(one**2 for one in beside) / 270**2 / mean**2
    assert variance.within(taken, began) == pytest.approx(expected)
    assert variance.within(taken[:11], began[:11]) is None
    assert variance.within(np.zeros(30), np.zeros(30)) is None


@pytest.mark.parametrize(("noise", "difference", "least", "most"), [(0.12, 0.10, 25, 28), (0.04, 0.10, 5, 5), (0.04, 0.05, 11, 14)])  # fmt: skip
def test_so_many_pairs_see_it_in_80_of_100_experiments(
    noise: float, difference: float, least: int, most: int
) -> None:
    """And one pair less does not: simulated, judged by the product's own intervals."""
    count = variance.pairs(noise**2, difference)
    assert count is not None and least <= count <= most
    chance = np.random.default_rng(count)
    for pairs, enough in ((count, True), (count - 1, False)):
        seen = 0
        for _ in range(4000):
            above, below = np.exp(chance.normal(0, noise, (2, pairs)))
            low = paired(above * (1 + difference), below).low
            seen += low is not None and low > 1
        assert (seen / 4000 > 0.79) if enough else (seen / 4000 < 0.81), (pairs, seen)


def test_how_many_pairs_has_ends() -> None:
    assert variance.pairs(0.0, 0.05) == variance.pairs(1e-9, 0.2) == 3
    assert variance.pairs(25.0, 0.05) is None


def test_a_longer_hold_gains_what_is_within_it_and_no_more() -> None:
    one = Components(noise=0.05, freedom=20, within=0.04, launches=0.01, blocks=0.0)
    assert one.at(4.0) == pytest.approx(0.02) and one.at(1.0) == 0.05
    # twice the noise is all of launches, half of it all within
    assert one.at(4.0, 2.0) == pytest.approx(0.06 + 0.01) and one.at(4.0, 0.5) == pytest.approx(0.025 / 4)
    low, high = one.limits()
    assert (low, high) == pytest.approx((20 / 28.412, 20 / 12.443), rel=1e-4)  # tables of chi square
