"""How many requests were in flight, by second of the load: failed ones and those cut by our own stop are in flight too."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.measures.columns import Ints

SECOND_US = 1_000_000


class Flight:
    """The time of all requests, clipped to each whole second from second 0."""

    def __init__(self, zero_us: int, seconds: int) -> None:
        self._zero, self._seconds = zero_us, seconds
        self._within = np.zeros(
            seconds, np.float64
        )  # time of requests that began and ended in one second, in µs
        # of the others, by second: those that started in it, less those that ended in it; the same of the sums of these times
        self._begun = np.zeros(seconds, np.int64)
        self._at = np.zeros(seconds, np.float64)

    def add(self, booked: NDArray[np.float64], start: Ints, end: Ints, started: Ints, ended: Ints) -> None:
        """Count requests. `booked`: the time of all of them in µs, by the second in which they started. The rest are those
        alone that ended in another second: start and end in µs, and the seconds of these; -1: outside."""
        inside = np.flatnonzero(started >= 0)
        moved = np.bincount(started[inside], (end - start)[inside], self._seconds)
        self._within += booked - moved
        known = ended >= 0
        # the clocks of two load hosts may put a start a blink before second 0
        first, since = np.maximum(started[known], 0), np.maximum(start[known] - self._zero, 0)
        for sign, second, at in ((1, first, since), (-1, ended[known], end[known] - self._zero)):
            self._begun += sign * np.bincount(second, minlength=self._seconds)
            self._at += sign * np.bincount(second, at, self._seconds)

    def in_flight(self) -> NDArray[np.float64]:
        """The mean number of requests in flight in each second."""
        before = np.cumsum(self._begun) - self._begun
        edge = np.arange(1, self._seconds + 1) * float(SECOND_US)
        over = edge * self._begun - self._at
        found: NDArray[np.float64] = before + (self._within + over) / SECOND_US
        return found
