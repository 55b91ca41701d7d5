"""Requests of an open load against the plan of its arrivals."""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "was every request of an open load sent when it was planned to be?"
WITHHOLDS = "trial"
REMEDY = "give it more users (--vusers: the rate x the timeout is enough whatever servers do), Locust workers or load hosts; then repeat the trial"
NOT_ASKED = "a closed load plans users, and no arrivals"

MOST = 1.0  # %


def applies(plan: TrialPlan) -> bool:
    """A closed load has no arrivals."""
    return plan.load.rate is not None


def judge(evidence: Evidence) -> Measured:
    """The value is the share in % of the arrivals planned in the window that were not made, or more than 0.1 s late. By
    one arrival of each Locust worker the window may cut its plan otherwise: that alone breaks nothing."""
    found = evidence.figures.get("arrivals")
    if found is None:
        return unknown("how many requests were made is unknown", limit=MOST, unit="%")
    planned, made, late, never = (found[name] for name in ("planned", "made", "late", "not_made"))
    lacking = planned - made - never
    lacking = lacking if lacking > len(evidence.plan.workers) else 0
    if not planned:
        return valid("no request was planned in the window", 0.0, MOST, "%")
    share = 100 * (lacking + never + late) / planned
    said = f"of {planned:,} planned requests {never:,} were not made, {late:,} were more than 0.1 s late"
    said += f", {lacking:,} left no row" if lacking else ""
    return (valid if share <= MOST else invalid)(said, share, MOST, "%")
