"""Can the three logs be read?"""

from __future__ import annotations

from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "can at least 99.9 % of the rows of clients and apps and of nginx's lines be read?"
WITHHOLDS = "trial"
REMEDY = "see the first malformed lines in the list of what is incomplete: who else writes there? then repeat the trial"

LOGS = {"requests": "rows of clients", "proxy": "lines of nginx", "app": "rows of apps"}
MOST = 0.1  # %


def applies(plan: TrialPlan) -> bool:
    """Every trial has the three."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the share that cannot be read in %, of the worst log."""
    found = together([_log(evidence, log) for log in LOGS])
    if found.verdict == "VALID" and found.value is not None:
        return valid(f"all three, but for {found.value:.2g} % at most", found.value, MOST, "%")
    return found


def _log(evidence: Evidence, log: str) -> Measured:
    counted = evidence.malformed.get(log)
    if counted is None or not counted[1]:
        return unknown(f"{LOGS[log]}: there are none, or how many is unknown", limit=MOST, unit="%")
    bad, all_ = counted
    share = 100 * bad / all_
    said = f"{bad:,} of {all_:,} {LOGS[log]} cannot be read"
    return (valid if share <= MOST else invalid)(said, share, MOST, "%")
