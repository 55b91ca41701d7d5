"""Seconds in which answers took much longer than around them, in the hold: 1 s bins by the start of the request.

A spike is a second whose mean time is above twice the running median of the 30 s around it (own level: what a trial's users
feel as a jolt), or above one threshold that is the same for all arms (common level: an arm that is slow throughout has no
spikes of its own, and may have many of these).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from analysis.measures.timeline import Timeline
from analysis.measures.window import Window
from analysis.steady import Seconds

AROUND_S, TIMES = 30, 2.0
LEAST_S = 10  # seconds with a mean; with fewer there is nothing to tell


@dataclass(frozen=True)
class Spikes:
    """`share` of the seconds that are spikes; `excess_ms`: what they lie above the running median, in ms, spread over all
    seconds; `common_share`: of seconds above the common threshold."""

    seconds: int
    share: float
    excess_ms: float
    threshold_ms: float | None = None
    common_share: float | None = None


def seconds(timeline: Timeline, hold: Window) -> Seconds:
    """Answers and mean times of each whole second of a hold."""
    begin, end = int(np.ceil(hold.from_s)), int(hold.to_s)
    return Seconds(timeline.ended[begin:end].astype(np.float64), means(timeline, hold))


def means(timeline: Timeline, hold: Window) -> NDArray[np.float64]:
    """Mean time in ms of the successes that began in each whole second of a hold; NaN where none did, or some were cut by
    our own stop: only the quick ones have ended then."""
    begin, end = int(np.ceil(hold.from_s)), int(hold.to_s)
    began = timeline.began[begin:end].astype(np.float64)
    known = (began > 0) & (timeline.cut[begin:end] == 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = np.where(known, timeline.taken_us[begin:end] / began / 1000, np.nan)
    return found


def common(parts: Sequence[NDArray[np.float64]]) -> float | None:
    """One threshold for all: twice the median over all seconds of all trials; None for no second at all."""
    seconds = np.concatenate([one[~np.isnan(one)] for one in parts] or [np.zeros(0)])
    return TIMES * float(np.median(seconds)) if len(seconds) else None


def spikes(mean_ms: NDArray[np.float64], threshold_ms: float | None) -> Spikes | None:
    """The spikes of one trial; None when too few seconds have a mean."""
    at = np.flatnonzero(~np.isnan(mean_ms))
    if len(at) < LEAST_S:
        return None
    median = running(mean_ms)[at]
    above = mean_ms[at] > TIMES * median
    excess = float((mean_ms[at] - median)[above].sum()) / len(at)
    over = None if threshold_ms is None else float((mean_ms[at] > threshold_ms).mean())
    return Spikes(len(at), float(above.mean()), excess, threshold_ms, over)


def running(mean_ms: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of the 30 s around each second, fewer at the edges."""
    half = AROUND_S // 2
    around = sliding_window_view(np.pad(mean_ms, (half, half), constant_values=np.nan), AROUND_S)[:-1]
    known = ~np.isnan(mean_ms)
    found = np.full(len(mean_ms), np.nan)
    found[known] = np.nanmedian(around[known], axis=1)
    return found
