"""What a plan says of the limit of one server, in % of one CPU."""

from __future__ import annotations

from loadproof.plan import limiters
from loadproof.plan.values import TrialPlan

# points: what is left where a limiter was set by measurement, in its whole percents
CALIBRATED = 1.0


def asked(plan: TrialPlan, host: str) -> float:
    """What the server is to be held to."""
    return plan.limit.percent


def set_to(plan: TrialPlan, host: str) -> float | None:
    """What its limiter is to be told for that: what was asked, or what a calibration found."""
    settings = limiters.load(plan.limit.kind).trial_settings(plan.limit_at(host), "")
    return float(settings["percent"])


def sudden(plan: TrialPlan) -> float:
    """How far above asked 5 s may lie, in points: what the limiter does from second to second, which no setting changes.
    Measured: 5 s under cpulimit -l 5 lie up to 1.1 points above their own mean."""
    return limiters.load(plan.limit.kind).tolerance_points


def tolerance(plan: TrialPlan, host: str) -> float:
    """How far what a server got over the whole window, and while requests waited, may lie from asked, in points."""
    points = limiters.load(plan.limit.kind).tolerance_points
    return min(points, CALIBRATED) if host in dict(plan.limit_set) else points


def cycle_us(plan: TrialPlan) -> int:
    """In what time an app gets its share once."""
    return round(limiters.load(plan.limit.kind).cycle_s * 1e6)
