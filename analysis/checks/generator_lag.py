"""How late the generator's own event loops were."""

from __future__ import annotations

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.measures.columns import ints
from loadproof.plan.values import TrialPlan

ASKS = "was the generator's own delay small against the times it measured?"
WITHHOLDS = "trial"
REMEDY = (
    "give the load hosts more CPUs or fewer users each, and let nothing else run there; then repeat the trial"
)

OF_P50 = 0.10
FLOOR_MS = 5.0


def applies(plan: TrialPlan) -> bool:
    """Every trial has a generator."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the lag's p99 in ms of the worst Locust worker: the mean over the seconds of the window, each of which
    has a p99 of its own, of some 100 looks. One bad second among fifteen does not decide, five do. The limit is 10 % of
    the p50 of successes, and never below 5 ms."""
    hold, table = evidence.hold, evidence.tables.workers
    p50 = evidence.figures.get("p50_ms")
    limit = max(OF_P50 * p50, FLOOR_MS) if p50 is not None else FLOOR_MS
    if hold is None:
        return unknown("there is no window", limit=limit, unit="ms")
    at, worker = ints(table, "at_us"), ints(table, "worker")
    inside = (at > hold.from_us) & (at <= hold.to_us)
    lag = ints(table, "lag_p99_us")
    lags: dict[int, float] = {}
    for host, number in evidence.plan.workers:
        mine = lag[inside & (worker == number)]
        if not len(mine):
            return unknown(f"{host}: the lag of Locust worker {number} is unknown", limit=limit, unit="ms")
        lags[number] = float(mine.mean()) / 1000
    worst = max(lags, key=lambda number: lags[number])
    value = lags[worst]
    added = f", {100 * value / p50:.1f} % of the p50" if p50 else ""
    said = f"Locust worker {worst} was up to {value:.1f} ms late (p99): so much is added to its times{added}"
    if value <= limit:
        return valid(said, value, limit, "ms")
    if p50 is None:
        return unknown(f"{said}; nothing succeeded to compare it with", value, limit, "ms")
    return invalid(said, value, limit, "ms")
