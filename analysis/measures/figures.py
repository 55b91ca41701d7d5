"""Throughput, mean test time and errors of the requests that completed in a window."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from analysis.journeys import Block, Texts
from analysis.measures.columns import Ints, Mask
from analysis.measures.window import Window

PERCENTILES = (50, 95, 99)
PEAK_US = 2_000_000
MOST_US = 1 << 22  # 4.2 s
STEP, LONGEST_US = 1.02, 1e12
# times at which curves are known, in µs: 2 % apart, up to 11 days
EDGES: Ints = np.unique(
    np.ceil(STEP ** np.arange(math.ceil(math.log(LONGEST_US, STEP)) + 1)).astype(np.int64)
)
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
    "service_ms",
    "errors",
)


class Figures:
    """The client's figures of a window; all None without one. A time is end - intended: from when a request was to be sent,
    which in a closed load is when it was.

    requests   requests that ended in the window, cut ones not among them
    failures   those of them with an error class; the rest are successes
    cut        requests that our own stop cut off in the window
    tps        successes / length of the window, per second
    mtt_ms     mean time over successes; None without any
    mtsd_ms    their standard deviation, divisor n, as The Grinder under nGrinder has it
    p50_ms …   nearest rank: the smallest time that at least q % of the successes do not exceed
    answer_or_give_up_ms   mean time over all requests, failures too: what is compared where arms fail differently
    service_ms  mean of end - start over successes: without what an open load's request waited before it was sent
    errors     failures by class, most frequent first, then by name
    """

    def __init__(self, window: Window | None, texts: Texts) -> None:
        self.window, self._texts = window, texts
        self._counts = np.zeros(len(texts.errors), np.int64)
        self._taken = Taken()
        self._done_us = self._service_us = 0

    def add(self, block: Block, inside: Mask) -> None:
        """Count the requests of a mask, which ended in the window."""
        error = block.error[inside]
        self._counts += np.bincount(error, minlength=len(self._counts))
        taken = (block.end - block.intended)[inside]
        good = self._texts.ok[error]
        self._service_us += int((block.end - block.start)[inside][good].sum())
        self._done_us += int(taken[~self._texts.is_error(error, "cut")].sum())
        self._taken.add(taken[good])

    @property
    def within(self) -> Ints:
        """How many successes took at most EDGES; shape (len(EDGES),)."""
        return self._taken.within()

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
            **self._taken.figures(),
            "answer_or_give_up_ms": self._done_us / (good + failures) / 1000 if good + failures else None,
            "service_ms": self._service_us / good / 1000 if good else None,
            "errors": errors(self._texts.errors, self._counts),
        }


class Taken:
    """Times in µs, of which is kept how often each came: memory does not grow with their number."""

    def __init__(self) -> None:
        self._counts = np.zeros(0, np.int64)  # by µs
        self._long: list[Ints] = []  # those above MOST_US; there is no time for many of them

    def add(self, taken_us: Ints) -> None:
        """Count some more."""
        counts = np.bincount(taken_us[taken_us < MOST_US])
        if len(counts) > len(self._counts):
            counts[: len(self._counts)] += self._counts
            self._counts = counts
        else:
            self._counts[: len(counts)] += counts
        self._long.append(taken_us[taken_us >= MOST_US])

    def within(self) -> Ints:
        """How many took at most each of EDGES; exact there, and those of several trials add up."""
        short = np.cumsum(self._counts)
        found = np.zeros(len(EDGES), np.int64)
        if len(short):
            found += short[np.minimum(EDGES, len(short) - 1)]
        long = np.sort(np.concatenate(self._long)) if self._long else np.zeros(0, np.int64)
        return found + np.searchsorted(long, EDGES, "right")

    def figures(self) -> dict[str, float | None]:
        """MTT, MTSD and percentiles in ms; None for no times at all."""
        short = np.flatnonzero(self._counts)
        long, often = np.unique(np.concatenate(self._long or [short[:0]]), return_counts=True)
        taken, counts = np.concatenate([short, long]), np.concatenate([self._counts[short], often])
        count = int(counts.sum())
        if not count:
            return dict.fromkeys(("mtt_ms", "mtsd_ms", *(f"p{q}_ms" for q in PERCENTILES)))
        mean = int((taken * counts).sum()) / count
        ranks = [-(-q * count // 100) for q in PERCENTILES]
        found = taken[np.searchsorted(np.cumsum(counts), ranks)]
        return {
            "mtt_ms": mean / 1000,
            "mtsd_ms": math.sqrt(float((np.square(taken - mean) * counts).sum()) / count) / 1000,
            **{f"p{q}_ms": float(one) / 1000 for q, one in zip(PERCENTILES, found, strict=True)},
        }


def times(taken_us: Ints) -> dict[str, float | None]:
    """MTT, MTSD and percentiles of times in µs, in ms; None for none."""
    taken = Taken()
    taken.add(taken_us)
    return taken.figures()


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
