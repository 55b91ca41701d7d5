"""All figures of one trial, from its run folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis import attribution, load
from analysis.load import Tables
from analysis.measures import cpu, delivery
from analysis.measures import figures as measured
from analysis.measures import window as windows
from analysis.measures.columns import Clients, Ints, clients
from analysis.measures.window import Window
from analysis.readers import limiter
from analysis.readers.clock import clocks
from loadproof.plan.values import Inventory, TrialPlan
from loadproof.runfolder.paths import TrialPaths

SERVER_NAMES = (
    "requests",
    "cpu_percent",
    "cpu_s",
    "limit_percent",
    "undelivered",
    "broken_pipe",
    "errors",
    "first_broken_pipe_s",
)
WHOLE_NAMES = (
    "requests",
    "failures",
    "cut",
    "tps",
    "peak_tps",
    "mtt_ms",
    "undelivered",
    "undelivered_cut",
    "broken_pipe",
    "errors",
)
FIGURE_NAMES = ("window", *measured.NAMES, "unattributed", "undelivered", "broken_pipe", "efficiency")


@dataclass(frozen=True)
class Judged:
    """A trial with its tables, windows and figures (the keys of results.json)."""

    plan: TrialPlan
    tables: Tables
    requests: Clients
    hold: Window | None
    figures: dict[str, Any]
    incomplete: tuple[str, ...]


def judge(
    paths: TrialPaths,
    plan: TrialPlan,
    inventory: Inventory | None,
    where: Callable[[str], Path],
    rebuild: bool = False,
) -> Judged:
    """Tables and figures of one trial. What lacks evidence is None, and `incomplete` says why."""
    tables = load.tables(paths, plan, where, rebuild)
    names = attribution.addresses(inventory)
    requests = clients(tables)
    hold, notes = windows.hold(tables, plan, requests) if paths.hosts else (None, ())
    server = attribution.servers(requests.id, tables, plan, names)
    told = attribution.knows_servers(tables, plan, names)
    gone = delivery.undelivered(tables, plan, requests)
    pipes = delivery.broken_pipes(tables, plan)
    figures = measured.figures(requests, hold)
    cpu_s = {host: cpu.seconds(tables, host, hold) for host in plan.apps}
    notes += tuple(
        f"{host}: its samples do not reach over the window; its CPU is unknown"
        for host, found in cpu_s.items() if found is None and hold is not None and host in tables.present["cpu"]
    )  # fmt: skip
    servers = [
        _server(host, index, plan, requests, hold, server, told[host], cpu_s[host], gone, pipes)
        for index, host in enumerate(plan.apps)
    ]
    unattributed = None
    if hold is not None and any(told.values()):
        unattributed = int(
            np.count_nonzero((server < 0) & requests.inside(hold.from_us, hold.to_us) & ~requests.cut)
        )
    found = {
        "window": _window(hold, figures["mtt_ms"]),
        **figures,
        "unattributed": unattributed,
        "undelivered": gone.count(hold) if hold else None,
        "broken_pipe": pipes.count(hold) if hold else None,
        "efficiency": efficiency(figures, list(cpu_s.values())),
        "servers": servers,
        "whole_run": _whole_run(tables, plan, requests, gone, pipes),
    }
    if paths.hosts:
        stretch = (hold.from_us, hold.to_us) if hold else None
        notes += limiter.notes(paths, plan, stretch, clocks(paths, load.hosts_of(plan)).of)
    return Judged(plan, tables, requests, hold, found, (*tables.notes, *notes))


def efficiency(figures: dict[str, Any], cpu_s: list[float | None]) -> float | None:
    """Successes of the window per CPU-second that the app hosts achieved in it; None without one of them."""
    spent = [one for one in cpu_s if one is not None]
    if figures["requests"] is None or len(spent) < len(cpu_s) or not sum(spent) > 0:
        return None
    return float((figures["requests"] - figures["failures"]) / sum(spent))


def _window(hold: Window | None, mtt_ms: float | None) -> dict[str, Any] | None:
    if hold is None:
        return None
    short = windows.is_short(hold, mtt_ms)
    return {"kind": "hold", "users": hold.users, "from_s": hold.from_s, "to_s": hold.to_s, "short": short}


def _server(
    host: str, index: int, plan: TrialPlan, requests: Clients, hold: Window | None, server: Ints, told: bool,
    cpu_s: float | None, gone: delivery.Undelivered, pipes: delivery.BrokenPipes,
) -> dict[str, Any]:  # fmt: skip
    count = errors = None
    if hold is not None and told:
        done = requests.inside(hold.from_us, hold.to_us) & ~requests.cut & (server == index)
        count, errors = int(np.count_nonzero(done)), measured.errors(requests, done & ~requests.ok)
    return {
        "host": host,
        "requests": count,
        "cpu_percent": cpu.percent(cpu_s, hold),
        "cpu_s": cpu_s,
        "limit_percent": plan.limit.percent if plan.limit.kind != "none" else None,
        "undelivered": gone.count(hold, index) if hold else None,
        "broken_pipe": pipes.count(hold, index) if hold else None,
        "first_broken_pipe_s": pipes.first_s(hold.zero_us if hold else None, index)
        if pipes.known[host]
        else None,
        "errors": errors,
    }


def _whole_run(
    tables: Tables,
    plan: TrialPlan,
    requests: Clients,
    gone: delivery.Undelivered,
    pipes: delivery.BrokenPipes,
) -> dict[str, Any]:
    window = windows.run(tables, requests) if windows.complete(tables, plan) else None
    figures = measured.figures(requests, window)
    by_server = {host: pipes.count(None, index) for index, host in enumerate(plan.apps)}
    undelivered = gone.count(None)
    return {
        **{name: figures[name] for name in ("requests", "failures", "cut", "tps")},
        "peak_tps": measured.peak_tps(requests, window),
        "mtt_ms": figures["mtt_ms"],
        "undelivered": undelivered,
        "undelivered_cut": None if undelivered is None else int(np.count_nonzero(gone.cut)),
        "broken_pipe": pipes.count(None),
        "errors": figures["errors"],
        "seconds": window.length_s if window else None,
        "servers": [
            {"host": host, "undelivered": gone.count(None, index), "broken_pipe": by_server[host]}
            for index, host in enumerate(plan.apps)
        ],
    }


def unknown() -> dict[str, Any]:
    """The figures of an arm of several trials, until they are joined: None."""
    return {**dict.fromkeys(FIGURE_NAMES), "servers": [], "whole_run": dict.fromkeys(WHOLE_NAMES)}
