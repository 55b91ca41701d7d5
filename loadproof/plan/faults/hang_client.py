"""A client that is none of ours begins a request and never ends it: nginx is not idle when the load is over."""

from __future__ import annotations

from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "a stranger's request hangs at nginx"
COLOUR = parts.GREEN
TURNS: dict[str, Verdict] = {"tail_drained": "INVALID"}
MAY_TURN: tuple[str, ...] = ()
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "load", 8.0, None
TRIAL: dict[str, str] = {}


def hosts(trial: TrialPlan) -> tuple[str, ...]:
    """From the first load host."""
    return trial.loads[:1]


# nginx waits 60 s for the rest of a request's head
LONGEST_S = 50.0
PROGRAM = """
import socket, sys, time
with socket.create_connection((sys.argv[1], int(sys.argv[2]))) as connection:
    connection.sendall(b"GET /items/1 HTTP/1.1\\r\\nHost: stranger\\r\\n")
    time.sleep(60)
"""


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Half a request, for LONGEST_S at most."""
    proxy = inventory.host(trial.proxy)
    where = (proxy.address, str(proxy.port("proxy")))

    def hanging(host: str) -> str:
        words = (inventory.host(host).python, "-I", "-S", "-c", PROGRAM, *where)
        return parts.beside("hang", LONGEST_S, words)

    return tuple(Run(host, "client.hang", hanging(host)) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """It goes away."""
    return tuple(Run(host, "client.end", parts.ended("hang")) for host in hosts(trial))
