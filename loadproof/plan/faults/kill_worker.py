"""One Locust worker dies, with its users and with the requests that it had in flight."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the last Locust worker is killed"
COLOUR = parts.BLUE
TURNS: dict[str, Verdict] = {"workers_kept": "INVALID"}
# Locust hands its users to the others, after seconds; its requests in flight have no row
MAY_TURN = ("users_planned", "rows_complete", "ledger_requests", "ledger_time", "generator_lag")
EXPECTS = ("client/*",)
# late: the window ends with its users, and has to be long enough to tell what the limit held
WHEN, AT_S, FOR_S = "load", 9.0, 1.0
TRIAL = {"processes": "2", "threads": "20"}


def hosts(trial: TrialPlan) -> tuple[str, ...]:
    """Where the last worker is."""
    return (trial.workers[-1][0],)


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Killed, not told."""
    host, number = trial.workers[-1]
    return (Run(host, "worker.kill", parts.send("KILL", places.load_unit(number))),)


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """A dead worker stays dead: nothing of it is left on its host."""
    return ()
