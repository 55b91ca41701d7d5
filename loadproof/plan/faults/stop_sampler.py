"""The sampler of a server is off for some seconds: what the app used of its CPU meanwhile nobody saw."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import quote
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the sampler of the last server is off"
COLOUR = parts.PURPLE
TURNS: dict[str, Verdict] = {"limit_held": "UNKNOWN"}
MAY_TURN = ("app_alive", "quiet_hosts", "disk_room", "hosts_up")
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "load", 4.0, 7.0
TRIAL: dict[str, str] = {}
hosts = parts.last_app


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Its unit stops."""
    stop = quote("systemctl", "stop", places.SAMPLE_UNIT)
    return tuple(Run(host, "sampler.stop", stop, within=parts.WITHIN_S) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """It starts again, and goes on in the same file."""
    start = quote("systemctl", "start", places.SAMPLE_UNIT)
    return tuple(Run(host, "sampler.start", start, within=parts.WITHIN_S) for host in hosts(trial))
