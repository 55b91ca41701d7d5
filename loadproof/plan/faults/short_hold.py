"""Too short a window, and too few requests in it for a p99."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, TrialPlan

LABEL = "the window is 5 s, and users think for 1 s"
COLOUR = parts.PURPLE
TURNS: dict[str, Verdict] = {"short_window": "INVALID", "percentiles": "INVALID"}
MAY_TURN: tuple[str, ...] = ()
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "before", 0.0, float("inf")
TRIAL = {"hold": "5s", "think": "1s"}
hosts = parts.loads


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The trial itself is the fault."""
    return ()


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Nothing was done to any host."""
    return ()
