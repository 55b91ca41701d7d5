"""Many hosts: order, limits, partial failure."""

from __future__ import annotations

import threading
import time

import pytest

from loadproof.control.fake import FakeRemote, Script
from loadproof.control.fleet import Fleet, all_good, each, good
from loadproof.errors import HostUnreachable, LoadproofError
from loadproof.plan.values import Host, Inventory

HOSTS = tuple(Host(f"h{number}", ("app",), "same-address") for number in range(30))


def test_results_are_in_inventory_order_by_name() -> None:
    def slow_first(host: Host) -> str:
        time.sleep(0.05 if host.name == "h0" else 0)
        return host.name

    assert list(each(HOSTS, slow_first).items()) == [(host.name, host.name) for host in HOSTS]


def test_equal_addresses_are_different_hosts() -> None:
    assert len(each(HOSTS, lambda host: 1)) == 30


def test_no_hosts() -> None:
    assert each((), lambda host: 1) == {}


def test_they_run_side_by_side_up_to_the_limit() -> None:
    barrier = threading.Barrier(30, timeout=5)
    each(HOSTS, lambda host: barrier.wait())
    running, most, lock = 0, 0, threading.Lock()

    def count(host: Host) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1

    each(HOSTS, count, limit=4)
    assert most <= 4


def test_a_failing_host_is_an_answer() -> None:
    def fails(host: Host) -> str:
        if host.name in ("h3", "h7"):
            raise HostUnreachable(host.name, "gone")
        return "ok"

    results = each(HOSTS, fails)
    assert len(good(results)) == 28
    assert isinstance(results["h3"], HostUnreachable)
    with pytest.raises(HostUnreachable) as caught:
        all_good(results)
    assert "h7" in caught.value.where


def test_our_own_faults_are_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        each(HOSTS, lambda host: 1 // 0)


def test_a_fleet_opens_lazily_once_and_closes_all() -> None:
    script, opened = Script(), []

    def opener(host: Host) -> FakeRemote:
        opened.append(host.name)
        return FakeRemote(host, script)

    with Fleet(Inventory("x", HOSTS), opener) as fleet:
        assert opened == []
        assert fleet.remote("h1") is fleet.remote("h1")
        answers = fleet.each(lambda remote: remote.run("true", 1).exited, ["h2", "h1"])
        assert answers == {"h1": 0, "h2": 0}
        assert list(answers) == ["h1", "h2"]
        with pytest.raises(KeyError):
            fleet.remote("nobody")
    assert sorted(script.closed) == ["h1", "h2"] == sorted(opened)
    with pytest.raises(HostUnreachable, match="closed by us"):
        fleet.remote("h3")
    assert sorted(opened) == ["h1", "h2"]


def test_the_fake_fails_at_action_k() -> None:
    for k in range(4):
        script = Script(fail_at=k, dead=True)
        remote = FakeRemote(HOSTS[0], script)
        outcomes = []
        for _ in range(4):
            try:
                outcomes.append(remote.run("x", 1).ok)
            except LoadproofError:
                outcomes.append(False)
        assert outcomes == [number < k for number in range(4)]
        assert len(script.calls) == 4
