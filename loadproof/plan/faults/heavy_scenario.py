"""The scenario burns the generator's own CPU: what is measured is Locust, not the servers."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, TrialPlan

LABEL = "the scenario burns 20 ms of the generator's CPU before each request"
COLOUR = parts.BLUE
# user time: the burning is neither a request nor thinking
TURNS: dict[str, Verdict] = {"generator_cpu": "INVALID", "generator_lag": "INVALID", "ledger_time": "INVALID"}
MAY_TURN = ("generator_rate", "users_planned")
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "before", 0.0, float("inf")
TRIAL = {"scenario": "heavy"}
hosts = parts.loads


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The trial itself is the fault."""
    return ()


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Nothing was done to any host."""
    return ()
