"""One server is gone for the whole load; nginx does not know."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import quote
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the app of the last server is stopped"
COLOUR = parts.VERMILION
# not every_backend: nginx goes on to send it its part
TURNS: dict[str, Verdict] = {"app_alive": "INVALID", "failures": "INVALID"}
MAY_TURN = ("limiter_attached", "limit_held", "tail_drained", "generator_lag", "generator_rate")
# half of the requests come back at once and are sent again: the server that is left has twice to do
EXPECTS = ("app/refused", "app/too_late", "client/gave_up")
WHEN, AT_S, FOR_S = "before", 0.0, float("inf")
TRIAL: dict[str, str] = {}
hosts = parts.last_app


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Its unit stops."""
    stop = quote("systemctl", "stop", places.APP_UNIT)
    return tuple(Run(host, "app.stop", stop, within=parts.WITHIN_S) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """It starts again."""
    start = quote("systemctl", "start", places.APP_UNIT)
    return tuple(Run(host, "app.start", start, within=parts.WITHIN_S) for host in hosts(trial))
