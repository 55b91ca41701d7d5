"""Which stretch of time a figure speaks of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.load import Tables
from analysis.measures.columns import coded, ints
from loadproof.plan.load import THINKS
from loadproof.plan.values import TrialPlan

SHORT_S = 15.0
SHORT_MTT = (
    20  # times the MTT: what is in flight at an edge is at most a twentieth of what is counted (Little's law)
)
EARLY_S = 0.5  # a window that ends so much before its plan is named


@dataclass(frozen=True)
class Window:
    """[from, to) in µs since the epoch; `zero_us` is second 0; `users` were alive at `from`."""

    kind: str  # "hold" or "run"
    users: int
    zero_us: int
    from_us: int
    to_us: int

    @property
    def from_s(self) -> float:
        """Its beginning, in seconds since second 0."""
        return (self.from_us - self.zero_us) / 1e6

    @property
    def to_s(self) -> float:
        """Its end, in seconds since second 0."""
        return (self.to_us - self.zero_us) / 1e6

    @property
    def length_s(self) -> float:
        """Its length in seconds."""
        return (self.to_us - self.from_us) / 1e6


def zero(tables: Tables) -> int | None:
    """Second 0: the earliest `user started` row over all workers, in µs; None when no user started."""
    return zero_of(tables.users)


def zero_of(users: Any) -> int | None:
    """The same, of the table of users."""
    kind, labels = coded(users, "kind")
    if "user_started" not in labels:
        return None
    started = ints(users, "at_us")[kind == labels.index("user_started")]
    return int(started.min()) if len(started) else None


def users_at(tables: Tables) -> Callable[[int], int]:
    """How many users were alive at a moment, in µs."""
    kind, labels = coded(tables.users, "kind")
    code = labels.index("user_started") if "user_started" in labels else -2
    at = ints(tables.users, "at_us")
    started, stopped = np.sort(at[kind == code]), np.sort(at[kind != code])
    return lambda moment: int(
        np.searchsorted(started, moment, "right") - np.searchsorted(stopped, moment, "right")
    )


def complete(tables: Tables, plan: TrialPlan) -> bool:
    """Whether the rows of every planned Locust worker are there without a hole: else nothing about clients is known.
    Their last ones may be missing: a window ends where they do."""
    return {str(worker) for _, worker in plan.workers} <= set(tables.present["requests"])


def whole(tables: Tables, plan: TrialPlan) -> bool:
    """Whether the rows of every planned Locust worker are there to the last one."""
    return {str(worker) for _, worker in plan.workers} <= set(tables.present["workers"])


def hold(tables: Tables, plan: TrialPlan) -> tuple[Window | None, tuple[str, ...]]:
    """The window compared, and what is odd about it, in words.

    From ramp_end + settle to the planned end, or earlier: to the first moment after its beginning at which a user
    stopped, a request was cut by our own stop, or the rows of a Locust worker end. Users are constant in it. None when
    no user started, rows of a worker have a hole, or the load ended before it began.
    """
    began = zero(tables)
    if began is None or not complete(tables, plan):
        return None, () if began is not None else ("no user started: there is no second 0 and no window",)
    from_us = began + round((plan.load.ramp_end_s + plan.load.settle_s) * 1e6)
    planned_us = began + round(plan.load.end_s * 1e6)
    to_us = reach(tables, plan, began, from_us)
    if to_us <= from_us:
        said = f"the load, or the rows of a Locust worker, ended at second {(to_us - began) / 1e6:.1f}, before the window began ({(from_us - began) / 1e6:g})"
        return None, (said,)
    users = users_at(tables)(from_us)
    found = Window("hold", users, began, from_us, to_us)
    notes = []
    if planned_us - to_us > EARLY_S * 1e6:
        notes.append(
            f"the window ends at second {found.to_s:.1f}, {plan.load.end_s:g} was planned: there the first user stopped or a worker's rows end"
        )
    if users != plan.load.users:
        notes.append(f"{users} users were alive when the window began, {plan.load.users} were planned")
    return found, tuple(notes)


def reach(tables: Tables, plan: TrialPlan, began: int, from_us: int) -> int:
    """How far the load can be relied on, in µs: to its planned end, or the first moment from `from_us` on at which a user
    stopped, a request was cut by our own stop, or the rows of a Locust worker end."""
    kind, labels = coded(tables.users, "kind")
    at = ints(tables.users, "at_us")
    stopped = at[kind == labels.index("user_stopped")] if "user_stopped" in labels else at[:0]
    ends: list[int] = [
        began + round(plan.load.end_s * 1e6),
        *_last_rows(tables, plan, began),
        *stopped[stopped >= from_us].tolist(),
        *(one for one in tables.ends.cut if one >= from_us),
    ]
    return min(ends)


def heard(tables: Tables, plan: TrialPlan) -> bool:
    """Whether there is any row of every planned Locust worker: what is missing of them shows in the books."""
    workers = tables.requests.workers()
    return whole(tables, plan) or all(worker in workers for _, worker in plan.workers)


def planned(plan: TrialPlan, zero_us: int) -> Window:
    """The window that was planned, for what hosts did in it: also where rows are missing, so that there is no other."""
    load = plan.load
    begin, end = (zero_us + round(at * 1e6) for at in (load.ramp_end_s + load.settle_s, load.end_s))
    return Window("hold", load.users, zero_us, begin, end)


def run(tables: Tables) -> Window | None:
    """The whole run, ramp included: from second 0 to just after the last end of any request, cut ones too."""
    began = zero(tables)
    first, last = tables.ends.first_end, tables.ends.last_end
    if began is None or first is None or last is None:
        return None
    # clocks of several load hosts agree within a millisecond or so: no request may fall out for that
    return Window("run", 0, began, min(began, first), max(began, last) + 1)


def _last_rows(tables: Tables, plan: TrialPlan, began: int) -> list[int]:
    """The last moment at which each planned Locust worker wrote anything; `began` for one that never did."""
    last = {worker: max(began, tables.ends.last.get(worker, began)) for _, worker in plan.workers}
    for table in (tables.users, tables.workers):
        workers, times = ints(table, "worker"), ints(table, "at_us")
        for worker in last:
            found = times[workers == worker]
            if len(found):
                last[worker] = max(last[worker], int(found.max()))
    return list(last.values())


def is_short(window: Window, think_s: float) -> bool:
    """Below max(15 s, 20 x think time) a window says too little to be compared; a stop a blink early does not count. Users
    who think go in step, and a whole round of them that falls in or out is think time / window of all there is."""
    return round(window.length_s, 1) < max(SHORT_S, THINKS * think_s)


def is_short_for_times(window: Window, mtt_ms: float | None) -> bool:
    """Below max(15 s, 20 x MTT) its times are not compared: too many of them are of requests that began before it, under
    another load, and those that it leaves out are the long ones. What ends in it is counted rightly all the same."""
    return round(window.length_s, 1) < needed_s(mtt_ms)


def needed_s(mtt_ms: float | None) -> float:
    """How long a window has to be for its times to be compared, in seconds."""
    return max(SHORT_S, SHORT_MTT * (mtt_ms or 0.0) / 1000)
