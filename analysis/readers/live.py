"""live.jsonl of the Locust master: what it says of a load that a rule ended early."""

from __future__ import annotations

import json
from dataclasses import dataclass

from loadproof.plan.values import TrialPlan
from loadproof.runfolder.paths import TrialPaths

NAME = "live.jsonl"


@dataclass(frozen=True)
class Stopped:
    """By which rule, at which second, with how many users."""

    rule: str
    second: float
    users: int

    @property
    def said(self) -> str:
        """A sentence about it."""
        return f"autostop ({self.rule}) ended the load at second {self.second:g}, with {self.users} users"


def stopped(paths: TrialPaths, plan: TrialPlan) -> Stopped | None:
    """The end of a load by its rule; None when it went on, or no line says otherwise."""
    if plan.load.autostop == "none":
        return None
    try:
        text = (paths.raw(plan.loads[0]) / NAME).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    for line in text.splitlines():
        try:
            said = json.loads(line)
            if said.get("event") == "autostop":
                return Stopped(plan.load.autostop, float(said["elapsed_s"]), int(said["users"]))
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
            continue
    return None
