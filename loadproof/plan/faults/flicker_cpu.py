"""Somebody else's programs take a CPU of a server, none of them for longer than some milliseconds."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "programs of 20 ms, one after the other, take a CPU of the last server"
COLOUR = parts.PURPLE
TURNS: dict[str, Verdict] = {"quiet_hosts": "INVALID"}
MAY_TURN = parts.BUSY_MAY_TURN
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "load", 5.0, 6.0
TRIAL: dict[str, str] = {}
hosts = parts.last_app

# Of such a child no sample sees more than it used so far.
FLICKER = """\
import os, time
while True:
    child = os.fork()
    if not child:
        while time.process_time() < 0.02:
            pass
        os._exit(0)
    os.waitpid(child, 0)
"""


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """A loop that waits for one child after the other."""
    return tuple(parts.taking_cpu(inventory, host, "flicker", FLICKER) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """It ends."""
    return tuple(Run(host, "cpu.free", parts.ended("flicker")) for host in hosts(trial))
