"""A made ramp: ten levels of 2 to 20 users who think 90 ms, on one server that takes 10 ms a request."""

from __future__ import annotations

import dataclasses

from loadproof.plan.values import Load
from tests.analysis import synthetic

STEPS = tuple((index * 10.0, 2 * (index + 1)) for index in range(10))
LOAD = Load(3, 7, 20, "users", STEPS, 90.0, 5.0, 15.0, 110.0, 0.09, 2.0, "items")
SERVICE_S = 0.01
ELSEWHERE_S = LOAD.think_s + 0.0025  # 2 ms on the way, 0.5 ms before the next request


def ramp(
    seed: int = 2, load: Load = LOAD, run: str = "20261124T031500Z-made", id: str = "01"
) -> synthetic.Raw:
    """Its raw files."""
    return synthetic.simulate(synthetic.plan(run, id, load=load), seed, SERVICE_S, fail=0.0)


def exact(users: int, service_s: float = SERVICE_S, elsewhere_s: float = ELSEWHERE_S) -> tuple[float, float]:
    """Requests per second, and the seconds that one takes at the server, of that closed load (exponential times, one queue):
    exact mean value analysis."""
    waiting = rate = taken = 0.0
    for count in range(1, users + 1):
        taken = service_s * (1 + waiting)
        rate = count / (taken + elsewhere_s)
        waiting = rate * taken
    return rate, taken


def shorter(length_s: float) -> Load:
    """The same load with levels of another length."""
    steps = tuple((index * length_s, users) for index, (_, users) in enumerate(STEPS))
    end = steps[-1][0]
    return dataclasses.replace(LOAD, table=steps, ramp_end_s=end, end_s=end + LOAD.settle_s + LOAD.hold_s)
