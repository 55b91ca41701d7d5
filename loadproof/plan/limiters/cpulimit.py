"""The limiter of the original experiment: `cpulimit -p PID -l 5 -c 1`, kept alive by hostside/limit.py."""

from __future__ import annotations

from typing import Any

from loadproof.plan.calibration import Scale

DESCRIPTION = "cpulimit stops and continues the app in slots of 100 ms (rough: 5 asked gives 5 to 8 %)"
NEEDS: tuple[tuple[str, str], ...] = (("cpulimit", "cpulimit"),)

# Measured: -l 5 gave 6.5-7.1 % over 15 s, and 5.0-8.0 % in short windows.
tolerance_points = 3.0
# Measured: it lets the app run in bursts of some 70 ms, about one a second.
cycle_s = 1.0
# What it does from cycle to cycle is in docs/methods.md. Measured with a queue that is never empty: -l 3, 4 and 5 gave
# 5 to 7 %, -l 8 gave 9.5 and -l 9 10.6 %.
rough_below = 10.0

scale = Scale(least=1.0, most=100.0, step=1.0)


def said(setting: float) -> str:
    """The option as a person would give it."""
    return f"-l {setting:g}"


def trial_settings(percent: float, unit: str) -> dict[str, Any]:
    """The "limiter" object of trial.json; percent of one CPU."""
    return {"kind": "cpulimit", "percent": int(percent), "unit": unit}


def problems(percent: float, cpus: int) -> list[str]:
    """What is wrong with this percentage on a host of so many CPUs (0: unknown)."""
    if percent != int(percent):
        return [
            f"cpulimit reads whole percents only, {percent:g} would silently become {int(percent)}: "
            "say a whole number, or --limiter quota"
        ]
    if not 1 <= percent <= 100:
        return [f"cpulimit -c 1 takes 1 to 100 percent of one CPU, not {percent:g}"]
    return []
