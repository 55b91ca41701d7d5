"""The limiter holds a fifth of the plan's share from the middle of the window on: throughput falls in it."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import quote
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the limiter of the server is lowered to a fifth in the middle of the window"
COLOUR = parts.ORANGE
TURNS: dict[str, Verdict] = {"steady": "INVALID", "limiter_attached": "INVALID"}
# limit_held: too little while requests waited, by how much depends on what the limiter makes of a single percent
MAY_TURN = ("limit_held",)
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "load", 33.0, None
# alone: in a closed loop a server is asked no more often than the slowest of them answers; long enough for a slope
TRIAL = {"servers": "1", "hold": "60s"}
hosts = parts.last_app

KEPT = f"{places.RUN}/trial.json.kept"
SHARE = 5


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """A fifth of the percentage in trial.json, and the supervisor reads it again."""
    keep = quote("cp", "-p", places.TRIAL_JSON, KEPT)
    return tuple(
        Run(
            host,
            "limiter.lower",
            parts.both(
                keep, _written(trial.limit_at(host) / SHARE), quote("systemctl", "restart", places.LIMIT_UNIT)
            ),
            within=parts.WITHIN_S,
        )
        for host in hosts(trial)
    )


def _written(percent: float) -> str:
    return quote("sed", "-i", rf's/"percent": [0-9.]*/"percent": {percent:g}/', places.TRIAL_JSON)


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """trial.json as it was; the limiter itself is lifted a moment later."""
    back = parts.both(quote("mv", KEPT, places.TRIAL_JSON), quote("systemctl", "restart", places.LIMIT_UNIT))
    command = parts.only_if(quote("test", "-e", KEPT), back)
    return tuple(Run(host, "limiter.raise", command, within=parts.WITHIN_S) for host in hosts(trial))
