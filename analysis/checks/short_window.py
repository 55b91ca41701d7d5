"""Is the window long enough for its tail?"""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.measures.window import is_short_for_times, needed_s
from loadproof.plan.values import TrialPlan

ASKS = "is the window long against the times measured in it?"
WITHHOLDS = ("p99_ms",)
REMEDY = "ask for a longer --hold"


def applies(plan: TrialPlan) -> bool:
    """Every trial has a window."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the length of the window in s; the limit is 15 s, or 20 x MTT where that is more."""
    hold, mtt = evidence.hold, evidence.figures.get("mtt_ms")
    limit = needed_s(mtt)
    if hold is None:
        return unknown("there is no window", limit=limit, unit="s")
    said = f"{hold.length_s:.1f} s, at least {limit:.1f} s are needed"
    return (invalid if is_short_for_times(hold, mtt) else valid)(said, hold.length_s, limit, "s")
