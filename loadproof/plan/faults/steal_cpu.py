"""Somebody else's program takes a whole CPU of a server."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "another program takes a CPU of the last server"
COLOUR = parts.SKY
TURNS: dict[str, Verdict] = {"quiet_hosts": "INVALID"}
MAY_TURN = parts.BUSY_MAY_TURN
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "load", 5.0, 6.0
TRIAL: dict[str, str] = {}
hosts = parts.last_app


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """A loop that never waits."""
    return tuple(parts.taking_cpu(inventory, host, "steal", "while True: pass") for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """It ends."""
    return tuple(Run(host, "cpu.free", parts.ended("steal")) for host in hosts(trial))
