"""The limiter's supervisor is stopped for some seconds: a killed cpulimit alone it would replace within one."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import quote
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the limiter of the server is off"
COLOUR = parts.ORANGE
TURNS: dict[str, Verdict] = {"limiter_attached": "INVALID", "limit_held": "INVALID"}
MAY_TURN = ("generator_cpu", "generator_lag", "generator_rate")
EXPECTS: tuple[str, ...] = ()
# longer than the 5 s over which the limit is judged
WHEN, AT_S, FOR_S = "load", 4.0, 7.0
# alone: in a closed loop a server is asked no more often than the slowest of them answers
TRIAL = {"servers": "1"}
hosts = parts.last_app


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The unit stops, and lets the app go."""
    stop = quote("systemctl", "stop", places.LIMIT_UNIT)
    return tuple(Run(host, "limiter.stop", stop, within=parts.WITHIN_S) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """It starts again, and holds what trial.json says."""
    start = quote("systemctl", "start", places.LIMIT_UNIT)
    return tuple(Run(host, "limiter.start", start, within=parts.WITHIN_S) for host in hosts(trial))
