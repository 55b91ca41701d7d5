"""What the charts over users draw, from results.json: levels, the line through them, the knee with its interval, the bounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from analysis import joined
from analysis.series import LEVELS
from analysis.words import visible

Row = tuple[str, str, float, float | None, float | None, float | None, float | None]


def frame(results: Mapping[str, Any]) -> pd.DataFrame:
    """Rows of `Series.levels` of every arm with a ramp."""
    rows = [
        row
        for arm in results["arms"]
        if arm.get("knee")
        for make in (_levels, _line, _knee, _bounds)
        for row in make(visible(arm["label"]), arm)
    ]
    return pd.DataFrame(rows, columns=LEVELS)


def _levels(label: str, arm: Mapping[str, Any]) -> Iterator[Row]:
    for trial in joined.trusted(arm["trials"]):
        for one in trial["levels"] or ():
            if not one["why"]:
                yield label, "level", one["users"], None, one["tps"], one["mtt_ms"], one["in_flight"]


def _line(label: str, arm: Mapping[str, Any]) -> Iterator[Row]:
    """With a knee the mean of the trials' broken sticks, else one straight line."""
    knee = arm["knee"]
    ends = knee["line"] or []
    points = dict(ends)
    if knee["kind"] == "knee" and ends:
        (first, _), (last, _) = ends
        at = sorted({first, last, *(one["users"] for one in knee["each"])})
        points = {users: sum(_stick(one, users) for one in knee["each"]) / len(knee["each"]) for users in at}
    for users, tps in points.items():
        yield label, "line", users, None, tps, None, None


def _stick(bend: Mapping[str, float], users: float) -> float:
    slope = bend["before"] if users < bend["users"] else bend["after"]
    return bend["tps"] + slope * (users - bend["users"])


def _knee(label: str, arm: Mapping[str, Any]) -> Iterator[Row]:
    """At the knee; a second row has its interval."""
    knee = arm["knee"]
    if knee["users"] is None:
        return
    tps = sum(_stick(one, knee["users"]) for one in knee["each"]) / len(knee["each"])
    yield label, "knee", knee["users"], None, tps, None, None
    if knee["low"] is not None:
        yield label, "interval", knee["low"], knee["high"], None, None, None


def _bounds(label: str, arm: Mapping[str, Any]) -> Iterator[Row]:
    """min(N / (R0 + Z), m / D), as far as levels go."""
    known, ends = arm["bounds"], arm["knee"]["line"]
    if not ends:
        return
    last, most, alone = ends[-1][0], known["most_tps"], known["alone_s"]
    if alone:
        rising = last if most is None else min(last, known["users"])
        yield label, "bound", 0.0, None, 0.0, None, None
        yield label, "bound", rising, None, rising / alone, None, None
    if most is not None and (not alone or known["users"] < last):
        if not alone:
            yield label, "bound", 0.0, None, most, None, None
        yield label, "bound", last, None, most, None, None
