"""Reading a host back after its changes: every promise holds and nothing is left, or the program itself says why not."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from loadproof.control import probe
from loadproof.control.remote import Remote
from loadproof.errors import NotReady, StepFailed
from loadproof.plan import changes as plan_changes
from loadproof.plan import places
from loadproof.plan.shell import quote
from loadproof.plan.values import Change, HostDesired, Promise

READY_S = 60.0
EVERY_S = 0.2
LOOKS = 3  # in a row that a unit is down before it is called dead
RESTARTS = 3  # of one unit while we look: it does not come up by itself
DOWN = ("failed", "inactive")
UNITS = {"health": places.APP_UNIT, "config": places.PROXY_UNIT}  # which unit keeps which promise
LOGS = {places.APP_UNIT: "app.log", places.PROXY_UNIT: "error.log"}
KEPT = "the changes stay"


def read_back(remote: Remote, desired: HostDesired, within_s: float = READY_S) -> None:
    """Wait until every promise of a host holds and nothing is left to change.

    Raises StepFailed as soon as a unit that must run stays down or keeps restarting, NotReady with what was seen when
    the time is over; both carry the last lines that the program said.
    """
    started = time.monotonic()
    question = plan_changes.question(desired)
    # all facts, with every file's hash, would slow down the very program that is starting beside them
    glance = (
        {name: question[name] for name in ("units", "health", "config")} if desired.promises else question
    )
    first: Mapping[str, int] = {}
    down: dict[str, int] = {}
    while True:
        found = probe.facts(remote, glance)
        broken = {promise: text for promise in desired.promises if (text := broken_promise(promise, found))}
        left: tuple[Change, ...] = ()
        if not broken:
            found = found if glance is question else probe.facts(remote, question)
            left = plan_changes.changes(found, desired)
            if not left:
                return
        first = first or restarts(found)
        down = still_down(desired, found, down)
        for unit, why in hopeless(first, restarts(found), down).items():
            raise dead(remote, unit, why)
        waited = time.monotonic() - started
        if waited >= within_s:
            seen = "; ".join(
                [*broken.values(), *(f"still to do: {change.kind} {change.what}" for change in left)]
            )
            said = [last_words(remote, unit) for unit in {UNITS[promise.kind]: 0 for promise in broken}]
            seen = "\n".join([seen, *filter(None, said)])
            raise NotReady(
                remote.host.name, "the host is as desired", waited, seen, kept=KEPT, next="inv deploy"
            )
        time.sleep(EVERY_S)


def broken_promise(promise: Promise, found: Mapping[str, Any]) -> str:
    """What is wrong with a promise, "" when it holds."""
    seen = found.get(promise.kind, {}).get(str(promise.port))
    if promise.kind == "config":
        if seen == promise.expected:
            return ""
        return f"nginx on {promise.port} answers config {seen}, not {promise.expected}"
    if isinstance(seen, Mapping):
        good_id = seen.get("deploy_id") == promise.expected
        if good_id and (not promise.variant or seen.get("variant") == promise.variant):
            return ""
    return f"the app on {promise.port} answers {json.dumps(seen)}, not {promise.expected} {promise.variant}"


def restarts(found: Mapping[str, Any]) -> dict[str, int]:
    """How often systemd has restarted each unit by itself."""
    return {name: int((unit or {}).get("restarts", 0)) for name, unit in found.get("units", {}).items()}


def still_down(desired: HostDesired, found: Mapping[str, Any], before: Mapping[str, int]) -> dict[str, int]:
    """The units that must run and are down, each with the number of looks in a row."""
    states = {name: (unit or {}).get("active") for name, unit in found.get("units", {}).items()}
    running = [unit.name for unit in desired.units if unit.state == "running"]
    return {name: before.get(name, 0) + 1 for name in running if states.get(name) in DOWN}


def hopeless(first: Mapping[str, int], now: Mapping[str, int], down: Mapping[str, int]) -> dict[str, str]:
    """The units that will not come up by waiting, and how that shows."""
    found = {name: "is not running" for name, looks in down.items() if looks >= LOOKS}
    for name, count in now.items():
        if (grown := count - first.get(name, 0)) >= RESTARTS:
            found[name] = f"does not stay up, systemd restarted it {grown} times"
    return found


def dead(remote: Remote, unit: str, why: str) -> StepFailed:
    """The error for a program that does not run, in its own words."""
    said = last_words(remote, unit)
    what = f"{unit} {why}\n{said}".rstrip()
    next = f"put right what it says, then inv deploy; all of it: journalctl -u {unit} on the host"
    return StepFailed(remote.host.name, unit, 1, said, what=what, kept=KEPT, next=next)


def last_words(remote: Remote, unit: str) -> str:
    """The last lines of what a program said, to systemd and to its own log."""
    journal = quote("journalctl", "--unit", unit, "--lines", "4", "--output", "cat", "--no-pager")
    log = quote("tail", "-n", "12", f"{places.CURRENT}/{LOGS.get(unit, '')}")
    return remote.run(f"{journal} 2>/dev/null; {log} 2>/dev/null; true", 15).stdout.strip()
