"""How much two arms differ, with an interval: the trial is the unit, arms are compared within blocks.

Pure. Requests of one trial are not independent (their means cover 26 % where 95 % are claimed, simulated): only trials
count. A ratio of two arms in one block does not know of the drift between blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, stdtrit  # scipy.stats takes a second to load, and these are its quantiles

LEAST_PAIRS = 3  # with fewer there is no interval
CONFIDENCE = 0.95
PRACTICAL = 0.05  # a difference below 5 % is of no practical use
ALIKE = 0.10  # an interval that holds 1 and lies within this is told as none larger than its farther end
NOTHING = 1e-9  # in logarithms: what rounding alone makes of two numbers that are the same
LEAST_TO_FORECAST = 5  # pairs from which a spread can be told well enough to say how many more are needed


@dataclass(frozen=True)
class Ratio:
    """A ratio of two arms: geometric mean over `n` pairs, and its interval (None: too few pairs, or none at all).

    `confidence` is that of the interval. Method: Student's t on the logarithms of the paired ratios, at every n
    (simulated coverage in docs/methods.md)."""

    ratio: float
    low: float | None
    high: float | None
    n: int
    confidence: float = CONFIDENCE
    in_blocks: bool = True

    @property
    def method(self) -> str:
        """In words, for the record."""
        if not self.in_blocks:
            return (
                f"trials of different runs, Welch's interval of the logarithms, {100 * self.confidence:.4g} %"
            )
        if self.low is None:
            return f"geometric mean of {self.n} paired {'ratio' if self.n == 1 else 'ratios'}; an interval needs {LEAST_PAIRS}"
        return f"paired ratios, t interval of their logarithms, {100 * self.confidence:.4g} %"

    @property
    def words(self) -> str:
        """What may be said of it."""
        return words(self)


def paired(numerator: Sequence[float], denominator: Sequence[float], confidence: float = CONFIDENCE) -> Ratio:
    """The ratio of two arms whose values (all above 0) are pairs, in order. Raises ValueError for anything else."""
    above, below = np.asarray(numerator, float), np.asarray(denominator, float)
    if above.shape != below.shape or above.ndim != 1 or not len(above):
        raise ValueError("pairs are needed")
    if not (
        np.isfinite(above).all() and np.isfinite(below).all() and (above > 0).all() and (below > 0).all()
    ):
        raise ValueError("a ratio needs values above 0")
    logs = np.log(above / below)
    n, mean = len(logs), float(logs.mean())
    if n < LEAST_PAIRS:
        return Ratio(math.exp(mean), None, None, n, confidence)
    half = quantile(confidence, n) * float(logs.std(ddof=1)) / math.sqrt(n)
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), n, confidence)


def apart(numerator: Sequence[float], denominator: Sequence[float], confidence: float = CONFIDENCE) -> Ratio:
    """The ratio of two arms that were not run in blocks with each other (of different runs): Welch's interval on
    logarithms; `n` is the smaller number of trials. No interval when one has fewer than 3, or nothing varies."""
    logs = [np.log(np.asarray(values, float)) for values in (numerator, denominator)]
    if not all(len(one) and np.isfinite(one).all() for one in logs):
        raise ValueError("a ratio needs values above 0")
    n, mean = min(map(len, logs)), float(logs[0].mean() - logs[1].mean())
    if n < LEAST_PAIRS:
        return Ratio(math.exp(mean), None, None, n, confidence, in_blocks=False)
    parts = [float(one.var(ddof=1)) / len(one) for one in logs]
    error = sum(parts)
    if not error > 0:
        return Ratio(math.exp(mean), None, None, n, confidence, in_blocks=False)
    freedom = error**2 / sum(part**2 / (len(one) - 1) for part, one in zip(parts, logs, strict=True))
    half = float(stdtrit(freedom, 0.5 + confidence / 2)) * math.sqrt(error)
    return Ratio(math.exp(mean), math.exp(mean - half), math.exp(mean + half), n, confidence, in_blocks=False)


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences, and its 95 % t interval (None: below 3 pairs, or nothing varies)."""

    difference: float
    low: float | None
    high: float | None
    n: int


def differing(first: Sequence[float], second: Sequence[float]) -> Difference:
    """The mean of first - second over pairs, in order: for shares, which may be 0 and have no ratio then."""
    found = np.asarray(first, float) - np.asarray(second, float)
    if found.ndim != 1 or not len(found) or not np.isfinite(found).all():
        raise ValueError("pairs are needed")
    n, mean = len(found), float(found.mean())
    # differences that are all alike (mostly 0) have no spread that an interval could be made of
    if n < LEAST_PAIRS or np.ptp(found) == 0:
        return Difference(mean, None, None, n)
    half = quantile(CONFIDENCE, n) * float(found.std(ddof=1)) / math.sqrt(n)
    return Difference(mean, mean - half, mean + half, n)


def quantile(confidence: float, n: int) -> float:
    """Of Student's t for the mean of n values: its interval is +- so many standard errors."""
    return float(stdtrit(n - 1, 0.5 + confidence / 2))


def geometric(values: Sequence[float]) -> float | None:
    """The geometric mean of values above 0; None for none, or where one is not."""
    found = np.asarray(values, float)
    if not len(found) or not (found > 0).all():
        return None
    return float(np.exp(np.log(found).mean()))


def words(found: Ratio) -> str:
    """One of four sentences, by where the interval lies. 5 % is the difference that matters, 10 % the largest that may be
    excluded, on the scale of logs, so that a ratio and its inverse are told alike."""
    if found.low is None or found.high is None:
        return (
            f"not decided: an interval needs {LEAST_PAIRS} pairs"
            if found.n < LEAST_PAIRS
            else "not decided: nothing varies, so that there is no interval"
        )
    low, high, matters = math.log(found.low), math.log(found.high), math.log1p(PRACTICAL)
    if low > matters or high < -matters:
        return "different by more than 5 %"
    if low > 0 or high < 0:
        return "different, maybe by less than 5 %"
    most = max(abs(low), abs(high))
    if high - low < NOTHING and most < NOTHING:  # of counts that are all one number, no bound follows
        return "alike in every pair"
    if most <= math.log(1 + ALIKE):
        return f"no difference larger than {100 * math.expm1(most):.1f} %"
    more = further(found)
    return "not decided" + (f": about {more[0]} to {more[1]} more pairs would" if more else "")


def further(found: Ratio) -> tuple[int, int] | None:
    """How many more pairs would decide between "different" and "no difference larger than 10 %" at this spread, as a range
    (80 % limits of the spread); None below LEAST_TO_FORECAST pairs, and where there are none: Welch's interval is not of
    their spread. A forecast, no rule to stop by."""
    if not found.in_blocks or found.n < LEAST_TO_FORECAST or found.low is None or found.high is None:
        return None
    half = (math.log(found.high) - math.log(found.low)) / 2
    freedom = found.n - 1
    deviation = half * math.sqrt(found.n) / quantile(found.confidence, found.n)
    # of a ratio within half of what is alike, an interval of half of it at either side lies within all of it
    wanted = max(abs(math.log(found.ratio)), math.log(1 + ALIKE) / 2)
    limits = [deviation * math.sqrt(freedom / float(chdtri(freedom, one))) for one in (0.1, 0.9)]
    least, most = (max(1, needed(one, wanted, found.confidence) - found.n) for one in limits)
    return least, most


def needed(deviation: float, half: float, confidence: float = CONFIDENCE) -> int:
    """How many pairs give an interval of at most +- `half` (log scale) at this standard deviation of the log ratios."""
    n = LEAST_PAIRS
    while n < 100_000 and quantile(confidence, n) * deviation / math.sqrt(n) > half:
        n += max(1, n // 50)
    return n


def shared_out(confidence: float, figures: int) -> float:
    """The confidence of each of several intervals that hold together with `confidence` (Bonferroni)."""
    return 1 - (1 - confidence) / max(1, figures)
