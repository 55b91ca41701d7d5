"""The ledger of requests."""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.readers.outcome import plural
from loadproof.plan.values import TrialPlan

ASKS = (
    "do client, nginx and each app tell of the same requests, id by id, and of next to none of somebody else?"
)
WITHHOLDS = "trial"
REMEDY = "see what the ledger lists: ids that only one of them has were lost by the others, or sent by somebody else, who must not while a load runs"

SHOWN = 3


def applies(plan: TrialPlan) -> bool:
    """Every trial has a ledger."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is how many ids do not balance, else how many requests somebody else sent while the load ran. Retries and
    cut tails are named in the ledger and do balance."""
    ledger = evidence.requests
    if ledger is None:
        return unknown("the ledger could not be made", limit=0.0, unit="ids")
    if ledger.differences:
        more = ": " + "; ".join(ledger.said[:SHOWN]) if ledger.said else ""
        said = f"{ledger.differences:,} of {ledger.total:,} ids do not balance{more}"
        return invalid(said, float(ledger.differences), 0.0, "ids")
    if ledger.strangers > ledger.most_strangers:
        said = f"{ledger.strangers:,} requests of somebody else beside the {ledger.total:,} of the load"
        return invalid(said, float(ledger.strangers), ledger.most_strangers, "requests")
    stray = f", beside {plural(ledger.strangers, 'request')} of somebody else" if ledger.strangers else ""
    return valid(f"all {ledger.total:,} ids balance{stray}", 0.0, 0.0, "ids")
