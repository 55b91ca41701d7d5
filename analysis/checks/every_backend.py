"""Did nginx send every app of the plan its part of the requests?"""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "did every app of the plan get at least half of an equal share of the requests, or some where nginx looks at how apps do?"
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
    nothing that a server does with its requests changes it. With failover, and by least connections, it does: who gets how
    much is what is measured then, and only a server that was never tried is none of the trial."""
    counts, looks = _counts(evidence), _looks(evidence.plan)
    limit = 0.0 if looks else LEAST
    if counts is None:
        return unknown("to which apps nginx sent requests is unknown", limit=limit)
    total, each = sum(counts.values()), len(counts)
    if not total:
        return invalid("no app got any request in the window", 0.0, limit)
    least = min(counts, key=lambda host: counts[host])
    share = counts[least] * each / total
    listed = ", ".join(f"{host} {count}" for host, count in counts.items())
    if share < limit or not share:
        return invalid(f"{least} got {share:.2f} of an equal share ({listed})", share, limit)
    said = f"every app got at least {share:.2f} of an equal share ({listed})"
    return valid(f"{said}; nginx looks at how apps do" if looks else said, share, limit)


def _looks(plan: TrialPlan) -> bool:
    """Whether nginx sends requests by what became of others: it leaves out who failed, or asks who has fewest open."""
    return plan.serving.failover or plan.serving.balance == "least_conn"


def _counts(evidence: Evidence) -> dict[str, int] | None:
    """Attempts of nginx; where those are unknown, the requests that clients know to have gone to each server: each was an
    attempt at least."""
    known = {host: evidence.attempts.get(host) for host in evidence.plan.apps}
    if any(count is None for count in known.values()):
        servers = {one["host"]: one["requests"] for one in evidence.figures.get("servers") or ()}
        known = {host: servers.get(host) for host in evidence.plan.apps}
        if evidence.plan.serving.failover:  # who has none may have been tried, and another one answered
            known = {host: count or None for host, count in known.items()}
    counts = {host: count for host, count in known.items() if count is not None}
    return counts if len(counts) == len(known) else None
