"""The app stands still: it is stopped, and so is its limiter, which would continue it ten times a second."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the app of the last server is frozen"
COLOUR = parts.VERMILION
TURNS: dict[str, Verdict] = {"app_alive": "INVALID"}
MAY_TURN = ("limiter_attached", "limit_held")
EXPECTS = ("client/gave_up", "app/never_accepted", "app/too_late")
WHEN, AT_S, FOR_S = "load", 5.0, 5.0
TRIAL: dict[str, str] = {}
hosts = parts.last_app


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The limiter first: it lets the app run on whenever it sees that nothing limits."""
    command = parts.both(parts.send("STOP", places.LIMIT_UNIT), parts.send("STOP", places.APP_UNIT))
    return tuple(Run(host, "app.freeze", command) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Both go on."""
    command = parts.both(parts.send("CONT", places.APP_UNIT), parts.send("CONT", places.LIMIT_UNIT))
    return tuple(Run(host, "app.thaw", command) for host in hosts(trial))
