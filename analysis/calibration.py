"""What the calibration trials of a run found, from files only: per server the setting of its limiter, the share that it
gave, and how far repeats lay apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from analysis.measures.cpu import ENOUGH_US
from analysis.trial import Judged
from loadproof.plan import calibration, limiters
from loadproof.plan.calibration import Measured
from loadproof.plan.trials import repeats

FAR_POINTS = 1.0  # a share that is farther from the asked one cannot be called calibrated
BREAKS = (
    "limiter_attached",
    "app_alive",
    "hosts_up",
)  # checks without which a share is not that of the setting


def shares(judged: Judged) -> dict[str, float | None]:
    """The share of one CPU that each server of a trial got under its limit, in percent; None: unknown, or not that of the
    setting."""
    broken, hold = bool(breaks(judged)), judged.hold
    # a window of a few bursts tells of them alone
    enough = hold is not None and hold.to_us - hold.from_us >= ENOUGH_US
    found: dict[str, float | None] = {}
    for server in judged.figures["servers"]:
        busy = server.get("cpu_saturated_percent")  # while requests waited, where that is known
        share = server["cpu_percent"] if busy is None and enough else busy
        found[server["host"]] = None if broken or _doubted(judged, server["host"]) else share
    return found


def breaks(judged: Judged, verdict: str = "INVALID") -> str:
    """What was wrong with the limit of a trial, or what of it is not known (UNKNOWN), in words; empty: nothing."""
    return "; ".join(one.said for one in judged.checks if one.name in BREAKS and one.verdict == verdict)


def _doubted(judged: Judged, host: str) -> bool:
    """Whether the evidence on the limit of one server is missing; that on others says nothing of it."""
    return host in re.split("[,;:] ", breaks(judged, "UNKNOWN"))


def counted(trials: Sequence[Judged]) -> list[Judged]:
    """The trials of a calibration without those that were cut short and run once more."""
    again = {repeats(one.plan) for one in trials}
    return [one for one in trials if one.plan.id not in again]


def measured(trials: Sequence[Judged]) -> dict[str, tuple[Measured, ...]]:
    """What each server was set to and got, in the order of the trials; those whose share is unknown are left out."""
    found: dict[str, list[Measured]] = {}
    for one in counted(trials):
        for host, share in shares(one).items():
            mine = found.setdefault(host, [])
            if share is not None:
                mine.append(Measured(one.plan.limit_at(host), share))
    return {host: tuple(mine) for host, mine in found.items()}


def summed(run: str, trials: Sequence[Judged]) -> dict[str, Any]:
    """The calibration of one run as results.json has it."""
    limit = trials[0].plan.limit
    servers = []
    for host, seen in measured(trials).items():
        best = calibration.found(limit.percent, seen)
        servers.append(
            {
                "host": host,
                "limit_set": best.setting if best else None,
                "cpu_percent": best.share if best else None,
                "repeat_error_points": best.error if best else None,
                "measured": [{"limit_set": one.setting, "cpu_percent": one.share} for one in seen],
            }
        )
    listed = [{"id": one.plan.id, "because": one.plan.because} for one in trials]
    return {
        "run": run,
        "limiter": limit.kind,
        "limit_percent": limit.percent,
        "servers": servers,
        "trials": listed,
    }


def sentences(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(kind, sentence) for each server of a calibration."""
    said, asked = limiters.load(found["limiter"]).said, found["limit_percent"]
    told = []
    for server in found["servers"]:
        got, error = server["cpu_percent"], server["repeat_error_points"]
        if got is None:
            told.append(("warn", f"calibration: the share of {server['host']} could not be measured."))
            continue
        repeats = "not repeated" if error is None else f"± {error:.1f} between repeats"
        text = f"calibration: {server['host']} {said(server['limit_set'])} gives {got:.1f} % ({repeats}), asked {asked:g} %"
        far = abs(got - asked) > FAR_POINTS
        told.append(("warn", f"{text}: nothing nearer was found.") if far else ("note", f"{text}."))
    return told
