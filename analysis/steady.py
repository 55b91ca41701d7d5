"""Whether a level stays: of throughput and of times, second by second over a hold.

Pure. Seconds of a trial are not independent: batches of them are taken as such, never the seconds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.statistics import PRACTICAL, quantile

Floats = NDArray[np.float64]

LONG_S = 300  # from here on MSER-5 tells; on 30 s it is pinned to its limit in 24-27 % of flat series
LEAST_S = 12  # seconds with a value; with fewer nothing can be told. A hold of 15 s may have less than 15 whole ones
OF_FIVE = 5
MOST_CUT = 0.40  # of the hold: what has to be cut later than that never settled
MOST_CHANGE = 0.10  # over the hold
LEVELS_APART = PRACTICAL  # two halves of a hold that changes by MOST_CHANGE
FEWEST, MOST, BATCH_S = 5, 10, 6  # batches of the slope, and how long they are where there is room
CERTAIN = 0.995  # each of throughput and times: both together 99 %


@dataclass(frozen=True)
class Seconds:
    """A hold by its whole seconds, shape (seconds,): successes that ended, and the mean time in ms of those that began
    (NaN where none did)."""

    ended: Floats
    mean_ms: Floats


@dataclass(frozen=True)
class Slope:
    """The change of a level over its whole length, as a share of its mean, along a least-squares line over batch means,
    and its t interval."""

    change: float
    low: float
    high: float

    @property
    def steady(self) -> bool:
        """Whether the change may be within 10 %."""
        return self.low <= MOST_CHANGE and self.high >= -MOST_CHANGE


@dataclass(frozen=True)
class Cut:
    """Where MSER-5 cuts a level, as a share of its length, and by how much what is cut lies beside what is left, as a
    share of that."""

    at: float
    apart: float

    @property
    def steady(self) -> bool:
        """Whether it cuts early, or what it cuts is like the rest."""
        return self.at <= MOST_CUT or abs(self.apart) <= LEVELS_APART


def slope(seconds: Floats) -> Slope | None:
    """Of a level by seconds; None when there are fewer than 12 with a value, or it is 0."""
    known = np.flatnonzero(~np.isnan(seconds))
    if len(known) < LEAST_S or not seconds[known].mean() > 0:
        return None
    count = min(MOST, max(FEWEST, len(known) // BATCH_S))
    parts = np.array_split(known, count)
    means = np.array([seconds[part].mean() for part in parts])
    at = np.array([part.mean() for part in parts])
    at -= at.mean()
    spread = float((at**2).sum())
    rise = float((means * at).sum()) / spread
    left = means - means.mean() - rise * at
    error = math.sqrt(float((left**2).sum()) / (count - 2) / spread)
    whole = len(seconds) / float(seconds[known].mean())
    half = quantile(CERTAIN, count - 1) * error * whole  # a line takes two degrees of freedom, a mean one
    return Slope(rise * whole, rise * whole - half, rise * whole + half)


def mser5(seconds: Floats) -> int:
    """How many seconds MSER-5 cuts off the beginning, 0 to half of them: so that the standard error of the mean of what is
    left, by batches of 5, is smallest (White 1997; Hoad, Robinson and Davies 2010 for the limit)."""
    count = len(seconds) // OF_FIVE
    means = seconds[: count * OF_FIVE].reshape(count, OF_FIVE).mean(axis=1)
    left = count - np.arange(count // 2 + 1)
    sums, squares = (np.cumsum(values[::-1])[::-1][: len(left)] for values in (means, means**2))
    errors = (squares - sums**2 / left) / left**2
    return OF_FIVE * int(np.argmin(errors)) if len(errors) else 0


def cut(seconds: Floats) -> Cut | None:
    """Of a level by seconds, of at least 300; None when it is 0."""
    known = seconds[~np.isnan(seconds)]
    if not len(known) or not known.mean() > 0:
        return None
    at = mser5(known)
    if not at:
        return Cut(0.0, 0.0)
    left = float(known[at:].mean())
    return Cut(at / len(known), float(known[:at].mean()) / left - 1 if left > 0 else math.inf)


def found(seconds: Seconds) -> Sequence[tuple[str, Slope | Cut]]:
    """(what, finding) of throughput and times, as far as they can be told: by MSER-5 from 300 s on, by slope below."""
    tell = cut if len(seconds.ended) >= LONG_S else slope
    told = (("TPS", tell(seconds.ended)), ("times", tell(seconds.mean_ms)))
    return [(what, one) for what, one in told if one is not None]
