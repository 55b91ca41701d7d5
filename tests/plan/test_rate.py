"""The stages that measure how fast the generator can go, and what a measured rate belongs to."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from loadproof.plan import desired, experiment, places, rate, trials
from loadproof.plan.values import Await, Desired, Inventory, Put, Run, TrialPlan
from tests.plan.inventories import FOUR, ROOT, inventory, platforms

TWO = FOUR.replace(
    "load: {hosts: {load1: }}",
    "load: {hosts: {l1: {ansible_host: 10.0.1.1}, l2: {ansible_host: 10.0.1.2}}}",
)


def planned(tmp_path: Path, text: str = FOUR, **flags: str) -> tuple[Inventory, TrialPlan, Desired]:
    hosts = inventory(tmp_path, text)
    asked = experiment.from_flags({"vusers": "100", **flags})
    states = desired.states(asked, hosts, platforms(hosts), ROOT)
    (trial,) = trials.trials(asked, hosts, "RUN", states)
    return hosts, trial, states[trial.state]


def test_the_same_workers_without_think_time_against_nginx_itself(tmp_path: Path) -> None:
    _, trial, _ = planned(tmp_path, think="1s")
    made = rate.trial(trial)
    assert (made.workers, made.loads, made.proxy) == (trial.workers, trial.loads, trial.proxy)
    assert (made.load.scenario, made.load.think_s, made.load.users) == ("null", 0.0, 3 * rate.USERS)
    assert rate.TO_S < made.load.end_s < made.planned_s + made.margin_s == rate.DEADLINE_S


def test_nothing_is_written_where_it_would_have_to_be_kept(tmp_path: Path) -> None:
    hosts, trial, _ = planned(tmp_path)
    *_, folders, told = rate.before(hosts, trial).waves
    assert {action.host for action in folders} == {"app1", "app2", "app3", "proxy1", "load1"}
    texts = [json.loads(action.text) for action in told if isinstance(action, Put)]
    assert {one["host"]: one["out"] for one in texts} == {"proxy1": places.IDLE, "load1": places.IDLE}
    stages = (rate.before(hosts, trial), rate.measuring(hosts, trial), rate.ending(hosts, trial))
    commands = [
        one.command
        for stage in stages
        for wave in stage.waves
        for one in wave
        if isinstance(one, Run | Await)
    ]
    assert not any("/trials/" in command for command in commands)


def test_each_load_host_counts_its_own_workers(tmp_path: Path) -> None:
    hosts, trial, _ = planned(tmp_path, TWO)
    ready, starts, counts = rate.measuring(hosts, trial).waves
    assert [type(one) for one in ready] == [Await] and [one.host for one in starts] == ["l1", "l2"]
    asked = {one.host: json.loads(one.command.split("'")[1]) for one in counts if isinstance(one, Run)}
    assert {host: one["workers"] for host, one in asked.items()} == {"l1": [1, 3], "l2": [2]}
    hosts, trial, _ = planned(tmp_path, TWO, vusers="1")
    assert [one.host for one in rate.measuring(hosts, trial).waves[2]] == ["l1"]  # l2 has no worker


def test_what_a_rate_belongs_to(tmp_path: Path) -> None:
    hosts, trial, state = planned(tmp_path)
    key = rate.key(hosts, trial, state)
    other_load = replace(trial, load=replace(trial.load, think_s=2.0), seed=9)
    assert rate.key(hosts, other_load, state) == key
    moved = inventory(tmp_path, FOUR.replace("10.0.0.20", "10.0.0.21"))
    proxy = inventory(tmp_path, FOUR.replace("10.0.0.10", "10.0.0.11"))
    more = replace(trial, workers=(*trial.workers, ("load1", 4)))
    tree = replace(
        state,
        hosts=tuple(
            replace(host, trees=tuple(replace(one, name=f"{one.name}0") for one in host.trees))
            for host in state.hosts
        ),
    )
    others = [rate.key(moved, trial, state), rate.key(proxy, trial, state), rate.key(hosts, more, state)]
    assert len({key, *others, rate.key(hosts, trial, tree)}) == 5
