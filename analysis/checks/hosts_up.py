"""Did any host start anew?"""

from __future__ import annotations

from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.readers.facts import whole
from loadproof.plan.actions import hosts_of
from loadproof.plan.values import TrialPlan

ASKS = "did every host run on, without a restart, from before to after the load?"
WITHHOLDS = "trial"
REMEDY = "see why that host restarted (journalctl --list-boots there); then repeat the trial"


def applies(plan: TrialPlan) -> bool:
    """Every trial has hosts."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is 1 for a host that restarted: its first process started at another time, or its kernel has another
    boot id. Hosts of a lab share the kernel, and each has a first process of its own."""
    found = together([_host(evidence, host) for host in hosts_of(evidence.plan)])
    return valid("no host restarted", 0.0, 0.0) if found.verdict == "VALID" else found


def _host(evidence: Evidence, host: str) -> Measured:
    both = evidence.facts.both(host)
    if both is None:
        return unknown(f"{host}: it did not answer both before and after the load", limit=0.0)
    starts = [whole(one, "pid1_start") for one in both]
    boots = [str(one.get("boot_id") or "") for one in both]
    if (all(starts) and starts[0] != starts[1]) or (all(boots) and boots[0] != boots[1]):
        return invalid(f"{host} restarted during the trial", 1.0, 0.0)
    if not all(starts) and not all(boots):
        return unknown(f"{host}: when it started is unknown", limit=0.0)
    return valid(f"{host} ran on", 0.0, 0.0)
