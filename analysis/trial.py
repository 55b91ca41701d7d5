"""All figures of one trial, from its run folder."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import attribution, conditions, journeyfile, load
from analysis.attribution import Codes, Known
from analysis.checks import Check
from analysis.journeys import Block, Journeys
from analysis.load import Tables
from analysis.measures import cpu, ngrinder
from analysis.measures import figures as measured
from analysis.measures import window as windows
from analysis.measures.columns import Ints
from analysis.measures.levels import Ramp, ramp
from analysis.measures.timeline import Timeline
from analysis.measures.window import Window
from analysis.readers import journal, limiter, live, units
from analysis.readers.clock import clocks
from analysis.readers.live import Stopped
from analysis.tally import Sure, Tally, count
from loadproof.plan.values import Inventory, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.paths import TrialPaths

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
    "attribution",
    "unexplained",
    "wasted",
    "first",
    "ledgers",
)
FIGURE_NAMES = (
    "window",
    *measured.NAMES,
    "unattributed",
    "undelivered",
    "wasted",
    "broken_pipe",
    "attribution",
    "unexplained",
    "efficiency",
    "arrivals",
    "ngrinder_stop",
)


@dataclass(frozen=True)
class Judged:
    """A trial with its tables, windows, figures (the keys of results.json) and counts by second."""

    plan: TrialPlan
    tables: Tables
    run: Window | None
    hold: Window | None
    timeline: Timeline
    figures: dict[str, Any]
    incomplete: tuple[str, ...]
    placed: frozenset[str]  # app hosts whose clocks are known against those of the load hosts
    journeys: Path  # the table of its joined requests
    checks: tuple[Check, ...]
    within: Ints  # successes of the hold that took at most figures.EDGES
    ramp: Ramp | None = None  # None: a steady load, or rows are missing


def judge(
    paths: TrialPaths,
    plan: TrialPlan,
    inventory: Inventory | None,
    where: Callable[[str], Path],
    rebuild: bool = False,
) -> Judged:
    """Tables and figures of one trial. What lacks evidence is None, and `incomplete` says why."""
    here = bool(paths.hosts) or where("requests").exists()
    tables = load.tables(paths, plan, where, rebuild)
    journeys = Journeys(tables, plan, attribution.addresses(inventory))
    hold, notes = windows.hold(tables, plan) if paths.hosts else (None, ())
    clock = clocks(paths, load.hosts_of(plan))
    placed = frozenset(clock.beside(plan.loads, plan.apps))
    keeping = functools.partial(_journeys, journeys, where, bool(paths.hosts), rebuild)
    tally, sure = count(journeys, tables, hold, windows.run(tables), clock, keeping)
    mine = [tally.done(index) if hold and sure.told[host] else None for index, host in enumerate(plan.apps)]
    cpu_s, odd = _cpu(tables, plan, hold, mine, placed)
    notes += (*sure.notes, *odd)
    if paths.hosts:
        stretch = (hold.from_us, hold.to_us) if hold else None
        notes += limiter.notes(paths, plan, dict.fromkeys(placed, stretch), clock.of)
    notes += (*units.notes(paths, plan), *journal.notes(paths))
    ended = live.stopped(paths, plan)
    notes += () if ended is None else (ended.said,)
    figures = _figures(tally, sure, tables, mine, cpu_s, ended)
    checked = (
        conditions.judged(paths, plan, tables, clock, figures, tally, sure)
        if here
        else conditions.nothing_here()
    )
    notes = (*tables.notes, *notes)
    steps = ramp(tables, plan, tally.timeline, tally.run, placed)
    return Judged(
        plan, tables, tally.run, hold, tally.timeline, figures, notes, placed, where("journeys"), checked,
        tally.figures.within, steps,
    )  # fmt: skip


def _journeys(
    journeys: Journeys, where: Callable[[str], Path], fetched: bool, rebuild: bool, known: Known
) -> AbstractContextManager[Callable[[Block, Codes], None]]:
    """What takes the joined requests: the table of journeys, unless it is there already, made of these tables by these
    rules; without raw files (`fetched`) an earlier one is left alone."""
    path, tables = (
        where("journeys"),
        [journeyfile.source_of(where(kind)) for kind in ("requests", "proxy", "app")],
    )
    made = [journeyfile.FORMAT, rules(), tables, sorted(journeys.addresses.items()), str(known)]
    source = hashlib.sha256(json.dumps(made).encode()).hexdigest()
    if not fetched or not rebuild and all(tables) and journeyfile.source_of(path) == source:
        return nullcontext(lambda block, codes: None)
    return journeyfile.writing(path, journeys.texts, source)


def rules() -> str:
    """By which rules reasons are given, as a hash: a table made by others would contradict the counts of today's."""
    return hashlib.sha256(Path(attribution.__file__).read_bytes()).hexdigest()


def _figures(
    tally: Tally,
    sure: Sure,
    tables: Tables,
    mine: Sequence[int | None],
    cpu_s: list[float | None],
    ended: Stopped | None,
) -> dict[str, Any]:
    plan, hold = tally.plan, tally.hold
    zero = windows.zero(tables) if windows.complete(tables, plan) else None
    figures = tally.figures.figures()
    return {
        "window": _window(hold, figures["mtt_ms"], plan.load.think_s),
        **figures,
        "unattributed": tally.done(-1) if hold and all(sure.told.values()) else None,
        **_delivered(tally, sure, hold is not None),
        **_why(tally, hold),
        "efficiency": efficiency(figures, cpu_s),
        "arrivals": tally.arrivals.figures(plan) if zero is not None else None,
        "ngrinder_stop": _ngrinder_stop(tally, tables, ended, zero),
        "servers": [
            _server(host, index, tally, sure, tables, mine[index], cpu_s[index], zero)
            for index, host in enumerate(plan.apps)
        ],
        "whole_run": _whole_run(tally, sure, tables, zero),
    }


def _ngrinder_stop(
    tally: Tally, tables: Tables, ended: Stopped | None, zero_us: int | None
) -> dict[str, Any] | None:
    """When nGrinder's rule ended the load, or would have; None when it never would, or rows are missing."""
    if ended is not None:
        return {"second": ended.second, "users": ended.users, "stopped": True}
    if zero_us is None:
        return None
    seen = tally.timeline
    second = ngrinder.stop(seen.ended, seen.errors.sum(axis=0))
    if second is None or second > tally.plan.load.end_s:
        return None
    users = windows.users_at(tables)(zero_us + second * 1_000_000)
    return {"second": second, "users": users, "stopped": False}


def _cpu(
    tables: Tables, plan: TrialPlan, hold: Window | None, mine: Sequence[int | None], placed: frozenset[str]
) -> tuple[list[float | None], tuple[str, ...]]:
    """CPU-seconds of each server in the window, and what is odd about them."""
    unplaced = "undelivered, BrokenPipeError and CPU of the window are unknown there: by its clock nothing can be placed in it"
    found = [
        cpu.seconds(tables, host, hold, done)
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


def _window(hold: Window | None, mtt_ms: float | None, think_s: float) -> dict[str, Any] | None:
    if hold is None:
        return None
    return {
        "kind": "hold",
        "users": hold.users,
        "from_s": hold.from_s,
        "to_s": hold.to_s,
        "short": windows.is_short(hold, think_s),
        "short_for_times": windows.is_short_for_times(hold, mtt_ms),
    }


def _delivered(tally: Tally, sure: Sure, inside: bool, host: int | None = None) -> dict[str, int | None]:
    """What became of answers in the window, at all servers or at one; None without a window, or where it is unknown."""
    found = tally.delivery
    return {
        "undelivered": found.undelivered.count(True, sure.delivered_in, host) if inside else None,
        "wasted": found.wasted.count(True, sure.delivered_in, host) if inside else None,
        "broken_pipe": found.broken_pipe.count(True, sure.rows_in, host) if inside else None,
    }


def _why(tally: Tally, window: Window | None) -> dict[str, Any]:
    """Failures by "<layer>/<reason>" and those without one; None without a window."""
    if window is None:
        return {"attribution": None, "unexplained": None}
    inside = window if window is tally.hold else None
    return {
        "attribution": tally.reasons.attribution(inside),
        "unexplained": tally.reasons.unexplained(inside),
    }


def _server(
    host: str,
    index: int,
    tally: Tally,
    sure: Sure,
    tables: Tables,
    done: int | None,
    cpu_s: float | None,
    zero_us: int | None,
) -> dict[str, Any]:
    plan, hold = tally.plan, tally.hold
    first = tally.delivery.first_broken_us(index) if sure.rows_in[host] else None
    return {
        "host": host,
        "requests": done,
        "cpu_percent": cpu.percent(cpu_s, hold),
        "cpu_saturated_percent": cpu.saturated(tables, host, hold, tally.waiting.busy(index))
        if hold is not None and cpu_s is not None and sure.logged
        else None,
        "cpu_s": cpu_s,
        "limit_percent": plan.limit.percent if plan.limit.kind != "none" else None,
        "limit_set": plan.limit_at(host) if plan.limit.kind != "none" else None,
        **_delivered(tally, sure, hold is not None, index),
        "first_broken_pipe_s": (first - zero_us) / 1e6 if first is not None and zero_us is not None else None,
        "errors": None if done is None else measured.errors(tally.texts.errors, tally.servers[index]),
        "attribution": None if done is None else tally.reasons.by_server(hold, index),
    }


def _whole_run(tally: Tally, sure: Sure, tables: Tables, zero_us: int | None) -> dict[str, Any]:
    run = tally.run if windows.whole(tables, tally.plan) else None
    figures = tally.whole.figures() if run else dict.fromkeys(measured.NAMES)
    undelivered = tally.delivery.undelivered.count(False, sure.delivered)
    return {
        **{name: figures[name] for name in ("requests", "failures", "cut", "tps")},
        "peak_tps": tally.peak.tps if run else None,
        "mtt_ms": figures["mtt_ms"],
        "undelivered": undelivered,
        "undelivered_cut": None if undelivered is None else tally.delivery.cut,
        "wasted": tally.delivery.wasted.count(False, sure.delivered),
        "broken_pipe": tally.delivery.broken_pipe.count(False, sure.rows),
        "errors": figures["errors"],
        **_why(tally, run),
        "first": tally.reasons.firsts(zero_us, windows.users_at(tables)) if zero_us is not None else None,
        "ledgers": _ledgers(sure),
        "seconds": run.length_s if run else None,
        "servers": [
            {
                "host": host,
                "undelivered": tally.delivery.undelivered.count(False, sure.delivered, index),
                "broken_pipe": tally.delivery.broken_pipe.count(False, sure.rows, index),
            }
            for index, host in enumerate(tally.plan.apps)
        ],
    }


def _ledgers(sure: Sure) -> dict[str, Any]:
    """The two accounts, as values."""
    requests, time = sure.books
    return {
        "requests": None if requests is None else record.to_json(requests),
        "time": None if time is None else {**record.to_json(time), "gap": time.gap},
    }


def unknown() -> dict[str, Any]:
    """The figures of an arm of several trials, until they are joined: None."""
    return {**dict.fromkeys(FIGURE_NAMES), "servers": [], "whole_run": dict.fromkeys(WHOLE_NAMES)}
