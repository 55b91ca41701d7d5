"""What a trial did at each number of users of its ramp, and when its errors began: from counts by whole second.

A level is the stretch of the load between two steps; the hold is the last one. Its first half is left out, for what began
with the step is not what goes on: new users start within about a second, their first requests meet nobody else's, and a
queue takes some round trips to find its length. Never less is left out than START_S and one round trip (MTT + think time).
Of the hold, `settle` is left out, as for every other figure of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from analysis.attribution import KEYS
from analysis.load import Tables
from analysis.measures import cpu
from analysis.measures import window as windows
from analysis.measures.timeline import Timeline
from analysis.measures.window import Window
from loadproof.plan.load import LEVEL_S
from loadproof.plan.values import Load, TrialPlan

START_S = 1.5  # users come within so long of their step
LEAST_MTT = 5  # so many times, and LEVEL_S: a shorter level has not settled
LEAST_COUNTED_S = 2
ONSET_S, ONSET_SHARE = 5, 0.01  # errors begin where more than this share fails in any stretch so long


@dataclass(frozen=True)
class Level:
    """What is counted of one level, in [from, to), whole seconds since second 0: successes that completed in it per second
    (`tps`) and their mean time (`mtt_ms`), the mean number of requests in flight, the share of failures of what completed,
    and the CPU that a server got, in % of one (mean over servers). None: nothing completed, or the CPU is unknown. `why`: what
    keeps it from being settled, in words; empty: nothing."""

    users: int
    from_s: int
    to_s: int
    tps: float
    mtt_ms: float | None
    in_flight: float
    failed_share: float | None
    cpu_percent: float | None
    why: str = ""


@dataclass(frozen=True)
class Onset:
    """The first level with more than 1 % failed in any 5 s: its users, the second in which that stretch begins, its
    failures and all that completed in it."""

    users: int
    second: int
    failed: int
    completed: int


@dataclass(frozen=True)
class Ramp:
    """The levels of a trial; when its errors began (None: never), also by layer; how many servers it had, their limit in %
    of one CPU (None: none), its think time in s and its most users."""

    levels: tuple[Level, ...]
    begins: Onset | None
    layers: dict[str, Onset]
    servers: int
    limit_percent: float | None
    think_s: float
    users: int


def ramp(
    tables: Tables, plan: TrialPlan, timeline: Timeline, run: Window | None, placed: frozenset[str]
) -> Ramp | None:  # fmt: skip
    """The ramp of a trial; None without one (a steady load), and without the rows of every Locust worker. `placed`: servers
    whose clocks are known."""
    if run is None or len(plan.load.table) < 2 or not windows.complete(tables, plan):
        return None
    zero = run.zero_us
    alive = windows.users_at(tables)
    until = (windows.reach(tables, plan, zero, zero + round(plan.load.ramp_end_s * 1e6)) - zero) / 1e6
    stretches = [(users, begin, min(end, until)) for users, begin, end in planned(plan.load) if begin < until]

    def got(level: Window) -> float | None:
        each = [cpu.seconds(tables, host, level, None)[0] if host in placed else None for host in plan.apps]
        known = [one for one in each if one is not None]
        return 100 * sum(known) / len(known) / level.length_s if known and len(known) == len(each) else None

    counted = _Counted(plan.load, timeline, lambda second: alive(zero + round(second * 1e6)), got)
    levels = [one for stretch in stretches if (one := counted.level(*stretch)) is not None]
    begins, layers = onsets(timeline, stretches)
    limit = None if plan.limit.kind == "none" else plan.limit.percent
    return Ramp(
        tuple(levels), begins, layers, len(plan.apps), limit, plan.load.think_s, plan.load.table[-1][1]
    )


def planned(load: Load) -> list[tuple[int, float, float]]:
    """(users, from, to) of every level, in seconds; the last one ends with the load."""
    edges = [*(second for second, _ in load.table), load.end_s]
    return [(users, *edge) for (_, users), edge in zip(load.table, pairwise(edges), strict=True)]


@dataclass(frozen=True)
class _Counted:
    """What levels are made of: how many users were alive at a second, and the CPU that a server got in a window."""

    load: Load
    timeline: Timeline
    alive: Callable[[float], int]
    got: Callable[[Window], float | None]

    def level(self, users: int, begin: float, end: float) -> Level | None:
        """One level; None where no whole second of it is left."""
        since, to = self._part(users, begin, end)
        if to <= since:
            return None
        seen, part = self.timeline, slice(since, to)
        ended, failed = int(seen.ended[part].sum()), int(seen.errors[:, part].sum())
        mean = _mean(seen, since, to)
        alive = (self.alive(since), self.alive(to - 1e-6))
        edges = (seen.zero_us + second * 1_000_000 for second in (since, to))
        return Level(
            users,
            since,
            to,
            ended / (to - since),
            mean,
            float(seen.flight.in_flight()[part].mean()),
            failed / (ended + failed) if ended + failed else None,
            self.got(Window("level", users, seen.zero_us, *edges)),
            _why(self.load, users, end - begin, to - since, mean, alive),
        )

    def _part(self, users: int, begin: float, end: float) -> tuple[int, int]:
        """The whole seconds that are counted."""
        last = begin >= self.load.ramp_end_s
        left = self.load.settle_s if last else (end - begin) / 2
        to = min(math.floor(end + 0.05), self.timeline.seconds)  # a stop a blink early does not cost a second
        mean = _mean(self.timeline, math.ceil(begin + left), to)
        since = math.ceil(begin + max(left, START_S + self.load.think_s + (mean or 0.0) / 1000))
        if to > since and not last and self.alive(to - 1e-6) != users:
            to -= 1  # the users of the next step came a blink early
        return since, to


def _mean(timeline: Timeline, since: int, to: int) -> float | None:
    """MTT in ms of the successes that completed in some seconds."""
    count = int(timeline.ended[since:to].sum())
    return float(timeline.done_us[since:to].sum()) / count / 1000 if count else None


def _why(
    load: Load, users: int, length: float, counted: int, mean: float | None, alive: Sequence[int]
) -> str:
    """What keeps a level from being settled. Where nothing succeeded the timeout stands for the MTT."""
    if any(one != users for one in alive):
        return f"{min(alive)} users were alive in it, {users} were planned"
    least = max(LEVEL_S, LEAST_MTT * (load.timeout_s if mean is None else mean / 1000))
    if round(length, 1) < round(least, 1):
        return f"too short: {length:g} s of {least:.1f} s"
    if counted < LEAST_COUNTED_S:
        return f"too short: {counted} s of it can be counted"
    return ""


def onsets(
    timeline: Timeline, stretches: Sequence[tuple[int, float, float]]
) -> tuple[Onset | None, dict[str, Onset]]:
    """When errors began, and by layer when those that began there did. Stretches of 5 s lie within one level; a shorter
    level is one stretch."""
    layers = [*(key.partition("/")[0] for key in KEYS), "unexplained"]
    failed = timeline.errors.sum(axis=0)
    every = timeline.ended + failed
    by_layer = {
        layer: timeline.reasons[[one == layer for one in layers]].sum(axis=0)
        for layer in dict.fromkeys(layers)
    }
    found = {layer: _first(counts, every, stretches) for layer, counts in by_layer.items() if counts.any()}
    return _first(failed, every, stretches), {layer: one for layer, one in found.items() if one is not None}


def _first(failed: Any, every: Any, stretches: Sequence[tuple[int, float, float]]) -> Onset | None:
    for users, at, to in _fives(stretches, len(every)):
        some, all_ = int(failed[at:to].sum()), int(every[at:to].sum())
        if some > ONSET_SHARE * all_:
            return Onset(users, at, some, all_)
    return None


def _fives(stretches: Sequence[tuple[int, float, float]], seconds: int) -> Iterator[tuple[int, int, int]]:
    """(users, from, to) of every 5 s of whole seconds that lie in one level."""
    for users, begin, end in stretches:
        first, last = math.ceil(begin), min(math.floor(end + 0.05), seconds)
        for at in range(first, max(first, last - ONSET_S) + 1):
            if at < last:
                yield users, at, min(at + ONSET_S, last)


def joined(levels: Sequence[Sequence[Level]]) -> dict[int, list[Level]]:
    """The levels of several trials by their number of users, those only that settled in each of them."""
    shared = (
        set.intersection(*({one.users for one in trial if not one.why} for trial in levels))
        if levels
        else set()
    )
    return {
        users: [one for trial in levels for one in trial if one.users == users] for users in sorted(shared)
    }


def array(levels: Sequence[Level], name: str) -> Any:
    """One value of every level, float64; NaN for None."""
    return np.array([getattr(one, name) for one in levels], np.float64)
