"""A first deploy when some hosts cannot be asked: an outcome for each, and the others go on where they can."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from loadproof.campaign import deploy
from loadproof.control import apply
from loadproof.control.apply import HostOutcome
from loadproof.control.fake import Call, FakeRemote, Script
from loadproof.control.fleet import Fleet
from loadproof.errors import HostUnreachable, StepFailed
from loadproof.plan import experiment
from loadproof.plan.values import Host, Inventory
from tests.control.test_apply import World
from tests.plan.inventories import ROOT

HOSTS = (
    Host("a", ("app",), "a", ports=(("app", 8000),), address="10.0.0.1"),
    Host("b", ("app",), "b", ports=(("app", 8000),), address="10.0.0.2"),
    Host("p", ("proxy",), "p", ports=(("proxy", 8080),), address="10.0.0.3"),
    Host("l", ("load",), "l", address="10.0.0.4"),
)


class Site:
    """Four hosts that answer facts as bare hosts do, but for those that cannot."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.troubles: dict[str, Exception] = {}
        self.extra: dict[str, dict[str, Any]] = {}
        self.ids: list[str] = []
        self.script = Script().on("facts.py", self.facts)
        patch.setattr(deploy, "Fleet", lambda known: Fleet(known, lambda host: FakeRemote(host, self.script)))
        self.memory = root / "memory"
        patch.setattr("loadproof.control.probe.MEMORY", str(self.memory))
        converge = apply.converge

        def noted(fleet: Fleet, desired: Any, **given: Any) -> Mapping[str, HostOutcome]:
            self.ids.append(desired.deploy_id)
            return converge(fleet, desired, **given)

        patch.setattr(deploy.apply, "converge", noted)

    def facts(self, call: Call) -> str:
        if call.host in self.troubles:
            raise self.troubles[call.host]
        world = World(call.host)
        world.extra[call.host] = self.extra.get(call.host, {})
        return world.facts(call)

    def deploy(self, *only: str) -> Mapping[str, HostOutcome]:
        asked = experiment.deployment({})
        return deploy.run(asked, Inventory("x", HOSTS), ROOT, check=True, only=only)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def statuses(outcomes: Mapping[str, HostOutcome]) -> list[str]:
    return [f"{name} {outcome.status}" for name, outcome in outcomes.items()]


def test_an_unreachable_host_is_one_line_and_the_others_go_on(site: Site) -> None:
    site.troubles["b"] = HostUnreachable("b", "no answer")
    site.troubles["l"] = HostUnreachable("l", "connection refused")
    outcomes = site.deploy()
    assert statuses(outcomes) == ["a changed", "b unreachable", "p changed", "l unreachable"]
    assert [problem.what for problem in deploy.causes(outcomes)] == ["no answer", "connection refused"]
    # asked once, not again by name
    assert [call.host for call in site.script.calls].count("b") == 1


def test_a_host_that_answers_but_cannot_be_asked_blocks_the_others(site: Site) -> None:
    site.troubles["b"] = StepFailed("b", "sudo", 1, "", what="sudo wants a password")
    site.troubles["l"] = HostUnreachable("l", "no answer")
    outcomes = site.deploy()
    assert statuses(outcomes) == ["a failed", "b failed", "p failed", "l unreachable"]
    assert [problem.what for problem in deploy.causes(outcomes)] == ["sudo wants a password", "no answer"]


def test_only_named_hosts_are_asked(site: Site) -> None:
    assert statuses(site.deploy("a")) == ["a changed"]
    assert {call.host for call in site.script.calls} == {"a"}


def test_the_deploy_id_does_not_change_with_a_host_that_is_away(site: Site) -> None:
    """Nor with --hosts: the others would be started anew for nothing. A host that is another one changes it."""
    site.troubles["b"] = HostUnreachable("b", "no answer")
    site.deploy()
    site.troubles.clear()
    site.memory.unlink()
    site.deploy("a")
    site.deploy()
    assert len(set(site.ids)) == 1
    site.memory.unlink()
    site.extra["b"] = {"python": "3.12"}
    site.deploy()
    assert site.ids[-1] != site.ids[0]


def test_no_host_at_all_can_be_asked(site: Site) -> None:
    site.troubles |= {host.name: HostUnreachable(host.name, "no answer") for host in HOSTS}
    outcomes = site.deploy()
    assert statuses(outcomes) == [f"{host.name} unreachable" for host in HOSTS]
