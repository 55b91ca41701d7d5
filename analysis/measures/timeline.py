"""Counts by second of the load, for the charts: seconds are whole ones from second 0."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.attribution import KEYS, Codes
from analysis.journeys import Block, Texts
from analysis.measures.columns import Ints, Mask
from analysis.measures.flight import Flight


class Timeline:
    """Successes by end and by when they were to begin, with their time; what was cut likewise; failures by end, by class and
    by reason; successes and failures by end and by server; requests in flight."""

    def __init__(self, zero_us: int, last_us: int, texts: Texts) -> None:
        self.zero_us, self.seconds = zero_us, max(0, (last_us - zero_us) // 1_000_000) + 1
        self.texts = texts
        self.ended, self.began, self.cut = (np.zeros(self.seconds, np.int64) for _ in range(3))
        self.taken_us = np.zeros(self.seconds, np.float64)  # of the successes that began
        self.done_us = np.zeros(self.seconds, np.float64)  # of the successes that ended
        self.flight = Flight(zero_us, self.seconds)
        self.errors = np.zeros((len(texts.errors), self.seconds), np.int64)
        self.reasons = np.zeros((len(KEYS) + 1, self.seconds), np.int64)
        self.answered, self.failed = (np.zeros((len(texts.apps), self.seconds), np.int64) for _ in range(2))

    def add(self, block: Block, codes: Codes) -> None:
        """Count a block."""
        end, start = self._second(block.end), self._second(block.intended)
        good, taken = self.texts.ok[block.error], block.end - block.intended
        done, begun = end[good], start[good]
        spent = self._sums(begun, taken[good])
        self.ended += self._counts(done)
        self.began += self._counts(begun)
        self.taken_us += spent
        over = np.flatnonzero(start != end)  # few: what follows costs little beside what is done of all
        late = over[good[over]]
        self.done_us += spent + self._sums(end[late], taken[late]) - self._sums(start[late], taken[late])
        rest = np.flatnonzero(~good & (end >= 0))
        booked = spent + self._sums(start[rest], taken[rest])
        self.flight.add(booked, block.intended[over], block.end[over], start[over], end[over])
        self.cut += self._counts(start[self.texts.is_error(block.error, "cut")])
        bad = rest[self.texts.flags(lambda name: name not in ("", "cut"))[block.error[rest]]]
        self.errors += self._table(block.error[bad], end[bad], len(self.errors))
        why = np.flatnonzero((codes >= 0) & (end >= 0))
        self.reasons += self._table(codes[why].astype(np.int64), end[why], len(self.reasons))
        served = (block.server >= 0) & (end >= 0)
        for into, mask in ((self.answered, good & served), (self.failed, (codes >= 0) & served)):
            at = np.flatnonzero(mask)
            into += self._table(block.server[at], end[at], len(into))

    def _second(self, at: Ints) -> Ints:
        """The second of each moment; -1 before the first one and behind the last one."""
        second = (at - self.zero_us) // 1_000_000
        return np.where((second < 0) | (second >= self.seconds), -1, second)

    def _counts(self, second: Ints) -> Ints:
        return np.bincount(second[second >= 0], minlength=self.seconds)

    def _sums(self, second: Ints, values: Ints) -> NDArray[np.float64]:
        inside: Mask = second >= 0
        sums = np.bincount(second[inside], values[inside].astype(np.float64), minlength=self.seconds)
        return sums.astype(np.float64)

    def _table(self, row: Ints, second: Ints, rows: int) -> Ints:
        flat = np.bincount(row * self.seconds + second, minlength=rows * self.seconds)
        return flat.reshape(rows, self.seconds)
