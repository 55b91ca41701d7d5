"""Rows of a Locust worker are missing in the middle of its file."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, TrialPlan

LABEL = "one row in 8 of the first Locust worker is missing"
COLOUR = parts.PURPLE
TURNS: dict[str, Verdict] = {
    "rows_complete": "INVALID",
    "ledger_requests": "INVALID",
    "ledger_time": "INVALID",
}
# without every row there is no latency and no throughput to compare the generator with
MAY_TURN = ("generator_lag", "generator_rate")
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "after", 0.0, None
TRIAL: dict[str, str] = {}

# 64 bytes of header, rows of 64 bytes whose first byte says what they are; 1 is a request
PROGRAM = """
import sys
with open(sys.argv[1], "r+b") as file:
    data = file.read()
    rows = [data[at : at + 64] for at in range(64, len(data), 64)]
    requests = [number for number, row in enumerate(rows) if row[0] == 1]
    middle, some = len(requests) // 2, len(requests) // 8
    lost = set(requests[middle : middle + some])
    file.seek(64)
    file.writelines(row for number, row in enumerate(rows) if number not in lost)
    file.truncate()
"""


def hosts(trial: TrialPlan) -> tuple[str, ...]:
    """Where the first worker was."""
    return (trial.workers[0][0],)


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """After all workers have ended, before the seal."""
    host, number = trial.workers[0]
    return (parts.edited(inventory, trial, host, "rows.thin", PROGRAM, f"requests-{number}.rows"),)


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The file is this trial's own: no host has it for longer."""
    return ()
