"""Somebody else's program takes a whole CPU of a server."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "another program takes a CPU of the last server"
COLOUR = parts.SKY
TURNS: dict[str, Verdict] = {"quiet_hosts": "INVALID"}
# in the lab all hosts share the machine's CPUs
MAY_TURN = ("limit_held", "generator_lag", "ledger_time")
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "load", 5.0, 6.0
TRIAL: dict[str, str] = {}
hosts = parts.last_app

LONGEST_S = 30.0


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """A loop that never waits, for LONGEST_S at most."""

    def busy(host: str) -> str:
        words = (inventory.host(host).python, "-I", "-S", "-c", "while True: pass")
        return parts.beside("steal", LONGEST_S, words)

    return tuple(Run(host, "cpu.steal", busy(host)) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """It ends."""
    return tuple(Run(host, "cpu.free", parts.ended("steal")) for host in hosts(trial))
