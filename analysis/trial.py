"""All figures of one trial, from its run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from analysis import attribution, conditions, load
from analysis.checks import Check
from analysis.load import Tables
from analysis.measures import cpu, delivery
from analysis.measures import figures as measured
from analysis.measures import window as windows
from analysis.measures.columns import Clients, Ints, Mask, clients
from analysis.measures.window import Window
from analysis.readers import journal, limiter, units
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
    placed: frozenset[str]  # app hosts whose clocks are known against those of the load hosts
    checks: tuple[Check, ...]


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
    known, said = delivery.known(tables, plan, requests, names)
    told, untold = attribution.knows_servers(tables, names, known, requests, server)
    clock = clocks(paths, load.hosts_of(plan))
    placed = frozenset(clock.beside(plan.loads, plan.apps))
    doubted, odd_ids = delivery.strangers(tables, plan, requests)
    certain = {host: known[host] and host not in doubted for host in plan.apps}
    gone = delivery.undelivered(tables, plan, requests, certain, placed)
    pipes = delivery.broken_pipes(tables, plan, known, placed)
    figures = measured.figures(requests, hold)
    mine = [
        _done(requests, hold, server, index) if told[host] else None for index, host in enumerate(plan.apps)
    ]
    cpu_s, odd = _cpu(tables, plan, hold, mine, placed)
    notes += (*untold, *odd)
    zero = windows.zero(tables) if windows.complete(tables, plan) else None
    servers = [
        _server(host, index, plan, requests, hold, zero, mine[index], cpu_s[index], gone, pipes)
        for index, host in enumerate(plan.apps)
    ]
    unattributed = _count(_done(requests, hold, server, -1) if all(told.values()) else None)
    found = {
        "window": _window(hold, figures["mtt_ms"]),
        **figures,
        "unattributed": unattributed,
        "undelivered": gone.count(hold) if hold else None,
        "broken_pipe": pipes.count(hold) if hold else None,
        "efficiency": efficiency(figures, cpu_s),
        "servers": servers,
        "whole_run": _whole_run(tables, plan, requests, gone, pipes),
    }
    notes += (*said, *odd_ids)
    if paths.hosts:
        stretch = (hold.from_us, hold.to_us) if hold else None
        notes += limiter.notes(paths, plan, dict.fromkeys(placed, stretch), clock.of)
    notes += (*units.notes(paths, plan), *journal.notes(paths))
    busy, attempts = conditions.by_proxy(tables, plan, names, hold)
    checked = conditions.judged(paths, plan, tables, clock, hold, zero, found, busy, attempts, {}, None, None)
    return Judged(plan, tables, requests, hold, found, (*tables.notes, *notes), placed, checked)


def _done(requests: Clients, hold: Window | None, server: Ints, index: int) -> Mask | None:
    """The requests of a server (-1: of none) that completed in the window; None without a window."""
    if hold is None:
        return None
    mask: Mask = requests.inside(hold.from_us, hold.to_us) & ~requests.cut & (server == index)
    return mask


def _count(mask: Mask | None) -> int | None:
    return None if mask is None else int(np.count_nonzero(mask))


def _cpu(
    tables: Tables, plan: TrialPlan, hold: Window | None, mine: Sequence[Mask | None], placed: frozenset[str]
) -> tuple[list[float | None], tuple[str, ...]]:
    """CPU-seconds of each server in the window, and what is odd about them."""
    unplaced = "undelivered, BrokenPipeError and CPU of the window are unknown there: by its clock nothing can be placed in it"
    found = [
        cpu.seconds(tables, host, hold, _count(done))
        if host in placed
        else (None, (f"{host}: {unplaced}",) if hold else ())
        for host, done in zip(plan.apps, mine, strict=True)
    ]
    return [used for used, _ in found], tuple(text for _, said in found for text in said)


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
    host: str, index: int, plan: TrialPlan, requests: Clients, hold: Window | None, zero_us: int | None, done: Mask | None,
    cpu_s: float | None, gone: delivery.Undelivered, pipes: delivery.BrokenPipes,
) -> dict[str, Any]:  # fmt: skip
    return {
        "host": host,
        "requests": _count(done),
        "cpu_percent": cpu.percent(cpu_s, hold),
        "cpu_s": cpu_s,
        "limit_percent": plan.limit.percent if plan.limit.kind != "none" else None,
        "undelivered": gone.count(hold, index) if hold else None,
        "broken_pipe": pipes.count(hold, index) if hold else None,
        "first_broken_pipe_s": pipes.first_s(zero_us, index),
        "errors": None if done is None else measured.errors(requests, done & ~requests.ok),
    }


def _whole_run(
    tables: Tables,
    plan: TrialPlan,
    requests: Clients,
    gone: delivery.Undelivered,
    pipes: delivery.BrokenPipes,
) -> dict[str, Any]:
    window = windows.run(tables, requests) if windows.whole(tables, plan) else None
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
