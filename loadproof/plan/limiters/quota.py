"""A hard quota of the kernel's scheduler, set on the app's unit: CPUQuota=5% is 5 ms in every 100 ms."""

from __future__ import annotations

from typing import Any

from loadproof.plan.calibration import Scale

DESCRIPTION = "cgroup quota: the scheduler gives the app's unit its share of each 100 ms and no more"
NEEDS: tuple[tuple[str, str], ...] = ()

# Measured: 4.9-5.0 % of a busy loop under CPUQuota=5%.
tolerance_points = 0.5
# The period of CPUQuota=.
cycle_s = 0.1
rough_below = 0.0

# An app of several threads may be given more than one CPU: what a host has is not known here, and a server is asked for.
scale = Scale(least=1.0, most=10_000.0, step=0.01)


def said(setting: float) -> str:
    """The property as systemd shows it."""
    return f"CPUQuota={setting:g}%"


def trial_settings(percent: float, unit: str) -> dict[str, Any]:
    """The "limiter" object of trial.json; percent of one CPU."""
    return {"kind": "quota", "percent": percent, "unit": unit}


def problems(percent: float, cpus: int) -> list[str]:
    """What is wrong with this percentage on a host of so many CPUs (0: unknown)."""
    found = []
    if percent < 1:
        # The kernel refuses quotas below 1 ms, which is 1 % of systemd's period of 100 ms.
        found.append(f"the smallest quota is 1 percent, not {percent:g}")
    elif percent != round(percent, 2):
        # systemd's CPUQuota= takes at most two decimals.
        found.append(f"a quota has at most two decimals, not {percent!r}")
    if cpus and percent > 100 * cpus:
        found.append(f"{percent:g} percent is more than the host's {cpus} CPUs")
    return found
