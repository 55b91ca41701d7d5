"""Drives an open load in one Locust worker: hands each arrival to a user who is free, and says which could not be made.

No Locust import. A user who asks for work gets the arrival that has waited longest; without one it waits. Who was free
last goes first: the load uses as many connections as it needs, and no more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic_ns

import gevent
from gevent.event import AsyncResult

from loadtests import recorder

Missed = Callable[[int, int], None]


class Arrivals:
    """Arrivals of one worker. `seconds` when they are due, counted from second 0; who finds no free user for `timeout_s` is
    not made: `missed` gets its CLOCK_MONOTONIC ns and the error class."""

    def __init__(self, seconds: Iterable[float], timeout_s: float, missed: Missed) -> None:
        self._seconds, self._patience_ns, self._missed = seconds, round(timeout_s * 1e9), missed
        self._zero_ns: int | None = None
        self._begun: gevent.Greenlet | None = None
        self._free: list[AsyncResult] = []
        self._late: deque[int] = deque()  # due, and no user free
        self._over = False

    def zero(self, second: float) -> None:
        """The master says which second it is. A message may come late and never early: the earliest zero is the best
        one. Arrivals begin with the first message, and it is told several times before the first one is due."""
        zero_ns = monotonic_ns() - round(second * 1e9)
        self._zero_ns = zero_ns if self._zero_ns is None else min(self._zero_ns, zero_ns)
        if self._begun is None and not self._over:
            self._begun = gevent.spawn(self._run)

    def take(self) -> int:
        """The next arrival for the user who asks, as CLOCK_MONOTONIC ns; waits until there is one."""
        self._give_up()
        if self._late:
            return self._late.popleft()
        mine: AsyncResult = AsyncResult()
        self._free.append(mine)
        try:
            due_ns: int = mine.get()
        except BaseException:  # the user is stopped while it waits
            if mine.ready():
                self._missed(mine.value, recorder.CUT)
            else:
                self._free.remove(mine)
            raise
        return due_ns

    def stop(self) -> None:
        """No arrival any more; those that still wait for a user are cut off. May be called twice."""
        self._over = True
        if self._begun is not None:
            self._begun.kill()
        while self._late:
            self._missed(self._late.popleft(), recorder.CUT)

    def _run(self) -> None:
        for second in self._seconds:
            due_ns = self._wait(second)
            if self._free:
                self._free.pop().set(due_ns)
            else:
                self._late.append(due_ns)
        while True:
            self._give_up()
            gevent.sleep(self._patience_ns / 1e9 / 10)

    def _wait(self, second: float) -> int:
        """Sleeps until an arrival is due, and gives those up whose time is over meanwhile."""
        while True:
            self._give_up()
            assert self._zero_ns is not None, "nothing runs before zero is known"
            due_ns, now_ns = self._zero_ns + round(second * 1e9), monotonic_ns()
            if now_ns >= due_ns:
                return due_ns
            until_ns = min(due_ns, self._late[0] + self._patience_ns) if self._late else due_ns
            gevent.sleep(max(0.0, (until_ns - now_ns) / 1e9))

    def _give_up(self) -> None:
        now_ns = monotonic_ns()
        while self._late and now_ns - self._late[0] >= self._patience_ns:
            self._missed(self._late.popleft(), recorder.NOT_MADE)
