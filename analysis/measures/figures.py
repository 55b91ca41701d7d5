"""Throughput, mean test time and errors of the requests that completed in a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.journeys import Block, Texts
from analysis.measures.columns import Ints, Mask
from analysis.measures.window import Window

PERCENTILES = (50, 95, 99)
PEAK_US = 2_000_000
SQUARED_AT_ONCE = 1 << 20
NAMES = (
    "requests",
    "failures",
    "cut",
    "tps",
    "mtt_ms",
    "mtsd_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "answer_or_give_up_ms",
    "errors",
)


class Figures:
    """The client's figures of a window; all None without one.

    requests   requests that ended in the window, cut ones not among them
    failures   those of them with an error class; the rest are successes
    cut        requests that our own stop cut off in the window
    tps        successes / length of the window, per second
    mtt_ms     mean of end - start over successes; None without any
    mtsd_ms    their standard deviation, divisor n, as The Grinder under nGrinder has it
    p50_ms …   nearest rank: the smallest time that at least q % of the successes do not exceed
    answer_or_give_up_ms   mean of end - start over all requests, failures too: what is compared where arms fail differently
    errors     failures by class, most frequent first, then by name
    """

    def __init__(self, window: Window | None, texts: Texts, spread: bool = True) -> None:
        """Without `spread` no single time is kept: mtsd_ms and percentiles are None."""
        self.window, self._texts, self._spread = window, texts, spread
        self._counts = np.zeros(len(texts.errors), np.int64)
        self._taken: list[NDArray[np.uint32]] = []
        self._long: list[int] = []  # what does not fit into 32 bits: more than 71 minutes
        self._done_us = self._good_us = 0

    def add(self, block: Block, inside: Mask) -> None:
        """Count the requests of a mask, which ended in the window."""
        error = block.error[inside]
        self._counts += np.bincount(error, minlength=len(self._counts))
        taken = (block.end - block.start)[inside]
        self._done_us += int(taken[~self._texts.is_error(error, "cut")].sum())
        good = taken[self._texts.ok[error]]
        self._good_us += int(good.sum())
        if not self._spread:
            return
        small = good < 1 << 32
        self._taken.append(good[small].astype(np.uint32))
        self._long += good[~small].tolist()

    def figures(self) -> dict[str, Any]:
        """Their values by name."""
        if self.window is None:
            return dict.fromkeys(NAMES)
        by_class = dict(zip(self._texts.errors, self._counts.tolist(), strict=True))
        cut, good = by_class.pop("cut", 0), by_class.pop("", 0)
        failures = sum(by_class.values())
        return {
            "requests": good + failures,
            "failures": failures,
            "cut": cut,
            "tps": good / self.window.length_s,
            **times(self._times()),
            "mtt_ms": self._good_us / good / 1000 if good else None,
            "answer_or_give_up_ms": self._done_us / (good + failures) / 1000 if good + failures else None,
            "errors": errors(self._texts.errors, self._counts),
        }

    def _times(self) -> NDArray[Any]:
        """All times as one array; what they were kept in is given back on the way: there may be 100 million."""
        taken = np.zeros(sum(len(one) for one in self._taken), np.uint32)
        at = len(taken)
        while self._taken:
            part = self._taken.pop()
            at -= len(part)
            taken[at : at + len(part)] = part
        self._taken = [taken]
        return np.concatenate([taken.astype(np.int64), np.array(self._long)]) if self._long else taken


def times(taken_us: NDArray[Any]) -> dict[str, float | None]:
    """MTT, MTSD and percentiles of times in µs, in ms; None for none. Their order changes."""
    count = len(taken_us)
    if not count:
        return dict.fromkeys(("mtt_ms", "mtsd_ms", *(f"p{q}_ms" for q in PERCENTILES)))
    mean = int(taken_us.sum(dtype=np.int64)) / count
    squares = sum(
        float(np.square(taken_us[at : at + SQUARED_AT_ONCE] - mean).sum())
        for at in range(0, count, SQUARED_AT_ONCE)
    )
    ranks = [-(-q * count // 100) - 1 for q in PERCENTILES]
    taken_us.partition(sorted(set(ranks)))
    return {
        "mtt_ms": mean / 1000,
        "mtsd_ms": math.sqrt(squares / count) / 1000,
        **{f"p{q}_ms": float(taken_us[rank]) / 1000 for q, rank in zip(PERCENTILES, ranks, strict=True)},
    }


def errors(classes: Sequence[str], counts: Ints) -> dict[str, int]:
    """Failures by class, most frequent first."""
    pairs = [
        (name, int(count))
        for name, count in zip(classes, counts, strict=True)
        if count and name not in ("", "cut")
    ]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


class Peak:
    """The best of the 2 s stretches counted from second 0 (they do not overlap): its successes / 2 s. Descriptive."""

    def __init__(self, zero_us: int) -> None:
        self._zero, self._counts = zero_us, dict[int, int]()

    def add(self, block: Block, good: Mask) -> None:
        """Count the successes of a mask."""
        bins, counts = np.unique((block.end[good] - self._zero) // PEAK_US, return_counts=True)
        for one, count in zip(bins.tolist(), counts.tolist(), strict=True):
            self._counts[one] = self._counts.get(one, 0) + count

    @property
    def tps(self) -> float:
        """The best one."""
        return max(self._counts.values(), default=0) / (PEAK_US / 1e6)
