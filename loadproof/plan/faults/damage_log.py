"""Bytes in the middle of nginx's log are overwritten: more than 1 in 1000 of its lines is none any more."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, TrialPlan

LABEL = "one line in 50 of nginx's log is overwritten"
COLOUR = parts.PURPLE
TURNS: dict[str, Verdict] = {"logs_readable": "INVALID"}
# what cannot be read is missing in the ledger
MAY_TURN = ("ledger_requests",)
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "after", 0.0, None
TRIAL: dict[str, str] = {}
hosts = parts.proxy

PROGRAM = """
import sys
with open(sys.argv[1], "r+b") as file:
    lines, at = file.readlines(), 0
    for number, line in enumerate(lines):
        if number % 50 == 7:
            file.seek(at)
            file.write(b"\\xff\\0\\x1b[31m"[: len(line) - 1])
        at += len(line)
"""


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """In place, so that nginx's own end of the file stays where it is; sealed as it is then."""
    return (parts.edited(inventory, trial, trial.proxy, "log.damage", PROGRAM, "access.tsv"),)


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The file is this trial's own: no host has it for longer."""
    return ()
