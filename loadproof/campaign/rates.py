"""How fast the load generator can go by itself: measured before the first trial that needs it, then remembered."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from loadproof.control import rate as measuring
from loadproof.control.perform import Recorder, Remotes
from loadproof.control.signals import Signals
from loadproof.errors import LocalDisk
from loadproof.plan import rate
from loadproof.plan.values import Desired, Inventory, TrialPlan
from loadproof.runfolder import atomic, record

MEMORY = ".cache/rates.json"

Rows = Sequence[Mapping[str, Any]]


def note(
    trial: TrialPlan,
    inventory: Inventory,
    desired: Desired,
    remotes: Remotes,
    journal: Recorder,
    converge: Callable[[], None],
    signals: Signals,
    root: Path,
    facts: Path,
    say: Callable[[str], None],
) -> None:
    """Writes the rate of every load host into a trial's facts.jsonl: the remembered one, or one that is measured now."""
    key = rate.key(inventory, trial, desired)
    rows: Rows = remembered(root).get(key, ())
    if not rows:
        say(f"how fast can the generator go? {rate.TO_S:g} s against nginx itself, once ...")
        rows = measuring.measure(trial, inventory, remotes, journal, converge, signals)
        whole = len(rows) == len(rate.loading(trial))
        total = sum(float(row["rate"]) for row in rows)
        count = f"{len(trial.workers)} Locust worker{'' if len(trial.workers) == 1 else 's'}"
        say(
            f"{total:.0f} requests/s with {count}"
            if whole
            else "that could not be measured; the trial goes on"
        )
        if whole:
            learn(root, key, rows)
    if rows:
        record.append_facts(facts, rows)


def remembered(root: Path) -> dict[str, Rows]:
    """What was measured earlier, by `rate.key`; nothing when there is no such memory, or it cannot be read."""
    try:
        known = json.loads((root / MEMORY).read_text())
        return {
            str(key): [row for row in rows if float(row["rate"]) >= 0 and row["host"]]
            for key, rows in known.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def learn(root: Path, key: str, rows: Rows) -> None:
    """Remember what was measured; a clone that cannot be written to goes without."""
    try:
        (root / MEMORY).parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(root / MEMORY, {**remembered(root), key: list(rows)})
    except (OSError, LocalDisk):
        return
