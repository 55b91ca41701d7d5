"""An open load with fewer users than it takes to make its requests: nobody is free when most of them are to be sent."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, TrialPlan

LABEL = "40 users are to send 200 requests per second to servers that answer some 20"
COLOUR = parts.BLUE
TURNS: dict[str, Verdict] = {"arrivals_made": "INVALID"}
# servers are as busy as in any rehearsal, and requests that nobody sends cost the generator little
MAY_TURN: tuple[str, ...] = ()
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "before", 0.0, float("inf")
TRIAL = {"rate": "200/s", "processes": "1", "threads": "40"}
hosts = parts.loads


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The trial itself is the fault."""
    return ()


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Nothing was done to any host."""
    return ()
