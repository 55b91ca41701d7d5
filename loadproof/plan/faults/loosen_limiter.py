"""The limiter is there all the time and holds another share than the plan's."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import quote
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the limiter of the server holds 60 % in place of what was planned"
COLOUR = parts.ORANGE
PERCENT = 60
TURNS: dict[str, Verdict] = {"limit_held": "INVALID", "limiter_attached": "INVALID"}
# the restart alone leaves a gap, which turns that check too
SAYS = {"limiter_attached": f"set to {PERCENT} %"}
MAY_TURN = ("generator_cpu", "generator_lag", "generator_rate")
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "load", 4.0, 7.0
# alone: in a closed loop a server is asked no more often than the slowest of them answers
TRIAL = {"servers": "1"}
hosts = parts.last_app

KEPT = f"{places.RUN}/trial.json.kept"


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Another percentage in trial.json, and the supervisor reads it again."""
    keep = quote("cp", "-p", places.TRIAL_JSON, KEPT)
    change = quote("sed", "-i", rf's/"percent": [0-9.]*/"percent": {PERCENT}/', places.TRIAL_JSON)
    again = quote("systemctl", "restart", places.LIMIT_UNIT)
    command = parts.both(keep, change, again)
    return tuple(Run(host, "limiter.loosen", command, within=parts.WITHIN_S) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """trial.json as it was."""
    back = parts.both(quote("mv", KEPT, places.TRIAL_JSON), quote("systemctl", "restart", places.LIMIT_UNIT))
    command = parts.only_if(quote("test", "-e", KEPT), back)
    return tuple(Run(host, "limiter.tighten", command, within=parts.WITHIN_S) for host in hosts(trial))
