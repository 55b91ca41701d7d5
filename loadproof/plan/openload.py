"""Open loads: requests begin at a rate, whatever became of those before them. How rates are written, how many users it
takes to make such requests, and how many requests are planned in a stretch of time. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

from loadproof.plan.allowed import shown
from loadproof.plan.load import MOST_ARRIVALS, MOST_USERS, vusers
from loadproof.plan.values import Load, TrialPlan
from loadtests.profiles import arrivals

PER_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
SPARE = 4.0  # standard deviations of how many requests are on their way at once
_FORM = re.compile(r"(?P<count>[0-9]{1,9}(?:\.[0-9]{1,6})?)/(?P<per>[smh])")


def parse(text: str) -> float:
    """Requests per second of "200/s", "0.5/s" or "60/m". Raises ValueError with a sentence."""
    found = _FORM.fullmatch(text.strip())
    if not found or not float(found["count"]) > 0:
        raise ValueError(f"{shown(text)} is no rate: a number above 0 and /s, /m or /h, as in 200/s or 0.5/s")
    return float(found["count"]) / PER_S[found["per"]]


def spell(rate: float) -> str:
    """A rate as a person writes it: 200/s, 0.5/s, 0.1/m."""
    for per, seconds in PER_S.items():
        count = round(rate * seconds, 6)
        if count >= 0.01 or per == "h":
            return f"{count:.6f}".rstrip("0").rstrip(".") + f"/{per}"
    raise AssertionError


def possible(load: Load) -> bool:
    """Whether an open load is one that could have been planned."""
    known = load.rate is not None and load.arrivals in arrivals.names()
    return known and 0 < (load.rate or 0.0) * load.end_s <= MOST_ARRIVALS


def said(load: Load) -> str:
    """The model of a load in words: "open, 200/s, Poisson" or "closed, 99 users, think time 0 s"."""
    if load.rate is None:
        return f"closed, {load.users} users, think time {load.think_s:g} s"
    return f"open, {spell(load.rate)}, {arrivals.find(load.arrivals).SAID}"


def pool(rate: float, timeout_s: float) -> int:
    """How many users can make all requests of a rate though none is answered within the timeout: rate x timeout are on
    their way then on the mean (Little's law), spread over Locust workers that do not help each other out, each with four
    standard deviations of a Poisson count; never more than nginx is set up for."""
    mean, number = rate * timeout_s, 1
    for _ in range(3):  # more users may take more workers, which take more users
        workers = vusers(number)[0]
        number = min(MOST_USERS, math.ceil(mean + SPARE * math.sqrt(mean * workers)) + workers)
    processes = vusers(number)[0]
    return min(MOST_USERS, -(-number // processes) * processes)


def planned(plan: TrialPlan, from_s: float, to_s: float) -> int:
    """How many requests of a trial are to be sent in [from, to) seconds since the first user started; 0 of a closed load,
    which plans none."""
    return sum(from_s <= at < to_s for at in moments(plan))


def moments(plan: TrialPlan) -> Iterator[float]:
    """When requests of a trial are to be sent, worker by worker: what its Locust workers are told to do."""
    load = plan.load
    if load.rate is None:
        return
    for _, number in plan.workers:
        seed = arrivals.seed(plan.seed, plan.id, number)
        share = arrivals.Share(load.rate, number - 1, len(plan.workers), load.end_s, seed)
        yield from arrivals.times(load.arrivals, share)
