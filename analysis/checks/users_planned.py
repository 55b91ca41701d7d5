"""Users over time against the table of the plan."""

from __future__ import annotations

import numpy as np

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.measures import window
from analysis.measures.columns import Ints, coded, ints
from loadproof.plan.values import Load, TrialPlan

ASKS = "did users start and stop when they were planned to?"
WITHHOLDS = "trial"
REMEDY = "see locust-master.log of the first load host; a smaller step, or more processes, helps where users came late"

MOST_S = 0.5  # late or early; measured: within 0.3 s with 3 and with 10 workers


NOT_ASKED = "an open load plans when requests begin, and not when users do: see arrivals_made"


def applies(plan: TrialPlan) -> bool:
    """A closed load has a table of users."""
    return plan.load.rate is None


def judge(evidence: Evidence) -> Measured:
    """The value is by how many seconds the start or stop of any user was late or early. The k-th one to start is compared
    with the k-th planned: which user it is does not matter. Where rows are missing those of users may be all there."""
    plan, zero = evidence.plan, evidence.zero_us
    if zero is None:
        return unknown("no user started: there is no second 0", limit=MOST_S, unit="s")
    end = round(plan.load.end_s * 1e6)
    starts, stops = planned(plan.load)
    began, ended = (events(evidence, kind) - zero for kind in ("user_started", "user_stopped"))
    ended = ended[ended < end - round(MOST_S * 1e6)]
    for seen, wanted, what in ((began, starts, "started"), (ended, stops, "stopped before the planned end")):
        if len(seen) != len(wanted):
            if not window.complete(evidence.tables, plan):
                return unknown("rows of Locust workers are missing", limit=MOST_S, unit="s")
            return invalid(f"{len(seen)} users {what}, {len(wanted)} were planned to", unit="s", limit=MOST_S)
    late = (np.concatenate((began - starts, ended - stops)) if len(starts) else np.zeros(1)) / 1e6
    worst = float(late[np.argmax(np.abs(late))])
    said = f"{len(starts)} users started as planned, within {abs(worst):.2f} s"
    if abs(worst) <= MOST_S:
        return valid(said, abs(worst), MOST_S, "s")
    said = f"a user came or went {abs(worst):.1f} s {'late' if worst > 0 else 'early'}"
    return invalid(said, abs(worst), MOST_S, "s")


def planned(load: Load) -> tuple[Ints, Ints]:
    """When users are to start and to stop, in µs since second 0, in order; the end of the load is no part of it."""
    starts: list[int] = []
    stops: list[int] = []
    before = 0
    for second, users in load.table:
        if second >= load.end_s:
            break
        of = starts if users > before else stops
        of += [round(second * 1e6)] * abs(users - before)
        before = users
    return np.array(starts, np.int64), np.array(stops, np.int64)


def events(evidence: Evidence, name: str) -> Ints:
    """When users started, or stopped, in order."""
    kind, labels = coded(evidence.tables.users, "kind")
    mine = kind == (labels.index(name) if name in labels else -2)
    at: Ints = np.sort(ints(evidence.tables.users, "at_us")[mine])
    return at
