"""Cumulative clocks as shares of a CPU, and stretches of time in which something held."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from analysis.measures.columns import Ints

Floats = NDArray[np.float64]
OFFSETS = 10  # into which a cycle is parted


def sliding(at: Ints, used_ns: Ints, from_us: int, to_us: int, length_us: int, cycle_us: int = 0) -> Floats:
    """The share of one CPU (0.05 is 5 %) in each stretch of `length_us` inside [from, to) that begins at `from`, at a
    sample, or ends at `to`: between samples a clock is taken to run evenly. A shorter [from, to) is one stretch. Empty
    when samples do not reach over it.

    `cycle_us`: what makes the clock run does so in bursts, one in so many µs. A stretch then holds a burst more or less
    by where it begins, and is the mean of those that begin within a cycle of each other.
    """
    if len(at) < 2 or at[0] > from_us or at[-1] < to_us or to_us <= from_us:
        return np.zeros(0)
    cycle = min(cycle_us, max(0, to_us - from_us - length_us))
    length = min(length_us, to_us - from_us)
    begin = np.unique(
        np.concatenate(
            ([from_us, to_us - length - cycle], at[(at >= from_us) & (at <= to_us - length - cycle)])
        )
    )
    offsets = ((np.arange(OFFSETS) + 0.5) * cycle / OFFSETS).astype(np.int64) if cycle else [0]
    spent = [moment(at, used_ns, begin + one + length) - moment(at, used_ns, begin + one) for one in offsets]
    shares: Floats = np.mean(spent, axis=0) / (length * 1000)
    return shares


def moment(at: Ints, used_ns: Ints, when: Ints | Sequence[int]) -> Floats:
    """A cumulative clock at moments between its samples, counted from the first one."""
    # epoch µs and ns do not fit a double to the last digit
    found: Floats = np.interp(np.asarray(when) - at[0], at - at[0], used_ns - used_ns[0])
    return found


def merged(stretches: Ints) -> Ints:
    """Stretches [from, to) of shape (n, 2) in order of time, those that touch made one."""
    kept = stretches[stretches[:, 1] > stretches[:, 0]]
    kept = kept[np.argsort(kept[:, 0], kind="stable")]
    if not len(kept):
        return kept
    ends = np.maximum.accumulate(kept[:, 1])
    first = np.append(True, kept[1:, 0] > ends[:-1])
    last = np.append(first[1:], True)
    return np.stack((kept[first, 0], ends[last]), axis=1)


def clipped(stretches: Ints, from_us: int, to_us: int) -> Ints:
    """The parts of merged stretches that lie in [from, to)."""
    cut = np.clip(merged(stretches), from_us, to_us)
    return cut[cut[:, 1] > cut[:, 0]]


def within(edges: Ints, stretches: Ints) -> NDArray[np.bool_]:
    """For each interval between two edges: does it lie in one of the stretches as a whole?"""
    found = merged(stretches)
    if not len(found) or len(edges) < 2:
        return np.zeros(max(0, len(edges) - 1), bool)
    index = np.searchsorted(found[:, 0], edges[:-1], "right") - 1
    inside: NDArray[np.bool_] = (index >= 0) & (edges[1:] <= found[np.maximum(index, 0), 1])
    return inside


def runs(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """(first, last + 1) of each run of true elements."""
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.astype(np.int8), [0]))))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
