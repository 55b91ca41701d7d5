"""Are there samples enough for each percentile?"""

from __future__ import annotations

from analysis.checks import Measured, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.shown import ENOUGH

ASKS = "are there successes enough in the window for each percentile?"
WITHHOLDS = ("p50_ms", "p95_ms", "p99_ms")
REMEDY = "ask for a longer --hold"


def applies(plan: TrialPlan) -> bool:
    """Every trial has percentiles."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the number of successes, the limit what the percentiles that are shown need: below it every one of
    them may lie under the percentile (at 95 % certainty)."""
    requests, failed = evidence.figures.get("requests"), evidence.figures.get("failures")
    if requests is None or failed is None:
        return unknown("how many requests succeeded is unknown", unit="successes")
    count = requests - failed
    few = tuple(name for name, needed in ENOUGH.items() if count < needed)
    said = f"{count:,} successes"
    if few:
        needed = ENOUGH[few[0]]
        listed = ", ".join(name.removesuffix("_ms") for name in few)
        return Measured(
            "INVALID", f"{said}: too few for {listed}", float(count), float(needed), "successes", few
        )
    return valid(said, float(count), float(max(ENOUGH.values())), "successes")
