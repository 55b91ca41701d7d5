"""The user that scenarios build on: a closed loop of task, think time, next task; or, in an open load, task by arrival."""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="misc"
from __future__ import annotations

import random
from time import monotonic_ns
from typing import Any

from locust.contrib.fasthttp import FastHttpUser
from locust.user.task import LOCUST_STATE_RUNNING

from loadtests import recorder
from loadtests.session import Session


class LoadUser(FastHttpUser):
    """A user whose every request is recorded. `number` counts from 1 in its worker; `rng` is seeded by the trial."""

    abstract = True
    _asleep_since_ns = 0  # Locust sets a state before there is anything of ours

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.worker = environment.loadproof
        self.trial = self.worker.trial
        self.number: int = self.worker.next_user()
        self.rng = random.Random(f"{self.trial.seed}/{self.worker.number}/{self.number}")
        self.client = Session(self.host, environment.events.request, self, self.worker)
        self._asleep_since_ns = self._slept_ns = 0
        self._due_ns = 0
        if self.worker.arrivals is not None:
            self.tasks = [LoadUser._by_arrival]  # in place of those of its class, one of which that does

    @property
    def _state(self) -> Any:
        """Where the user is in its life, as Locust keeps it."""
        return self._locust_state

    @_state.setter
    def _state(self, state: Any) -> None:
        # Locust says "running" as soon as a user wakes: what its task does before the request is no sleep
        self._locust_state = state
        if state == LOCUST_STATE_RUNNING and self._asleep_since_ns:
            self._slept_ns, self._asleep_since_ns = monotonic_ns() - self._asleep_since_ns, 0

    def start(self, group: Any) -> Any:
        """Start the user's greenlet, and write rows when it starts and when it has ended, however it ends."""
        self.worker.user_changed(recorder.KIND_USER_STARTED, self.number)
        greenlet = super().start(group)
        greenlet.rawlink(self._ended)
        return greenlet

    def wait_time(self) -> float:
        """Seconds to think: Locust asks just before the user goes to sleep."""
        if self.worker.arrivals is not None:
            return 0.0
        self._asleep_since_ns = monotonic_ns()
        return float(self.trial.think_s)

    def _by_arrival(self) -> None:
        """Waits for an arrival, then does one task; its first request was to be sent at that moment."""
        self._due_ns = self.worker.arrivals.take()
        self._taskset_instance.execute_task(self.rng.choice(type(self).tasks))

    def due_ns(self) -> int:
        """When the request that begins now was to be sent, CLOCK_MONOTONIC; 0 in a closed loop, and for every other one of a
        task."""
        due_ns, self._due_ns = self._due_ns, 0
        return due_ns

    def slept_us(self) -> int:
        """Microseconds really slept since the last request; later calls say 0 until the next sleep."""
        slept, self._slept_ns = self._slept_ns, 0
        return slept // 1000

    def _ended(self, _greenlet: Any) -> None:
        self.client.settle()
        self.worker.user_changed(recorder.KIND_USER_STOPPED, self.number)
