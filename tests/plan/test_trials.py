"""One trial per arm, decided before anything is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadproof.errors import BadInput
from loadproof.plan import actions, experiment, timeouts, trials
from tests.plan.inventories import FOUR, inventory, states


def test_arms_in_the_order_given(tmp_path: Path) -> None:
    flags = {"vusers": "100", "note": "x", "repeats": "1"}
    asked = experiment.named("quick", flags, ["factors.servers=2,1"])
    hosts = inventory(tmp_path)
    first, second = trials.trials(asked, hosts, "RUN", states(asked, hosts))
    assert (first.id, first.arm, first.apps, first.idle_apps) == (
        "01",
        "servers=2",
        ("app1", "app2"),
        ("app3",),
    )
    assert (second.id, second.arm, second.apps, second.idle_apps) == (
        "02",
        "servers=1",
        ("app1",),
        ("app2", "app3"),
    )
    assert (first.deploy_id, second.deploy_id) == ("app1+app2", "app1")
    assert (first.block, first.because, first.factors, first.folder) == (
        1,
        "block 1",
        (("servers", 2),),
        "01-servers-2",
    )
    assert (first.proxy, first.loads, first.watch, first.run) == ("proxy1", ("load1",), (), "RUN")
    assert first.planned_s == asked.arms[0].load.end_s
    assert first.margin_s > asked.arms[0].load.timeout_s + 5 + 5


def test_workers_are_spread_in_turn(tmp_path: Path) -> None:
    text = FOUR.replace(
        "load: {hosts: {load1: }}",
        "load: {hosts: {l1: {ansible_host: 10.0.1.1}, l2: {ansible_host: 10.0.1.2}}}",
    )
    asked, hosts = experiment.from_flags({"vusers": "100"}), inventory(tmp_path, text)
    (trial,) = trials.trials(asked, hosts, "RUN", states(asked, hosts))
    assert trial.workers == (("l1", 1), ("l2", 2), ("l1", 3))
    assert trial.loads == ("l1", "l2")


def test_more_servers_than_there_are(tmp_path: Path) -> None:
    asked = experiment.named("quick", settings=["factors.servers=1,4"])
    with pytest.raises(BadInput) as caught:
        trials.trials(asked, inventory(tmp_path), "RUN", {})
    assert str(caught.value.problems[0]) == (
        f"--servers: 4 servers asked, but group app of {tmp_path}/hosts.yml has 3 hosts (app1, app2, app3)"
    )
    assert "lab.up --app" in caught.value.next


def test_the_chain_of_timeouts_and_what_it_rules_out() -> None:
    names = dict(timeouts.chain(10.0))
    assert (names["client"], names["nginx read"], names["drain"]) == (10.0, 60, 15.0)
    assert "no 504" in timeouts.ruled_out(timeouts.chain(10.0))[0]
    assert timeouts.ruled_out(timeouts.chain(90.0)) == ()


def test_every_stage_can_be_made_of_it(tmp_path: Path) -> None:
    hosts = inventory(tmp_path)
    asked = experiment.from_flags({"servers": "2"})
    (trial,) = trials.trials(asked, hosts, "RUN", states(asked, hosts))
    stages = [*actions.opening(hosts, trial), *actions.starting(hosts, trial), *actions.loading(hosts, trial),
              actions.drain(hosts, trial), *actions.closing(hosts, trial)]  # fmt: skip
    assert all(stage.waves and all(stage.waves) for stage in stages)


def test_a_load_host_without_a_worker_starts_nothing(tmp_path: Path) -> None:
    text = FOUR.replace(
        "load: {hosts: {load1: }}",
        "load: {hosts: {l1: {ansible_host: 10.0.1.1}, l2: {ansible_host: 10.0.1.2}}}",
    )
    hosts = inventory(tmp_path, text)
    asked = experiment.from_flags({"vusers": "1"})
    (trial,) = trials.trials(asked, hosts, "RUN", states(asked, hosts))
    (wave,) = actions.load(hosts, trial).waves
    assert [action.host for action in wave] == ["l1"]
