"""Did nginx send every app of the plan its part of the requests?"""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "did every app of the plan get at least half of an equal share of the requests?"
WITHHOLDS = "trial"
REMEDY = "see the upstream in nginx.conf of the proxy host, and whether that app answers there; then repeat the trial"

LEAST = (
    0.5  # of an equal share: round robin gives 1.0, and shares that differ by less are reported, not judged
)


def applies(plan: TrialPlan) -> bool:
    """One server alone may get nothing too."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the smallest part of an equal share (1.0 is all of it), counted in nginx's attempts, failed ones too:
    nothing that a server does with its requests changes it."""
    counts = _counts(evidence)
    if counts is None:
        return unknown("to which apps nginx sent requests is unknown", limit=LEAST)
    total, each = sum(counts.values()), len(counts)
    if not total:
        return invalid("no app got any request in the window", 0.0, LEAST)
    least = min(counts, key=lambda host: counts[host])
    share = counts[least] * each / total
    listed = ", ".join(f"{host} {count}" for host, count in counts.items())
    if share < LEAST:
        return invalid(f"{least} got {share:.2f} of an equal share ({listed})", share, LEAST)
    return valid(f"every app got at least {share:.2f} of an equal share ({listed})", share, LEAST)


def _counts(evidence: Evidence) -> dict[str, int] | None:
    """Attempts of nginx; where those are unknown, the requests that clients know to have gone to each server."""
    known = {host: evidence.attempts.get(host) for host in evidence.plan.apps}
    if any(count is None for count in known.values()):
        servers = {one["host"]: one["requests"] for one in evidence.figures.get("servers") or ()}
        known = {host: servers.get(host) for host in evidence.plan.apps}
    counts = {host: count for host, count in known.items() if count is not None}
    return counts if len(counts) == len(known) else None
