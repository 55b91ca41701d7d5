"""One Locust worker: gives out ids, writes rows, counts what Locust counts, stops when its master is gone."""

from __future__ import annotations

import functools
import itertools
import logging
import os
from time import monotonic_ns, process_time_ns
from types import SimpleNamespace
from typing import Any

import gevent
import locust.argument_parser
import locust.runners

from loadtests import messages, recorder
from loadtests.arrivals import Arrivals
from loadtests.oneshot import Attempt
from loadtests.profiles import arrivals
from loadtests.trial import LoadTrial

TICK_S = 0.01  # period of the timer whose lateness is the event loop's lag
WATCH_S = 0.5
SILENT_TICKS = 8  # of WATCH_S: the master answers every second; 4 s without a word and it is gone

NOBODY = "(no user was free)"
COUNTS = ("num_requests", "num_failures", "total_response_time")

log = logging.getLogger("locust.loadproof")


class Worker:
    """State of one Locust worker in one trial. `number` is that of its unit, over all load hosts."""

    def __init__(self, trial: LoadTrial, number: int) -> None:
        self.trial = trial
        self.number = number
        self.timeout_s = trial.timeout_s
        self.next_id = itertools.count(number << 48).__next__
        self.next_user = itertools.count(1).__next__
        self.recorder = recorder.Recorder(trial.out, number)
        self.record = self.recorder.request
        # Locust's own statistics, kept apart from the recorder so that the two can disagree. Each report to the
        # master empties them: here is what was reported. (A listener of our own cost 1.5 % CPU per request.)
        self._reported = dict.fromkeys(COUNTS, 0.0)
        self.cut = self.never_connected = 0
        self.arrivals = self._arrivals()
        self._users_begun = False
        self._lags: list[int] = []
        self._silent = 0
        self._environment: Any = None

    def missed(self, attempt: Attempt, error: int) -> None:
        """Count a request that got no answer."""
        if error == recorder.CUT:
            self.cut += 1
        if not attempt.port:
            self.never_connected += 1

    def not_made(self, due_ns: int, error: int) -> None:
        """Write, and tell Locust, that an arrival found no free user; it is `cut` when our own stop was the reason."""
        attempt = Attempt(self.next_id(), "", 0)
        attempt.intended_ns, attempt.start_ns = due_ns, monotonic_ns()
        attempt.end_ns = attempt.start_ns
        self.missed(attempt, error)
        self.record(attempt, error, "", 0)
        if error != recorder.CUT:
            waited_ms = (attempt.end_ns - due_ns) / 1e6
            self._environment.events.request.fire(
                request_type="", name=NOBODY, response_time=waited_ms, response_length=0, exception=TimeoutError(NOBODY),
                context={}, response=None,
            )  # fmt: skip

    def _arrivals(self) -> Arrivals | None:
        """What drives an open load; None for a closed one."""
        trial = self.trial
        if trial.rate is None:
            return None
        index = self.number - 1  # workers are numbered over all load hosts, from 1
        seed = arrivals.seed(trial.seed, trial.trial, self.number)
        share = arrivals.Share(trial.rate, index, trial.workers, trial.end_s, seed)
        return Arrivals(arrivals.times(trial.arrivals, share), trial.timeout_s, self.not_made)

    def user_changed(self, kind: int, user: int) -> None:
        """Write that a user started or stopped; the master hears of the first one, which is second 0."""
        self.recorder.user(kind, user)
        if not self._users_begun:
            self._users_begun = True
            self._environment.runner.send_message(messages.FIRST_USER, {"worker": self.number})

    def attach(self, environment: Any) -> None:
        """Listen to Locust's events. Called once, when the worker has reached its master."""
        self._environment = environment
        environment.loadproof = self
        events = environment.events
        events.report_to_master.add_listener(self._report)  # after Locust's own, which fills the report
        events.heartbeat_received.add_listener(self._heard)
        # On SIGTERM `quitting` comes before `test_stop`, and users still run: stop them first, close on `quit`.
        events.quitting.add_listener(lambda environment, **_: self._stop_users())
        events.quit.add_listener(self._close)
        environment.runner.register_message(messages.STOP, self._stop)
        environment.runner.register_message(messages.ZERO, self._zero)
        for loop in (self._measure_lag, self._every_second, self._watch_master):
            gevent.spawn(loop)

    def totals(self) -> dict[str, Any]:
        """Counts so far; `requests`, `failures` and `time_ms` (of all answers) are Locust's."""
        now = self._environment.stats.total
        return {
            "worker": self.number,
            "requests": int(self._reported["num_requests"]) + now.num_requests,
            "failures": int(self._reported["num_failures"]) + now.num_failures,
            "time_ms": round(self._reported["total_response_time"] + now.total_response_time, 3),
            "cut": self.cut,
            "connected_never": self.never_connected,
            "lost_rows": self.recorder.lost_rows,
        }

    def _report(self, data: dict[str, Any], **_: Any) -> None:
        for count in COUNTS:
            self._reported[count] += data["stats_total"][count]

    def _stop(self, environment: Any, msg: Any) -> None:
        runner = environment.runner
        self._stop_users()
        # Locust's last report goes first: what the master has when it hears STOPPED is complete.
        report: dict[str, Any] = {}
        environment.events.report_to_master.fire(client_id=runner.client_id, data=report)
        runner.send_message("stats", report)
        runner.send_message(messages.STOPPED, self.totals())

    def _zero(self, environment: Any, msg: Any) -> None:
        if self.arrivals is not None:
            self.arrivals.zero(float(msg.data["second"]))

    def _stop_users(self) -> None:
        if self.arrivals is not None:
            self.arrivals.stop()
        self._environment.runner.stop()

    def _close(self, **_: Any) -> None:
        path = os.path.join(self.trial.out, f"totals-{self.number}.json")
        recorder.replace_json(path, self.totals())
        self.recorder.close()

    def _measure_lag(self) -> None:
        while True:
            begin = monotonic_ns()
            gevent.sleep(TICK_S)
            self._lags.append(max(0, (monotonic_ns() - begin) // 1000 - int(TICK_S * 1e6)))

    def _every_second(self) -> None:
        due = monotonic_ns()
        while True:
            due += 1_000_000_000
            gevent.sleep(max(0.0, (due - monotonic_ns()) / 1e9))
            lags, self._lags = sorted(self._lags), []
            runner = self._environment.runner
            p99 = lags[99 * (len(lags) - 1) // 100] if lags else 0
            self.recorder.second(runner.user_count, lags[-1] if lags else 0, p99, process_time_ns())
            runner.send_message(messages.SECOND, {**self.totals(), "users": runner.user_count})

    def _heard(self, **_: Any) -> None:
        self._silent = 0

    def _watch_master(self) -> None:
        """Count our own ticks, not time: a worker that was itself stopped for a while must not blame the master."""
        while self._silent < SILENT_TICKS:
            gevent.sleep(WATCH_S)
            self._silent += 1
        log.error("no word from the Locust master for %s s: stopping", SILENT_TICKS * WATCH_S)
        self._environment.runner.quit()


def prepare_locust(number: int) -> None:
    """Two repairs of Locust that have no option; before its worker is made.

    The client id becomes HOST_NUMBER: Locust deals users to workers in the order of these names, random by default.
    And the default options are worked out once: at each spawn message Locust builds its command line parser anew for
    every option there is, which held up all users of a worker for 70 to 170 ms at every step (measured).
    """
    locust.runners.uuid4 = lambda: SimpleNamespace(hex=f"{number:05d}")
    locust.argument_parser.default_args_dict = functools.cache(locust.argument_parser.default_args_dict)
    locust.argument_parser.default_args_dict()
