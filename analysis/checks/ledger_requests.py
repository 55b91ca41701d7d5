"""The ledger of requests."""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "do client, nginx and each app tell of the same requests, id by id?"
WITHHOLDS = "trial"
REMEDY = "see what the ledger lists: ids that only one of them has were lost by the others, or sent by somebody else"

SHOWN = 3


def applies(plan: TrialPlan) -> bool:
    """Every trial has a ledger."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is how many ids do not balance. Retries and cut tails are named in the ledger and do balance."""
    ledger = evidence.requests
    if ledger is None:
        return unknown("the ledger could not be made", limit=0.0, unit="ids")
    if ledger.differences:
        more = ": " + "; ".join(ledger.said[:SHOWN]) if ledger.said else ""
        said = f"{ledger.differences:,} of {ledger.total:,} ids do not balance{more}"
        return invalid(said, float(ledger.differences), 0.0, "ids")
    return valid(f"all {ledger.total:,} ids balance", 0.0, 0.0, "ids")
