"""A sealed file of nginx's host is cut before it is fetched: its hash tells, and that host's evidence is missing."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import quote
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "nginx's log is cut after it was sealed"
COLOUR = parts.PURPLE
TURNS: dict[str, Verdict] = {
    "ledger_requests": "UNKNOWN",
    "logs_readable": "UNKNOWN",
}
# all that is known from nginx's host only
MAY_TURN = ("limit_held", "every_backend", "disk_room", "hosts_up", "quiet_hosts", "drift", "tail_drained")
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "sealed", 0.0, None
TRIAL: dict[str, str] = {}
hosts = parts.proxy


def _log(trial: TrialPlan) -> tuple[str, str]:
    out = places.trial_out(trial.run, trial.id)
    return f"{out}/access.tsv", f"{out}.kept"


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """A copy beside the trial's folder, then the cut."""
    log, kept = _log(trial)
    command = parts.both(quote("cp", "-p", log, kept), quote("truncate", "-s", "-1000", log))
    return (Run(trial.proxy, "log.cut", command),)


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The whole file again: it can be fetched after all."""
    log, kept = _log(trial)
    command = parts.only_if(quote("test", "-e", kept), quote("mv", kept, log))
    return (Run(trial.proxy, "log.mend", command),)
