"""The app dies and systemd starts it again, which takes seconds under the limit."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import quote
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the app of the last server is killed, and starts again"
COLOUR = parts.VERMILION
TURNS: dict[str, Verdict] = {"app_alive": "INVALID"}
MAY_TURN = ("limiter_attached", "limit_held")
EXPECTS = ("app/refused", "app/reset", "app/never_accepted", "app/too_late", "app/error", "client/gave_up")
# how long it lasts is the app's own doing: as long as its start takes
WHEN, AT_S, FOR_S = "load", 5.0, 6.0
TRIAL: dict[str, str] = {}
hosts = parts.last_app


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Its main process is killed."""
    command = parts.send("KILL", places.APP_UNIT, "main")
    return tuple(Run(host, "app.kill", command) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """systemd has started it long since; if not, now."""
    start = quote("systemctl", "start", places.APP_UNIT)
    return tuple(Run(host, "app.start", start, within=parts.WITHIN_S) for host in hosts(trial))
