"""The trials of a search for a capacity: the load of each, as large as it was decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from loadproof.plan.capacity import Next, following
from loadproof.plan.values import Capacity, Load, TrialPlan
from loadtests.profiles.steps import table

RAMP_STEPS, RAMP_STEP_S = 5, 1.0


def users(base: Load, level: int, hold_s: float) -> Load:
    """A load of so many users, all there after some seconds, then constant."""
    step = -(-level // RAMP_STEPS)
    rows = table(level, step, step, RAMP_STEP_S)
    ramp_end = rows[-1][0]
    return replace(
        base,
        threads=level // base.processes,
        users=level,
        ramp="users",
        table=rows,
        ramp_end_s=ramp_end,
        hold_s=hold_s,
        end_s=round(ramp_end + base.settle_s + hold_s, 6),
        said=(),
    )


# What a search may vary: (load of the experiment, level, hold in seconds) -> load of a trial.
LOADS: Mapping[str, Callable[[Load, int, float], Load]] = {"users": users}


def trial(asked: Capacity, base: TrialPlan, wanted: Next, number: int) -> TrialPlan:
    """A trial of a search, or one of its fresh ones; `base`: any other trial of the run."""
    load = LOADS[asked.load](base.load, wanted.level, wanted.hold_s)
    return replace(
        base,
        id=f"{number:02d}",
        arm=f"{asked.load}={wanted.level}",
        factors=((asked.load, wanted.level),),
        block=wanted.number,
        because=wanted.because,
        purpose=wanted.purpose,
        load=load,
        planned_s=load.end_s,
    )


def first(asked: Capacity, planned: TrialPlan) -> TrialPlan:
    """The first trial of a search, of the one that the experiment would have."""
    begin = following(asked, planned.load.hold_s, ())
    assert isinstance(begin, Next)
    _, _, calibrated = planned.because.partition("; ")
    made = trial(asked, planned, begin, int(planned.id))
    return replace(made, because=f"{made.because}; {calibrated}") if calibrated else made
