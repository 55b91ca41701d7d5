"""Somebody edits our nginx's configuration by hand, and reloads it, in the middle of a trial."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import Raw, quote
from loadproof.plan.values import Action, Inventory, TrialPlan

LABEL = "nginx's configuration is edited by hand"
COLOUR = parts.GREEN
TURNS: dict[str, Verdict] = {"drift": "INVALID"}
MAY_TURN: tuple[str, ...] = ()
# the old workers close the connections that they keep for clients
EXPECTS = ("proxy/*", "client/resent")
# still so when the facts are asked once more
WHEN, AT_S, FOR_S = "load", 5.0, None
TRIAL: dict[str, str] = {}
hosts = parts.proxy


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """A comment is enough."""
    write = quote("echo", "# edited by hand", Raw(">>"), parts.CONF)
    return tuple(parts.reconfigured(host, "nginx.edit", write) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The file as we wrote it, and loaded."""
    return tuple(parts.configured(host) for host in hosts(trial))
