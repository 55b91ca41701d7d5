"""Spikes as the page has them: seconds in which answers took much longer than around them, by arm and by pair of arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.words import NONE, number

LEVELS = {"share": "twice the median around them", "common_share": "the level common to all arms"}


def arms(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """(arm, seconds asked, spikes in % of them, their excess, seconds above the common level in %, that level); nothing
    where no arm has any that can be told."""
    rows = [(arm["label"], *_cells(arm["spikes"])) for arm in found]
    return rows if any(arm["spikes"] for arm in found) else []


def _cells(one: Mapping[str, Any] | None) -> tuple[str, ...]:
    if one is None:
        return (NONE,) * 5
    common = one["common_share"]
    return (
        number(one["seconds"]),
        f"{100 * one['share']:.2f}",
        number(one["excess_ms"], 2),
        NONE if common is None else f"{100 * common:.2f}",
        number(one["threshold_ms"]),
    )


def pairs(found: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """(pair, above what, difference in points of the seconds, both ends of its interval, pairs of trials)."""
    return [
        (
            f"{one['numerator']} − {one['denominator']}",
            LEVELS.get(one["what"], one["what"]),
            f"{100 * one['difference']:+.2f}",
            *(NONE if one[end] is None else f"{100 * one[end]:+.2f}" for end in ("low", "high")),
            number(one["n"]),
        )
        for one in found
    ]
