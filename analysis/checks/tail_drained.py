"""Was nothing in flight any more when files were sealed?"""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "had nginx and every app come to rest before their files were sealed?"
# figures of the window are whole by then; what apps would still have answered late is missing in those of the whole run
WITHHOLDS = (
    "whole_run.undelivered",
    "whole_run.undelivered_cut",
    "whole_run.wasted",
    "whole_run.broken_pipe",
)
REMEDY = (
    "find what those requests wait for; a longer --timeout makes the drain longer too; then repeat the trial"
)

LONGEST = 120  # characters of a note


def applies(plan: TrialPlan) -> bool:
    """Every trial drains."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is how many hosts were still busy, or silent, when draining ended."""
    lines = evidence.journal
    if lines is None:
        return unknown("the journal is not here", limit=0.0, unit="hosts")
    drain = [line for line in lines if line.get("stage") == "drain"]
    notes = [line for line in drain if line.get("event") == "note"]
    if notes:
        said = "; ".join(
            f"{str(line.get('host'))[:60]}: {str(line.get('detail'))[:LONGEST]}" for line in notes
        )
        return invalid(f"when draining ended, {said}", float(len(notes)), 0.0, "hosts")
    if not any(line.get("event") == "end" for line in drain):
        return unknown("the journal tells of no drain that ended", limit=0.0, unit="hosts")
    return valid("nothing was in flight", 0.0, 0.0, "hosts")
