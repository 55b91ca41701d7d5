"""Did every Locust worker stay to the end of the load?"""

from __future__ import annotations

import numpy as np

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.measures.columns import ints
from analysis.readers import units
from analysis.readers.facts import part
from loadproof.plan.places import load_unit
from loadproof.plan.values import TrialPlan

ASKS = "did every Locust worker work from the first to the last second of the load?"
WITHHOLDS = "trial"
REMEDY = "see the log of that worker in raw/ of its load host for why it ended or stood still; then repeat the trial"

STILL_US = 3_000_000  # rows come every second; the master calls a worker missing after 3 s of silence


def applies(plan: TrialPlan) -> bool:
    """Every trial has workers."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is how many workers were lost, ended, or stood still for 3 s."""
    plan = evidence.plan
    lost = units.lost(evidence.paths, plan)
    gone = {number: why for host, number in plan.workers if (why := _gone(evidence, host, number, lost))}
    if gone:
        listed = "; ".join(f"Locust worker {number} {why}" for number, why in gone.items())
        return invalid(listed, float(len(gone)), 0.0, "workers")
    if evidence.window is None:
        return unknown("there is no window", limit=0.0, unit="workers")
    if lost is None:
        return unknown("what the master missed is unknown", limit=0.0, unit="workers")
    return valid(f"all {len(plan.workers)} stayed", 0.0, 0.0, "workers")


def _gone(evidence: Evidence, host: str, number: int, lost: frozenset[str] | None) -> str:
    """How a worker failed to stay, or ""."""
    unit = load_unit(number)
    if lost is not None and unit in lost:
        return "was lost by its master"
    if part(evidence.facts.after.get(host, {}), "units", unit).get("active") == "failed":
        return "failed"
    window = evidence.window
    if window is None:
        return ""
    table = evidence.tables.workers
    at = np.sort(ints(table, "at_us")[ints(table, "worker") == number])
    begin = min(window.zero_us, window.from_us)
    at = at[(at > begin) & (at < window.to_us)]
    still = int(np.diff(np.concatenate(([begin], at, [window.to_us]))).max())
    return f"stood still for {still / 1e6:.1f} s" if still > STILL_US else ""
