"""Units of a trial's hosts as the facts after its load saw them: what did not last as long as the load, in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from loadproof.errors import RecordUnreadable
from loadproof.plan.actions import hosts_of, units
from loadproof.plan.places import APP_UNIT, PROXY_UNIT, load_unit
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.paths import TrialPaths

RUNNING = ("active", "unknown")  # unknown: systemd was not heard
KILLED = {"signal": "killed", "core-dump": "killed", "oom-kill": "killed, out of memory"}
LONGEST = 80  # characters of a word of systemd's


def notes(paths: TrialPaths, plan: TrialPlan) -> tuple[str, ...]:
    """Sentences on nginx and apps that were not running any more when the load ended, and on Locust workers that ended
    before it did, failed, or were lost by their master."""
    seen, missed = _after(paths), lost(paths, plan) or frozenset()
    return tuple(
        f"{host}: {text}"
        for host in hosts_of(plan)
        for text in _ended(units(plan, host), seen.get(host, {}), missed)
    )


def _ended(names: Mapping[str, str], seen: Mapping[str, Any], lost: frozenset[str]) -> Iterator[str]:
    for unit, name in names.items():
        state = seen.get(unit)
        state = state if isinstance(state, dict) else {}
        active = state.get("active", "unknown")
        if unit in (APP_UNIT, PROXY_UNIT):
            if active not in RUNNING:
                yield f"{name} was not running any more when the load ended: {_why(state)}"
        elif active == "failed":  # those that end with the load are inactive
            yield f"{name} {'ended before the load did' if unit in lost else 'failed'} ({_why(state)})"
        elif unit in lost:
            yield f"{name} was lost by its master before the load ended"


def lost(paths: TrialPaths, plan: TrialPlan) -> frozenset[str] | None:
    """The units of the workers that the master missed when it ended; None when it did not say."""
    try:
        text = (paths.raw(plan.loads[0]) / "totals-master.json").read_text(encoding="utf-8")
        return frozenset(load_unit(number) for number in json.loads(text)["lost"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _why(state: Mapping[str, Any]) -> str:
    """What systemd says of a unit that ended: how, and else in which state it is."""
    result = str(state.get("result") or "success")
    said = str(state.get("active")) if result == "success" else KILLED.get(result, result)
    return said[:LONGEST]


def _after(paths: TrialPaths) -> dict[str, Mapping[str, Any]]:
    """The units of each host, from the last facts after the load."""
    try:
        lines = record.read_facts(paths.facts).lines
    except RecordUnreadable:
        return {}
    facts = {str(line.get("host")): line.get("facts") for line in lines if line.get("when") == "after"}
    found = {host: one.get("units") for host, one in facts.items() if isinstance(one, dict)}
    return {host: one for host, one in found.items() if isinstance(one, dict)}
