"""Locust workers that do not last as long as the load."""

from __future__ import annotations

import json
from collections.abc import Callable

from loadproof.control.perform import Recorder
from loadproof.plan.values import TrialPlan


class Workers:
    """The Locust workers of a trial. One that the master has lost is noted and said once: the load goes on without it."""

    def __init__(self, trial: TrialPlan, record: Recorder, say: Callable[[str], None]) -> None:
        self._left = {number: host for host, number in trial.workers}
        self._record, self._say = record, say

    def look(self, line: str) -> None:
        """Take in the newest line of the master's live figures."""
        for number in sorted(_lost(line) & self._left.keys()):
            host, detail = self._left.pop(number), f"Locust worker {number} is lost"
            self._record.write("watch", "note", host=host, detail=detail)
            self._say(f"{host}: {detail}: the load goes on without its users")


def ended_by_rule(line: str) -> str:
    """What the master's last line says of a load that a rule ended early, as a sentence; empty when it says no such
    thing."""
    try:
        said = json.loads(line)
        if said["event"] != "autostop":
            return ""
        second, users, failures, requests = (
            int(said[name]) for name in ("elapsed_s", "users", "failures", "requests")
        )
    except (ValueError, KeyError, TypeError):
        return ""
    return (
        f"autostop: the load ended at second {second}, with {users} users: {failures} of {requests} requests had failed,"
        " more than half for 10 s"
    )


def _lost(line: str) -> set[int]:
    try:
        return set(json.loads(line)["lost"])
    except (ValueError, KeyError, TypeError):
        return set()  # nothing is said yet, or the line is being written, or tells of something else
