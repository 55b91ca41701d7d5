"""How late the generator's own event loops were."""

from __future__ import annotations

import numpy as np

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.measures.columns import Ints, ints
from analysis.measures.window import Window
from loadproof.plan.values import TrialPlan

ASKS = "was the generator's own delay small against the times it measured?"
WITHHOLDS = "trial"
REMEDY = (
    "give the load hosts more CPUs or fewer users each, and let nothing else run there; then repeat the trial"
)

OF_P50 = 0.10
FLOOR_MS = 5.0
QUANTILE = 0.99


def applies(plan: TrialPlan) -> bool:
    """Every trial has a generator."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the p99 of the lag in ms of the worst Locust worker: how late its event loop is in 99 of 100 moments at
    most. It is the greater one of two: the mean over seconds of the p99 that a worker itself saw in each, of some 100
    looks (one bad second among fifteen does not decide, five do); and what its longest stalls alone come to, for a loop
    that stands still for seconds looks at nothing meanwhile. The limit is 10 % of the p50 of successes (where there are
    none, of the time to giving up), and never below 5 ms."""
    window = evidence.window
    p50 = evidence.figures.get("p50_ms")
    typical = p50 or evidence.figures.get("answer_or_give_up_ms")
    limit = max(OF_P50 * typical, FLOOR_MS) if typical else FLOOR_MS
    if window is None:
        return unknown("there is no window", limit=limit, unit="ms")
    lags: dict[int, float] = {}
    for host, number in evidence.plan.workers:
        found = _lag_us(evidence, number, window)
        if found is None:
            return unknown(f"{host}: the lag of Locust worker {number} is unknown", limit=limit, unit="ms")
        lags[number] = found / 1000
    worst = max(lags, key=lambda number: lags[number])
    value = lags[worst]
    of = "p50" if p50 else "time to giving up"
    added = f", {100 * value / typical:.1f} % of the {of}" if typical else ""
    said = f"Locust worker {worst} was up to {value:.1f} ms late (p99): so much is added to times{added}"
    if value <= limit:
        return valid(said, value, limit, "ms")
    if not typical:
        return unknown(f"{said}; no request ended to compare it with", value, limit, "ms")
    return invalid(said, value, limit, "ms")


def _lag_us(evidence: Evidence, number: int, window: Window) -> float | None:
    """The p99 of one worker's lag; None without its rows."""
    table = evidence.tables.workers
    at = ints(table, "at_us")
    mine = (ints(table, "worker") == number) & (at > window.from_us) & (at <= window.to_us)
    if not mine.any():
        return None
    # a stall that began before the window counts from there on
    longest = np.minimum(ints(table, "lag_max_us")[mine], at[mine] - window.from_us)
    return max(float(ints(table, "lag_p99_us")[mine].mean()), stalled(longest, window.to_us - window.from_us))


def stalled(stalls_us: Ints, length_us: int) -> float:
    """The p99 of how long one has to wait, over all moments of a time in which a loop stood still now and then: at `x`
    before the end of a stall one waits `x`. So it is the x for which the sum of (stall - x), where positive, is 1 %."""
    left = length_us * (1 - QUANTILE)
    ordered = np.sort(stalls_us)[::-1].astype(np.float64)
    # with the k longest above x: sum of them - k * x = left
    counts = np.arange(1, len(ordered) + 1)
    return max(0.0, float(((np.cumsum(ordered) - left) / counts).max(initial=0.0)))
