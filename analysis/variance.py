"""Where the spread of trials comes from, and what a longer hold or more pairs would make of it.

Pure. The logarithm of what a trial gives varies by what happens within its hold, from launch to launch, and from block to
block (a drift of the hosts). Pairs of a block share the last one: only the first two are noise of a ratio. A longer hold
makes the first one smaller, and none but more trials the second.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtri, nctdtr

from analysis.statistics import CONFIDENCE, LEAST_PAIRS, quantile

Floats = NDArray[np.float64]

BATCH_S, FEWEST, MOST = 6, 5, 20  # seconds of a batch where there is room; batches of a hold
LEAST_S = 12  # a hold of 15 s may have less than 15 whole ones
POWER = 0.80  # how surely a difference is to be seen
SEEN = (0.05, 0.10, 0.20)
HOLDS_S = (15.0, 30.0, 60.0, 120.0, 300.0)
MOST_PAIRS = 10_000
LEAST_FREEDOM = 2


@dataclass(frozen=True)
class Trial:
    """What one trial says of a figure: its value, above 0, and the variance that `within` its hold gives to the logarithm
    of that (None: unknown). `order`: which one of its run it was; `around_s`: what it takes beside its hold."""

    run: str
    arm: str
    block: int
    order: int
    hold_s: float
    around_s: float
    value: float
    within: float | None


@dataclass(frozen=True)
class Components:
    """Variances of the logarithm of a trial's value: `noise` is what a trial has beside others of its block, with so many
    degrees of `freedom`; `within` its hold and between `launches` are its parts (None: unknown), `blocks` comes on top."""

    noise: float
    freedom: int
    within: float | None
    launches: float | None
    blocks: float

    def at(self, ratio: float, factor: float = 1.0) -> float | None:
        """The noise of trials whose hold is `ratio` times as long, if that of these was `factor` times what was found: the
        less is known of it, the less of what launches add, which no hold makes smaller."""
        noise = factor * self.noise
        if ratio == 1:
            return noise
        if self.within is None:
            return None
        return max(0.0, noise - self.within) + min(self.within, noise) / ratio

    def limits(self) -> tuple[float, float]:
        """Between which factors of what was found the true noise lies, with 80 %."""
        low, high = (self.freedom / float(chdtri(self.freedom, one)) for one in (0.1, 0.9))
        return low, high


def within(totals: Floats, weights: Floats) -> float | None:
    """Variance of the logarithm of sum(totals) / sum(weights), by 5 to 20 batches, of 6 s where there is
    room: neighbouring seconds are not independent. Shape (seconds,) each; None for fewer than 12 of them, or where nothing was counted."""
    count = min(MOST, max(FEWEST, len(totals) // BATCH_S))
    if len(totals) < LEAST_S or not totals.sum() > 0 or not weights.sum() > 0:
        return None
    value = totals.sum() / weights.sum()
    parts = zip(np.array_split(totals, count), np.array_split(weights, count), strict=True)
    beside = np.array([part.sum() - value * weight.sum() for part, weight in parts])
    variance = count / (count - 1) * float((beside**2).sum()) / float(weights.sum()) ** 2
    return float(variance / value**2)


def components(trials: Sequence[Trial]) -> Components | None:
    """Of trials with one length of hold, of one run or several; None where too few were repeated."""
    sums = [
        _sums([one for one in trials if one.run == run]) for run in dict.fromkeys(one.run for one in trials)
    ]
    known = [one for one in sums if one is not None]
    freedom = sum(one.freedom for one in known)
    if freedom < LEAST_FREEDOM:
        return None
    noise = sum(one.squares for one in known) / freedom
    blocks = sum(one.blocks * one.blocks_freedom for one in known) / sum(one.blocks_freedom for one in known)
    told = [one.within for one in trials if one.within is not None]
    inner = sum(told) / len(told) if len(told) == len(trials) else None
    between = None if inner is None else max(0.0, noise - inner)
    return Components(noise, freedom, inner, between, max(0.0, blocks))


@dataclass(frozen=True)
class _Sums:
    """Of one run: the sum of squares of its noise, and the variance between its blocks, each with degrees of freedom."""

    squares: float
    freedom: int
    blocks: float
    blocks_freedom: int


def _sums(trials: Sequence[Trial]) -> _Sums | None:
    """Of blocks that have every arm, by two ways of analysis of variance (arms and blocks); of an arm that was run alone by
    the differences of trials that follow each other, which a drift hardly touches (von Neumann)."""
    arms = list(dict.fromkeys(one.arm for one in trials))
    if len(arms) == 1:
        return _following([one.value for one in sorted(trials, key=lambda one: one.order)])
    values = {(one.arm, one.block): math.log(one.value) for one in trials}
    whole = [
        block
        for block in dict.fromkeys(one.block for one in trials)
        if all((arm, block) in values for arm in arms)
    ]
    if len(whole) < 2:
        return None
    table = np.array([[values[arm, block] for block in whole] for arm in arms])
    of_blocks = table.mean(axis=0)
    left = table - of_blocks - table.mean(axis=1, keepdims=True) + table.mean()
    squares, freedom = float((left**2).sum()), (len(arms) - 1) * (len(whole) - 1)
    blocks = float(of_blocks.var(ddof=1)) - squares / freedom / len(arms)
    return _Sums(squares, freedom, blocks, len(whole) - 1)


def _following(values: Sequence[float]) -> _Sums | None:
    if len(values) < LEAST_PAIRS:
        return None
    logs = np.log(values)
    noise = float((np.diff(logs) ** 2).mean()) / 2
    freedom = max(1, 2 * (len(logs) - 1) // 3)  # the differences overlap: they know about two thirds as much
    return _Sums(noise * freedom, freedom, float(logs.var(ddof=1)) - noise, len(logs) - 1)


def pairs(noise: float, difference: float) -> int | None:
    """How many pairs see a true ratio of 1 + difference in 80 % of experiments: their 95 % interval leaves out 1 (power of
    the paired t test, by the noncentral t distribution). `noise`: variance of the logarithm of one trial. None: too many."""
    deviation, effect = math.sqrt(2 * noise), math.log1p(difference)
    if not deviation > 0:
        return LEAST_PAIRS
    low, high = LEAST_PAIRS - 1, LEAST_PAIRS
    while high <= MOST_PAIRS and not _sees(high, deviation, effect):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _sees(middle, deviation, effect) else (middle, high)
    return high if high <= MOST_PAIRS else None


def _sees(n: int, deviation: float, effect: float) -> bool:
    misses = float(nctdtr(n - 1, effect * math.sqrt(n) / deviation, quantile(CONFIDENCE, n)))
    return math.isnan(misses) or misses <= 1 - POWER  # so far from 0 that it cannot be told from certain


def holds(trials: Iterable[Trial]) -> dict[float, list[Trial]]:
    """Trials by the length of their hold in seconds, the most frequent one first."""
    found: dict[float, list[Trial]] = {}
    for one in trials:
        found.setdefault(round(one.hold_s, 0), []).append(one)
    return dict(sorted(found.items(), key=lambda item: -len(item[1])))
