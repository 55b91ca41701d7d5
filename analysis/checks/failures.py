"""Do times of successes still speak for the requests?"""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "are there few enough failures that times of successes speak for all requests?"
WITHHOLDS = ("mtt_ms", "mtsd_ms", "p50_ms", "p95_ms", "p99_ms", "service_ms")
REMEDY = (
    "compare answer_or_give_up_ms, which counts failures too, or use fewer users, so that fewer requests fail"
)

MOST = 5.0  # % of the requests: from there on what lies above the p95 of all users is not among the successes at all


def applies(plan: TrialPlan) -> bool:
    """Requests may always fail."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the share of failed requests of the window in %."""
    requests, failed = evidence.figures.get("requests"), evidence.figures.get("failures")
    if requests is None or failed is None:
        return unknown("failures are unknown", limit=MOST, unit="%")
    share = 100 * failed / requests if requests else 0.0
    said = f"{failed:,} of {requests:,} requests failed"
    if share > MOST:
        return invalid(f"{said}: those that were slow may be among them", share, MOST, "%")
    return valid(said, share, MOST, "%")
