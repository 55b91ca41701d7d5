"""The ledger of user time."""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "is the time of all users the time of their requests and thinking?"
WITHHOLDS = "trial"
REMEDY = "look for lost rows, users that died, or a generator that was short of CPU; then repeat the trial"

MOST = 2.0  # %; simulated, also on ramps: a sound ledger lies within 2.4 % there, within 1 % of a hold


NOT_ASKED = "users of an open load wait for work, and no row says how long: their time is no account"


def applies(plan: TrialPlan) -> bool:
    """Every closed load has a ledger."""
    return plan.load.rate is None


def judge(evidence: Evidence) -> Measured:
    """The value is the gap in % of user time, whatever its sign."""
    ledger = evidence.time
    if ledger is None:
        return unknown("the ledger could not be made", limit=MOST, unit="%")
    gap = 100 * ledger.gap
    said = f"{ledger.user_s:,.0f} s of users, {ledger.spent_s:,.0f} s of requests and thinking: a gap of {gap:.1f} %"
    return (valid if abs(gap) <= MOST else invalid)(said, abs(gap), MOST, "%")
