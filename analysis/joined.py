"""Figures of an arm that was run several times: those of its VALID trials together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis import trial as trials
from analysis.statistics import geometric
from loadproof.plan import trials as trial_plans

Figures = Mapping[str, Any]

MEANS = (
    "tps", "peak_tps", "mtt_ms", "mtsd_ms", "p50_ms", "p95_ms", "p99_ms", "answer_or_give_up_ms", "service_ms",
    "efficiency",
)  # fmt: skip
SUMS = (
    "requests", "failures", "cut", "unattributed", "undelivered", "undelivered_cut", "wasted", "broken_pipe",
    "unexplained",
)  # fmt: skip
TABLES = ("errors", "attribution", "arrivals")


def measured(listed: Sequence[Figures]) -> list[Figures]:
    """The trials without those that were ended before their load was over, and are run once more: no measurements."""
    cut = {trial_plans.cut_short(one["because"]) for one in listed}
    return [one for one in listed if one["id"] not in cut]


def counted(listed: Sequence[Figures]) -> list[Figures]:
    """Of each block the trial that counts: a VALID one if there is one, else the last."""
    blocks: dict[int, Figures] = {}
    for one in measured(listed):
        known = blocks.get(one["block"])
        if known is None or known["verdict"] != "VALID":
            blocks[one["block"]] = one
    return list(blocks.values())


def trusted(listed: Sequence[Figures]) -> list[Figures]:
    """The VALID trials that count, or the only trial whatever its verdict."""
    return [one for one in counted(listed) if one["verdict"] == "VALID" or len(listed) == 1]


def figures(listed: Sequence[Figures]) -> dict[str, Any]:
    """Times and rates are geometric means over the VALID trials that count (of percentiles too: each is its trial's own),
    counts their sums. None where one of them has none, and everywhere without a VALID trial."""
    found = [one for one in counted(listed) if one["verdict"] == "VALID"]
    if not found:
        return trials.unknown()
    whole = [one["whole_run"] for one in found]
    return {
        **{name: value(name, found) for name in trials.FIGURE_NAMES},
        "window": _window(found),
        "servers": _servers(found),
        "whole_run": {
            **{name: value(name, whole) for name in trials.WHOLE_NAMES},
            "seconds": None,
            "servers": [],
        },
    }


def spikes(listed: Sequence[Figures]) -> dict[str, Any] | None:
    """Spikes of an arm: means over its VALID trials that count (of its only one, whatever its verdict)."""
    found = [one["spikes"] for one in trusted(listed)]
    if not found or None in found:
        return None
    names = ("share", "excess_ms", "common_share")
    sums = {name: sum(one[name] for one in found) / len(found) for name in names}
    return {"seconds": sum(one["seconds"] for one in found), **sums, "threshold_ms": found[0]["threshold_ms"]}


def value(name: str, parts: Sequence[Figures]) -> Any:
    """One figure of several parts together; None for what cannot be joined, or where one lacks it."""
    values: list[Any] = [one.get(name) for one in parts]
    if not values or None in values:
        return None
    if name in MEANS:
        return geometric(values)
    if name in SUMS:
        return sum(values)
    return _table(values) if name in TABLES else None


def _table(tables: Iterable[Mapping[str, int]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for table in tables:
        for key, count in table.items():
            found[key] = found.get(key, 0) + count
    return dict(sorted(found.items(), key=lambda pair: (-pair[1], pair[0])))


def _window(found: Sequence[Figures]) -> dict[str, Any] | None:
    windows = [one["window"] for one in found]
    if None in windows:
        return None
    users = {one["users"] for one in windows}
    return {
        "kind": "hold",
        "users": users.pop() if len(users) == 1 else None,
        "from_s": None,
        "to_s": None,
        "short": any(one["short"] for one in windows),
        "short_for_times": any(one["short_for_times"] for one in windows),
    }


def _servers(found: Sequence[Figures]) -> list[dict[str, Any]]:
    """Each server over the trials in which it served."""
    by_host: dict[str, list[Figures]] = {}
    for one in found:
        for server in one["servers"]:
            by_host.setdefault(server["host"], []).append(server)
    return [_server(host, by_host[host]) for host in sorted(by_host)]


def _mean(name: str, parts: Sequence[Figures]) -> float | None:
    """The mean of a share of a CPU; None where one is unknown."""
    shares: list[Any] = [one.get(name) for one in parts]
    return None if None in shares else sum(shares) / len(shares)


def _server(host: str, parts: Sequence[Figures]) -> dict[str, Any]:
    spent = [one["cpu_s"] for one in parts]
    settings = {one["limit_set"] for one in parts}
    return {
        "host": host,
        "requests": value("requests", parts),
        **{name: _mean(name, parts) for name in ("cpu_percent", "cpu_saturated_percent")},
        "cpu_s": None if None in spent else sum(spent),
        "limit_percent": parts[0]["limit_percent"],
        "limit_set": settings.pop() if len(settings) == 1 else None,
        **{
            name: value(name, parts)
            for name in ("undelivered", "wasted", "broken_pipe", "errors", "attribution")
        },
        "first_broken_pipe_s": None,
    }
