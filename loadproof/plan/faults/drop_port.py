"""A packet filter swallows what comes to the app's port of one server, for the whole load."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the port of the last server is silent"
COLOUR = parts.SKY
# not every_backend: nginx goes on to send it its part
TURNS: dict[str, Verdict] = {"failures": "INVALID"}
MAY_TURN = ("tail_drained",)
EXPECTS = ("app/never_accepted", "client/gave_up", "proxy/timeout")
WHEN, AT_S, FOR_S = "before", 0.0, float("inf")
TRIAL: dict[str, str] = {}
hosts = parts.last_app


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """No answer at all: whoever connects waits."""
    return tuple(Run(host, "port.silence", parts.filtered(inventory, host, "drop")) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The filter goes."""
    return tuple(Run(host, "port.open", parts.unfiltered()) for host in hosts(trial))
