"""How fast the load generator itself can go: the workers of a trial, without think time, against a page of nginx's own.

It is measured before a run's first trial, and every trial resets all that it starts. Pure: values in, stages out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from loadproof.plan import actions, places
from loadproof.plan.shell import quote
from loadproof.plan.values import Await, Desired, Inventory, Load, Run, Stage, TrialPlan

NAME = "rate"  # the stage in the journal, and `when` of the lines in facts.jsonl
SCENARIO = "null"
PATH = "/loadproof-null"  # templates/nginx.conf.j2
USERS = 16  # of each worker: more of them gave no more requests per second
FROM_S, TO_S = 1.0, 3.0  # the seconds counted: connections are made in the first
END_S = 6.0  # the load ends by itself if nobody does it
DEADLINE_S = 60.0
WITHIN_S = 30.0


def trial(asked: TrialPlan) -> TrialPlan:
    """The same workers on the same hosts, with a load of their own."""
    users = USERS * len(asked.workers)
    load = Load(
        processes=len(asked.workers),
        threads=USERS,
        users=users,
        ramp="users",
        table=((0.0, users),),
        ramp_end_s=0.0,
        settle_s=FROM_S,
        hold_s=END_S - FROM_S,
        end_s=END_S,
        think_s=0.0,
        timeout_s=asked.load.timeout_s,
        scenario=SCENARIO,
    )
    return replace(asked, id=NAME, load=load, planned_s=END_S, margin_s=DEADLINE_S - END_S, because=NAME)


def key(inventory: Inventory, asked: TrialPlan, desired: Desired) -> str:
    """What a measured rate belongs to: load hosts, what they run, how many workers on each, and the way to nginx."""
    hosts = []
    for name in asked.loads:
        trees = [tree.name for tree in desired.host(name).trees if tree.kind == "load"]
        hosts.append([name, inventory.host(name).address, *trees, len(workers(asked, name))])
    proxy = inventory.host(asked.proxy)
    return json.dumps([hosts, [proxy.name, proxy.address, proxy.port("proxy")]])


def workers(asked: TrialPlan, host: str) -> tuple[int, ...]:
    """The numbers of the Locust workers of a load host."""
    return tuple(number for owner, number in asked.workers if owner == host)


def loading(asked: TrialPlan) -> tuple[str, ...]:
    """The load hosts that have a worker."""
    return tuple(host for host in asked.loads if workers(asked, host))


def before(inventory: Inventory, asked: TrialPlan) -> Stage:
    """Stops whatever ran, and gives the programs the idle folder to write into: nothing of it has to be kept."""
    hosts = tuple(dict.fromkeys((asked.proxy, *asked.loads)))
    make = quote("mkdir", "-p", places.IDLE, places.RUN)
    turn = quote("ln", "-sfn", places.IDLE, places.CURRENT)
    forget = quote("find", places.IDLE, "-type", "f", "-delete")
    folders = tuple(Run(host, "folder", f"{make} && {turn} && {forget}") for host in actions.hosts_of(asked))
    told = actions.told_of(inventory, trial(asked), hosts, places.IDLE)
    return Stage(NAME, (*actions.reset(inventory, asked).waves, folders, told))


def measuring(inventory: Inventory, asked: TrialPlan) -> Stage:
    """nginx answers; the workers start; each load host counts what its own ones get answered."""
    url = actions.target(inventory, asked)
    question = {"targets": [url], "requests": 1, "path": PATH, "worker": 0xFFF1}
    answers = Await(
        asked.proxy,
        "ready.null",
        f"nginx answers at {url}{PATH}",
        actions.program(inventory, asked.proxy, "warm", json.dumps(question)),
        within=actions.HEALTH_WITHIN_S,
    )
    (starts,) = actions.load(inventory, trial(asked)).waves
    counts = tuple(_count(inventory, asked, host) for host in loading(asked))
    return Stage(NAME, ((answers,), starts, counts))


def _count(inventory: Inventory, asked: TrialPlan, host: str) -> Run:
    question = {
        "out": places.IDLE,
        "workers": workers(asked, host),
        "from_s": FROM_S,
        "to_s": TO_S,
        "within": WITHIN_S,
    }
    command = actions.program(inventory, host, "rate", json.dumps(question))
    return Run(host, "rate", command, within=WITHIN_S + TO_S + 10, ok=(0, 3), keep=True)


def ending(inventory: Inventory, asked: TrialPlan) -> Stage:
    """Ends the workers at once: their rows were read, and nobody waits for their last words."""
    kill = quote("systemctl", "kill", "--signal=KILL", "loadproof-load@*")
    return Stage(NAME, (tuple(Run(host, "load.kill", kill, ok=(0, 1, 5)) for host in asked.loads),))


def fact(host: str, said: Mapping[str, object]) -> dict[str, object]:
    """The line of facts.jsonl for what rate.py said on a host: rate in answers per second of that host's workers."""
    return {"when": NAME, "host": host, **said}
