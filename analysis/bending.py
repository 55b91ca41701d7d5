"""Where an arm bends: its knee, its bounds, its law, and when errors begin, as values of results.json and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis import answer, usl
from analysis import knee as knees
from analysis.bounds import Bounds, bounds
from analysis.measures.levels import Level, Onset, Ramp, array, joined
from analysis.words import NONE, number
from loadproof.plan.load import KNEE_LEVELS
from loadproof.runfolder import record, shown


def of_trial(ramp: Ramp | None) -> dict[str, Any]:
    """ "levels" and "errors_begin" of one trial; None without a ramp."""
    if ramp is None:
        return {"levels": None, "errors_begin": None}
    begin = {"answer": _begins([ramp]), **_onset(ramp.begins)}
    layers = {layer: record.to_json(one) for layer, one in ramp.layers.items()}
    return {
        "levels": [record.to_json(one) for one in ramp.levels],
        "errors_begin": {**begin, "layers": layers},
    }


def of_arm(ramps: Mapping[int, Ramp | None]) -> dict[str, Any]:
    """ "knee", "bounds", "usl" and "errors_begin" of an arm, of the trials that count, by block; all None without a ramp."""
    blocks = {block: one for block, one in ramps.items() if one is not None and one.levels}
    found = list(blocks.values())
    if not found:
        return dict.fromkeys(("knee", "bounds", "usl", "errors_begin"))
    settled = [[level for level in ramp.levels if not level.why] for ramp in found]
    knee = knees.knee(
        [
            knees.Trial(array(some, "users"), array(some, "tps"), len(ramp.levels) - len(some), block)
            for some, (block, ramp) in zip(settled, blocks.items(), strict=True)
        ]
    )
    first = found[0]
    most = bounds(
        [level for some in settled for level in some], first.think_s, first.servers, first.limit_percent
    )
    return {
        "knee": {**record.to_json(knee), "answer": _bends(knee, len(found)), "line": _line(settled)},
        "bounds": {
            **record.to_json(most),
            "most_tps": most.most_tps,
            "users": most.users,
            "answer": _bounded(most),
        },
        "usl": _law(settled),
        "errors_begin": {
            "users": [None if one.begins is None else one.begins.users for one in found],
            "layers": _layers(found),
            "answer": _begins(found),
        },
    }


def sentences(arm: Mapping[str, Any]) -> list[str]:
    """What is said of the ramp of an arm of results.json; nothing without one, or where its steps were no levels."""
    if not shown.ramped(arm):
        return []
    said = [
        f"Throughput over users: {arm['knee']['answer']}.",
        f"Errors: {arm['errors_begin']['answer']}.",
    ]
    if not arm["knee"]["trials"]:  # too few levels for anything else
        return said
    return [
        *said,
        f"Bounds: {arm['bounds']['answer']}.",
        f"Scalability law on requests in flight: {arm['usl']['answer']}.",
    ]


def pairs(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """(pair of arms, users, TPS of both, their ratio, its interval, pairs of trials, in words) of each level that both have."""
    return [
        (
            f"{one['numerator']} / {one['denominator']}",
            number(one["users"]),
            *(number(tps, 2) for tps in one["tps"]),
            number(one["ratio"], 3),
            NONE if one["low"] is None else answer.interval(one, 3),
            number(one["n"]),
            one["words"],
        )
        for one in found
    ]


def _onset(one: Onset | None) -> dict[str, Any]:
    return dict.fromkeys(("users", "second", "failed", "completed")) if one is None else record.to_json(one)


def _layers(ramps: Sequence[Ramp]) -> dict[str, list[int | None]]:
    """By layer where its errors began: users, one per trial, None for never."""
    names = dict.fromkeys(name for one in ramps for name in one.layers)
    return {name: [one.layers[name].users if name in one.layers else None for one in ramps] for name in names}


def _begins(ramps: Sequence[Ramp]) -> str:
    """ "never up to 99 users", or where: at the fewest to the most users over trials, with the layers where they began."""
    began = [one.begins.users for one in ramps if one.begins is not None]
    most = max(one.levels[-1].users if one.levels else one.users for one in ramps)
    if not began:
        return f"never more than 1 % in 5 s up to {most} users"
    where = f"{min(began)}" if min(began) == max(began) else f"{min(began)} to {max(began)}"
    layers = [
        f"{name} {min(known)}"
        for name, users in sorted(_layers(ramps).items())
        if (known := [one for one in users if one is not None])
    ]
    of = f" in {len(began)} of {len(ramps)} trials" if len(began) < len(ramps) else ""
    return f"begin at {where} users{of}" + (f" ({', '.join(layers)})" if layers else "")


def _bends(knee: knees.Knee, ramps: int) -> str:
    """The knee in words, and of how many ramps it is not, for lack of levels; where it is of none it says so itself."""
    few = ramps - knee.trials if knee.trials else 0
    return knee.answer + (
        f"; in {few} of {ramps} ramps fewer than {KNEE_LEVELS} levels settled" if few else ""
    )


def _bounded(most: Bounds) -> str:
    if most.most_tps is None and most.alone_s is None:
        return f"unknown: {most.why}"
    said = []
    if most.most_tps is not None:
        said.append(f"at most {most.most_tps:.4g} TPS at the asked CPU")
    if most.users is not None:
        said.append(f"reached by {most.users:.0f} users at the earliest")
    return ", ".join(said or ["no bound of the CPU"]) + (f" ({most.why})" if most.why else "")


def _means(settled: Sequence[Sequence[Level]]) -> tuple[Any, Any, list[int]]:
    """Requests in flight and TPS of the levels that settled in every trial, means over trials; and their users."""
    levels = joined(settled)
    each = [(array(some, "in_flight").mean(), array(some, "tps").mean()) for some in levels.values()]
    flight, tps = np.array(each, np.float64).reshape(-1, 2).T
    return flight, tps, list(levels)


def _law(settled: Sequence[Sequence[Level]]) -> dict[str, Any]:
    flight, tps, _ = _means(settled)
    found = usl.law(flight, tps)
    names = {"scale": "lambda"}
    values = {names.get(name, name): value for name, value in record.to_json(found).items()}
    peak = found.peak and dict(zip(("in_flight", "tps"), found.peak, strict=True))
    return {**values, "peak": peak, "answer": found.answer}


def _line(settled: Sequence[Sequence[Level]]) -> list[list[float]] | None:
    """The straight line through the levels of all trials, as its two ends (users, TPS); None below 2 levels."""
    users, tps = (
        np.concatenate([array(some, name) for some in settled] or [np.zeros(0)]) for name in ("users", "tps")
    )
    if len(np.unique(users)) < 2:
        return None
    slope, base = np.polyfit(users, tps, 1)
    return [[float(one), float(base + slope * one)] for one in (users.min(), users.max())]
