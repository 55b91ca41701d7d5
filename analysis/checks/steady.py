"""Did throughput and times keep their level over the hold?"""

from __future__ import annotations

import math

from analysis import steady
from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.steady import Cut, Slope
from loadproof.plan.values import TrialPlan

ASKS = "do throughput and times keep their level over the hold?"
# means of a hold are what they are, whatever the order of its seconds; percentiles of several levels belong to none
WITHHOLDS = ("p50_ms", "p95_ms", "p99_ms")
REMEDY = "ask for a longer --settle, so that the level is reached before the window begins; what never settles has no level"
LONGER = "ask for a longer --hold"


def applies(plan: TrialPlan) -> bool:
    """Every trial has a hold."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the change over the hold in % (limit 10) or, from 300 s on, how much of it MSER-5 cuts off its
    beginning, in % (limit 40): the larger one of throughput and times."""
    seconds = evidence.seconds
    if seconds is None:
        return unknown("there is no window", unit="%")
    found = [
        _slope(what, one) if isinstance(one, Slope) else _cut(what, one)
        for what, one in steady.found(seconds)
    ]
    if not found:
        said = f"of {len(seconds.ended)} whole seconds too few have answers to tell a level"
        return Measured("UNKNOWN", said, unit="%", remedy=LONGER)
    return together(found)


def _slope(what: str, one: Slope) -> Measured:
    low, change, high = (f"{100 * share:+.0f}" for share in (one.low, one.change, one.high))
    said = (
        f"{what} over the hold: {change} % of the mean, {100 * steady.CERTAIN:g} % interval {low} to {high} %"
    )
    return (valid if one.steady else invalid)(said, 100 * abs(one.change), 100 * steady.MOST_CHANGE, "%")


def _cut(what: str, one: Cut) -> Measured:
    apart = "far" if math.isinf(one.apart) else f"{100 * one.apart:+.0f} %"
    said = f"{what}: MSER-5 cuts off the first {100 * one.at:.0f} % of the hold, which lie {apart} beside the rest"
    return (valid if one.steady else invalid)(said, 100 * one.at, 100 * steady.MOST_CUT, "%")
