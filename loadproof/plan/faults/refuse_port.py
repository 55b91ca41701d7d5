"""A packet filter refuses the app's port on one server for some seconds."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the port of the last server refuses"
COLOUR = parts.SKY
# a condition is not broken by it: the system under test fails, which withholds what only successes tell
TURNS: dict[str, Verdict] = {"failures": "INVALID"}
MAY_TURN: tuple[str, ...] = ()
EXPECTS = ("app/refused", "app/reset")
WHEN, AT_S, FOR_S = "load", 5.0, 5.0
TRIAL: dict[str, str] = {}
hosts = parts.last_app


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Whoever connects gets a reset, and so does what is connected."""
    return tuple(
        Run(host, "port.refuse", parts.filtered(inventory, host, "reject with tcp reset"))
        for host in hosts(trial)
    )


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The filter goes."""
    return tuple(Run(host, "port.open", parts.unfiltered()) for host in hosts(trial))
