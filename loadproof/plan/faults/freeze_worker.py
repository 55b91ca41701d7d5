"""One Locust worker stands still for some seconds, in which a step of the load falls."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the last Locust worker is frozen"
COLOUR = parts.BLUE
# its share of the step comes seconds late; and without a heartbeat for 3 s the master has lost it
TURNS: dict[str, Verdict] = {
    "users_planned": "INVALID",
    "workers_kept": "INVALID",
    "generator_lag": "INVALID",
}
MAY_TURN = ("rows_complete", "ledger_requests", "ledger_time")
EXPECTS = ("client/*", "app/too_late")
# from before the step at 6 s (a fault begins up to a second late: the first user is seen by looking each second) into the
# window, which begins at 8 s
WHEN, AT_S, FOR_S = "load", 3.0, 7.0
TRIAL = {"processes": "2", "threads": "20", "initial": "16", "step": "24", "interval": "6s"}


def hosts(trial: TrialPlan) -> tuple[str, ...]:
    """Where the last worker is."""
    return (trial.workers[-1][0],)


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Stopped with all that it has in flight."""
    host, number = trial.workers[-1]
    return (Run(host, "worker.freeze", parts.send("STOP", places.load_unit(number))),)


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """It goes on."""
    host, number = trial.workers[-1]
    return (Run(host, "worker.thaw", parts.send("CONT", places.load_unit(number))),)
