"""Throughput falls all through the window: what is measured has no level."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, TrialPlan

LABEL = "users ask less and less often, from 4 to hardly 1 request per second"
COLOUR = parts.PURPLE
TURNS: dict[str, Verdict] = {"steady": "INVALID"}
MAY_TURN: tuple[str, ...] = ()
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "before", 0.0, float("inf")
# long enough for a slope to be told from the noise of a limiter
TRIAL = {"scenario": "weary", "hold": "60s"}
hosts = parts.loads


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The trial itself is the fault."""
    return ()


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Nothing was done to any host."""
    return ()
