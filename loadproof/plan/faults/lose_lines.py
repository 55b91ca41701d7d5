"""Whole lines are missing in nginx's log: each that is left can be read, and nothing in the file tells of the others."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, TrialPlan

LABEL = "one line in 50 of nginx's log is missing"
COLOUR = parts.PURPLE
TURNS: dict[str, Verdict] = {"ledger_requests": "INVALID"}
MAY_TURN: tuple[str, ...] = ()
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "after", 0.0, None
TRIAL: dict[str, str] = {}
hosts = parts.proxy

PROGRAM = """
import sys
with open(sys.argv[1], "r+b") as file:
    lines = file.readlines()
    file.seek(0)
    file.writelines(line for number, line in enumerate(lines) if number % 50 != 7)
    file.truncate()
"""


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """In place: nginx still has the file open."""
    return (parts.edited(inventory, trial, trial.proxy, "log.thin", PROGRAM, "access.tsv"),)


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The file is this trial's own: no host has it for longer."""
    return ()
