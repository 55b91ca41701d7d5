"""nginx is told by hand that one server is down, and sends it nothing for the whole load."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import quote
from loadproof.plan.values import Action, Inventory, TrialPlan

LABEL = "nginx leaves out the last server"
COLOUR = parts.GREEN
TURNS: dict[str, Verdict] = {"every_backend": "INVALID", "drift": "INVALID"}
MAY_TURN: tuple[str, ...] = ()
EXPECTS: tuple[str, ...] = ()
# until the facts are asked once more
WHEN, AT_S, FOR_S = "before", 0.0, None
TRIAL: dict[str, str] = {}
hosts = parts.proxy


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The word `down` behind its address. nginx takes it up long before Locust's first user comes."""
    app = inventory.host(trial.apps[-1])
    server = f"server {app.address}:{app.port('app')} "
    change = quote("sed", "-i", f"s/{server.replace('.', '[.]')}/&down /", parts.CONF)
    return tuple(parts.reconfigured(host, "nginx.forget", change) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The file as we wrote it, and loaded."""
    return tuple(parts.configured(host) for host in hosts(trial))
