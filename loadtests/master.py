"""The Locust master: waits for its workers, writes live.jsonl, says who got lost, stops everybody in order."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections import deque
from time import monotonic
from typing import Any

import gevent
from gevent.event import Event
from locust.runners import STATE_MISSING

from loadtests import autostop, messages
from loadtests.profiles.arrivals import BEGIN_S
from loadtests.recorder import replace_json
from loadtests.trial import LoadTrial

JOIN_S = 30.0  # for all workers to connect
LIVE_S = 3  # the live figures speak of so many seconds: workers report each second, but not in step
ZERO_EVERY_S = 0.05
STOP_S = 2.0  # for all workers to stop their users and say what they counted
EXIT_WORKERS_MISSING = 3

log = logging.getLogger("locust.loadproof")


class Master:
    """State of the Locust master in one trial. `first_user` is set when the first user has started."""

    def __init__(self, trial: LoadTrial) -> None:
        self.trial = trial
        self.first_user = Event()
        self.begun_s = 0.0  # CLOCK_MONOTONIC at second 0
        self._latest: dict[int, dict[str, Any]] = {}  # by worker: its last SECOND or STOPPED
        self._stopped: set[int] = set()
        self._lost: set[int] = set()
        self._stopping = False
        self._ended = False
        self._environment: Any = None
        self._live = open(os.path.join(trial.out, "live.jsonl"), "a", encoding="utf-8")  # noqa: SIM115

    def attach(self, environment: Any) -> None:
        """Listen to Locust's events and wait for the workers. Called once, before the load starts."""
        self._environment = environment
        runner = environment.runner
        environment.loadproof = self
        runner.register_message(messages.FIRST_USER, self._begin)
        runner.register_message(messages.SECOND, self._second)
        runner.register_message(messages.STOPPED, self._second)
        environment.events.quitting.add_listener(lambda **_: self.stop_workers())
        environment.events.quit.add_listener(self._close)
        runner.quit = once(runner.quit)
        # Locust listens to SIGTERM only when its shape has ended: until then the signal would kill it silently.
        gevent.signal_handler(signal.SIGTERM, self._terminate)
        self._wait_for_workers()
        gevent.spawn(self._every_second)

    def stop_workers(self) -> None:
        """Have all workers stop their users and report, so that the master's totals are whole. Done once."""
        if self._stopping:
            return
        self._stopping = True
        runner = self._environment.runner
        self._look_for_lost(runner)
        waited_for = {messages.worker_of(client.id) for client in runner.clients.all} - self._lost
        runner.send_message(messages.STOP)
        end = monotonic() + STOP_S
        while waited_for - self._stopped and monotonic() < end:
            gevent.sleep(0.01)
        for worker in sorted(waited_for - self._stopped):
            self._lose(worker, "did not answer the stop")

    def _terminate(self) -> None:
        log.info("SIGTERM: stopping the load")
        self.stop_workers()
        self._environment.runner.quit()  # ends the shape, and with it Locust's main program

    def _wait_for_workers(self) -> None:
        """Poll quickly: Locust's own wait looks once a second, and then waits as long again for nothing."""
        runner = self._environment.runner
        end = monotonic() + JOIN_S
        while len(runner.clients.ready) < self.trial.workers:
            if self._stopping:
                sys.exit(0)
            if monotonic() > end:
                connected = sorted(messages.worker_of(client.id) for client in runner.clients.all)
                self._write(
                    {"event": "workers_missing", "connected": connected, "expected": self.trial.workers}
                )
                log.error("only workers %s of %s came within %s s", connected, self.trial.workers, JOIN_S)
                runner.quit()
                sys.exit(EXIT_WORKERS_MISSING)
            gevent.sleep(0.01)

    def _begin(self, environment: Any, msg: Any) -> None:
        if not self.first_user.is_set():
            self.begun_s = monotonic()
            self.first_user.set()
            if self.trial.rate is not None:
                gevent.spawn(self._tell_the_second)

    def _tell_the_second(self) -> None:
        """Before the first arrival, several times: workers are busy with starting users, and the quickest message counts."""
        while not self._stopping and monotonic() - self.begun_s < BEGIN_S:
            self._environment.runner.send_message(messages.ZERO, {"second": monotonic() - self.begun_s})
            gevent.sleep(ZERO_EVERY_S)

    def _second(self, environment: Any, msg: Any) -> None:
        worker = int(msg.data["worker"])
        self._latest[worker] = msg.data
        if msg.type == messages.STOPPED:
            self._stopped.add(worker)

    def _every_second(self) -> None:
        self.first_user.wait()
        past = deque([(0.0, dict.fromkeys(("requests", "failures", "time_ms"), 0))], maxlen=LIVE_S)
        second, rule = 0, autostop.NGrinder() if self.trial.autostop == "ngrinder" else None
        while not self._ended:
            second += 1
            gevent.sleep(max(0.0, self.begun_s + second - monotonic()))
            if not self._stopping:
                self._look_for_lost(self._environment.runner)
            now, elapsed = {key: self._sum(key) for key in past[0][1]}, monotonic() - self.begun_s
            since, before = past[0]
            ended = now["requests"] - before["requests"]
            self._write(
                {
                    "elapsed_s": round(elapsed, 3),
                    "users": self._sum("users"),
                    "tps": round((ended - now["failures"] + before["failures"]) / (elapsed - since), 1),
                    # of all answers, failed ones too: what Locust knows while it runs
                    "mtt_ms": round((now["time_ms"] - before["time_ms"]) / ended, 3) if ended > 0 else None,
                    "failures": now["failures"],
                    "requests": now["requests"],
                    "lost": sorted(self._lost),
                }
            )
            past.append((elapsed, now))
            if (
                rule is not None
                and not self._stopping
                and rule.ends(second, now["requests"], now["failures"])
            ):
                self._end_early(second, now)
                return

    def _end_early(self, second: int, now: dict[str, Any]) -> None:
        users = self._sum("users")
        log.error("autostop: of %s requests %s failed: the load ends", now["requests"], now["failures"])
        self.stop_workers()
        # the last line: who looks at the end of a load finds out here why it ended
        counts = {"requests": now["requests"], "failures": now["failures"]}
        self._write(
            {"event": "autostop", "rule": self.trial.autostop, "elapsed_s": second, "users": users, **counts}
        )
        self._environment.runner.quit()  # ends the shape, and with it Locust's main program

    def _sum(self, key: str) -> Any:
        """Over all workers; a lost worker's counts stay, its users do not."""
        return sum(
            latest.get(key, 0)
            for worker, latest in self._latest.items()
            if key != "users" or worker not in self._lost
        )

    def _look_for_lost(self, runner: Any) -> None:
        clients = {messages.worker_of(client.id): client for client in runner.clients.all}
        for worker in set(self._latest) | set(clients):
            client = clients.get(worker)
            if client is None:
                self._lose(worker, "left")
            elif client.state == STATE_MISSING:
                self._lose(worker, "silent")
            elif worker in self._lost:
                self._lost.discard(worker)
                self._write({"event": "worker_back", "worker": worker, "elapsed_s": self._elapsed()})

    def _lose(self, worker: int, why: str) -> None:
        if worker not in self._lost:
            self._lost.add(worker)
            self._write({"event": "worker_lost", "worker": worker, "elapsed_s": self._elapsed(), "why": why})
            log.error("Locust worker %s is lost: %s", worker, why)

    def _elapsed(self) -> float | None:
        return round(monotonic() - self.begun_s, 3) if self.first_user.is_set() else None

    def _write(self, line: dict[str, Any]) -> None:
        if not self._live.closed:
            self._live.write(json.dumps(line) + "\n")
            self._live.flush()

    def _close(self, **_: Any) -> None:
        self._ended = True
        total = self._environment.stats.total
        totals = {
            "requests": total.num_requests,
            "failures": total.num_failures,
            "workers": {str(worker): latest for worker, latest in sorted(self._latest.items())},
            "lost": sorted(self._lost),
        }
        replace_json(os.path.join(self.trial.out, "totals-master.json"), totals)
        self._live.close()


def once(function: Any) -> Any:
    """A function that does its work at the first call only: Locust's shutdown quits four times, 0.5 s each."""
    called = False

    def call() -> None:
        nonlocal called
        if not called:
            called = True
            function()

    return call
