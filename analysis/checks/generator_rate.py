"""The generator's own top rate against what it had to send."""

from __future__ import annotations

from typing import Any

from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "can each load host send at least twice what was measured, with a server that does nothing?"
WITHHOLDS = "trial"
REMEDY = "add load hosts, or processes up to their CPUs, until the generator is no part of the limit; then repeat the trial"

LEAST = 2.0


def applies(plan: TrialPlan) -> bool:
    """Every trial has a generator."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the top rate of a load host against a null server over its part of the measured peak, the smallest of
    all load hosts with workers. A host's part is that of its Locust workers: users are spread over them evenly."""
    peak = peak_rate(evidence)
    hosts = dict.fromkeys(host for host, _ in evidence.plan.workers)
    return together([_host(evidence, host, peak) for host in hosts], least=True)


def _host(evidence: Evidence, host: str, peak: float | None) -> Measured:
    top = evidence.facts.rates.get(host)
    if top is None or peak is None:
        why = "its top rate was not measured" if top is None else "the measured peak is unknown"
        return unknown(f"{host}: {why}", limit=LEAST)
    workers = evidence.plan.workers
    mine = peak * sum(owner == host for owner, _ in workers) / max(1, len(workers))
    if mine <= 0:
        return valid(f"{host}: it had nothing to send", limit=LEAST)
    times = top / mine
    said = f"{host}: its top rate is {top:,.0f} requests/s, {times:.1f} times its part of the peak"
    return (valid if times >= LEAST else invalid)(said, times, LEAST)


def peak_rate(evidence: Evidence) -> float | None:
    """The peak, in requests per second: the best 2 s of the whole run, or the mean of the window where failures, which
    are no part of the peak, make that the greater one."""
    figures, hold = evidence.figures, evidence.hold
    whole: Any = (figures.get("whole_run") or {}).get("peak_tps")
    requests = figures.get("requests")
    mean = requests / hold.length_s if hold is not None and requests is not None else None
    known = [float(one) for one in (whole, mean) if one is not None]
    return max(known) if known else None
