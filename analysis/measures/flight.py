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
        self._begun = np.zeros(
            seconds, np.int64
        )  # requests that started in a second, less those that ended in it
        self._at = np.zeros(
            seconds, np.float64
        )  # sum of their starts, less that of their ends, in µs since second 0

    def add(self, start: Ints, end: Ints, started: Ints, ended: Ints) -> None:
        """Count requests: when they started and ended in µs, and in which second; -1: outside."""
        # the clocks of two load hosts may put a start a blink before second 0
        first, since = np.maximum(started, 0), np.maximum(start - self._zero, 0)
        until = end - self._zero
        if not (inside := ended >= 0).all():
            first, since, ended, until = first[inside], since[inside], ended[inside], until[inside]
        for sign, second, at in ((1, first, since), (-1, ended, until)):
            self._begun += sign * np.bincount(second, minlength=self._seconds)
            self._at += sign * np.bincount(second, at, self._seconds)

    def in_flight(self) -> NDArray[np.float64]:
        """The mean number of requests in flight in each second."""
        before = np.cumsum(self._begun) - self._begun
        edge = np.arange(1, self._seconds + 1) * float(SECOND_US)
        found: NDArray[np.float64] = before + (edge * self._begun - self._at) / SECOND_US
        return found
