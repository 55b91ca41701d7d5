"""Users over time, as planned: the table is followed to the millisecond, counted from the first user's start."""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="misc"
from __future__ import annotations

import logging
from time import monotonic
from typing import Any

import gevent
from locust import LoadTestShape

from loadtests.trial import LoadTrial

FIRST_USER_S = 5.0

log = logging.getLogger("locust.loadproof")


class TableShape(LoadTestShape):
    """Walks the table of the trial in one tick.

    Locust asks a shape once a second, from a clock that starts when the test does: steps at fractions of a second
    would be late or skipped. So the first tick starts the steps itself, each at its time, and returns at the end.
    """

    abstract = True
    trial: LoadTrial

    def tick(self) -> None:
        """Follow the whole table, stop the users, and return None, which ends the test."""
        runner: Any = self.runner
        master = runner.environment.loadproof
        before = 0
        for index, (second, users) in enumerate(self.trial.table):
            following = self.trial.table[index + 1 : index + 2]
            if index:
                sleep_until(master.begun_s + second)
            if following and index and monotonic() - master.begun_s >= following[0][0]:
                log.error("step at second %s was skipped: its time had passed", second)
                continue
            # A rate of at least the step: all of its users start at once.
            runner.start(users, max(1, abs(users - before)))
            before = users
            if not index:
                self._wait_for_first_user(master)
        sleep_until(master.begun_s + self.trial.end_s)
        master.stop_workers()

    def _wait_for_first_user(self, master: Any) -> None:
        if not master.first_user.wait(FIRST_USER_S):
            log.error("no user started within %s s", FIRST_USER_S)
            master.begun_s = monotonic()
            master.first_user.set()


def sleep_until(second: float) -> None:
    """Sleep this greenlet until CLOCK_MONOTONIC shows `second`."""
    gevent.sleep(max(0.0, second - monotonic()))
