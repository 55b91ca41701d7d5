"""Every setting of an experiment: its value (of each arm, where they differ), and where it came from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from analysis.words import NONE
from loadproof.plan import openload
from loadproof.plan.settings import OF_CLOSED, USERS
from loadproof.plan.values import Arm, Experiment

Row = tuple[str, str, str]


def settings(asked: Experiment) -> list[Row]:
    """(name, value, origin) of all of them, in the words of experiment files: factors first, then the load, what serves,
    the limit, and what is one for all arms. Values that follow from others have no origin of their own."""
    origins = dict(asked.origins)
    factors = {name for arm in asked.arms for name, _ in arm.factors} if len(asked.arms) > 1 else set()
    by_arm = [_of_arm(arm) for arm in asked.arms]
    names = dict.fromkeys(name for one in by_arm for name in one)
    rows = [(name, _values([one.get(name, NONE) for one in by_arm], name in factors), name) for name in names]
    levels = [dict(arm.factors) for arm in asked.arms]
    rows += [
        (name, _values([str(one.get(name, NONE)) for one in levels], True), name)
        for name in sorted(factors - names.keys())
    ]
    rows += [(name, text, name) for name, text in _of_all(asked).items()]
    rows.sort(key=lambda row: row[0] not in factors)
    return [(name, text, _origin(key, origins)) for name, text, key in rows]


def _values(values: Sequence[str], factor: bool) -> str:
    found = list(dict.fromkeys(values))
    return ", ".join(found) + (" (a factor)" if factor else "")


def _origin(name: str, origins: dict[str, str]) -> str:
    if name in origins:
        return origins[name]
    follows = {
        "vusers": ("processes", "threads"),
        "processes": ("vusers",),
        "threads": ("vusers",),
        "duration": ("settle", "hold"),
    }.get(name, ())
    said = [one for one in follows if one in origins]
    if "rate" in origins:
        if name in OF_CLOSED:
            return "an open load has none"
        if name in USERS and not said:
            said = ["rate", "timeout"]
    if name in ("rate", "arrivals") and origins:  # a closed load has neither
        return "default"
    if name == "thresholds":
        return "the experiment's file"
    return f"follows from {' and '.join(said)}" if said else "not recorded"


def _of_arm(arm: Arm) -> dict[str, str]:
    load, serving = arm.load, arm.serving
    table = load.table
    return {
        "servers": str(arm.servers) if arm.servers else "all",
        "vusers": str(load.users),
        "processes": str(load.processes),
        "threads": str(load.threads),
        "ramp": load.ramp,
        "initial": f"{table[0][1]} users" if table else NONE,
        "step": f"{table[1][1] - table[0][1]} users" if len(table) > 1 else "none, all at once",
        "interval": f"{table[1][0] - table[0][0]:g} s" if len(table) > 1 else "none, all at once",
        "settle": f"{load.settle_s:g} s",
        "hold": f"{load.hold_s:g} s",
        "duration": f"{load.end_s:g} s",
        "think": f"{load.think_s:g} s",
        "rate": NONE if load.rate is None else openload.spell(load.rate),
        "arrivals": NONE if load.rate is None else load.arrivals,
        "autostop": load.autostop,
        "timeout": f"{load.timeout_s:g} s",
        "scenario": load.scenario,
        "cpu-limit": "none" if arm.limit.kind == "none" else f"{arm.limit.percent:g} %",
        "limiter": arm.limit.kind,
        "variant": serving.variant,
        "rows": str(serving.rows),
        "balance": serving.balance,
        "keepalive": _yes(serving.keepalive),
        "failover": _yes(serving.failover),
        **{f"app.{name}": value for name, value in serving.app},
    }


def _of_all(asked: Experiment) -> dict[str, str]:
    found: dict[str, Any] = {
        "question": asked.question,
        "primary": asked.primary,
        "repeats": asked.blocks,
        "seed": asked.seed,
        "warm": f"{asked.warm_requests} requests to each server",
        "steal": f"at most {asked.steal:g} %",
        "calibrate": _yes(asked.calibrate),
        "name": asked.name,
        "note": asked.note,
        **({"thresholds": "; ".join(asked.thresholds)} if asked.thresholds else {}),
    }
    return {name: str(value) if value not in ("", None) else NONE for name, value in found.items()}


def _yes(value: bool) -> str:
    return "yes" if value else "no"
