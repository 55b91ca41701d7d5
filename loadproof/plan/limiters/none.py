"""No limit: the app takes what the host gives."""

from __future__ import annotations

from typing import Any

DESCRIPTION = "nothing holds the app's CPU"
NEEDS: tuple[tuple[str, str], ...] = ()

# Nothing is asked, so nothing can be missed.
tolerance_points = float("inf")
cycle_s = 0.0
rough_below = 0.0

scale = None  # there is no share to come near to


def said(setting: float) -> str:
    """Nothing is set."""
    return "no limit"


def trial_settings(percent: float, unit: str) -> dict[str, Any]:
    """The "limiter" object of trial.json; the percentage means nothing here and is written as 0."""
    return {"kind": "none", "percent": 0, "unit": unit}


def problems(percent: float, cpus: int) -> list[str]:
    """Nothing can be wrong with a percentage that is not used."""
    return []
