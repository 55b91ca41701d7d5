"""The Locust workers do not get the CPU they need. By cpulimit: a quota would need the cpu controller, which a lab host
may not have."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import Raw, quote
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the Locust workers are held to 2 % of a CPU"
COLOUR = parts.BLUE
TURNS: dict[str, Verdict] = {"generator_lag": "INVALID"}
# quiet_hosts: the cpulimits are programs of somebody else's. limit_held: requests come in bursts then, and cpulimit lets an
# app that was idle have more at each: 8.1 % over the seconds in which they waited, at 6.0 % over all, was seen.
MAY_TURN = ("quiet_hosts", "limit_held", "ledger_time", "users_planned", "workers_kept")
EXPECTS = ("client/own",)
WHEN, AT_S, FOR_S = "load", 5.0, 6.0
TRIAL: dict[str, str] = {}
hosts = parts.loads

LONGEST_S = 30.0


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """A cpulimit for each worker."""
    return tuple(
        Run(host, "workers.starve", parts.both(*(_starved(number) for number in _numbers(trial, host))))
        for host in hosts(trial)
    )


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """They end, and no worker stays stopped."""
    return tuple(
        Run(
            host,
            "workers.feed",
            parts.both(
                parts.ended("starve-*"),
                *(parts.send("CONT", places.load_unit(number)) for number in _numbers(trial, host)),
            ),
        )
        for host in hosts(trial)
    )


def _numbers(trial: TrialPlan, host: str) -> list[int]:
    return [number for owner, number in trial.workers if owner == host]


def _starved(number: int) -> str:
    pid = quote("systemctl", "show", "--property=MainPID", "--value", places.load_unit(number))
    words = ("cpulimit", "-l", "2", "-c", "1", "-p", Raw(f'"$({pid})"'))
    return parts.beside(f"starve-{number}", LONGEST_S, words)
