"""Locks of several hosts: all or none. The lock program itself is tested in tests/hostside."""

from __future__ import annotations

import json

import pytest

from loadproof.control import lock
from loadproof.control.fake import Call, FakeRemote, Script
from loadproof.control.fleet import Fleet
from loadproof.control.remote import Finished
from loadproof.control.signals import Detached
from loadproof.errors import HostUnreachable, Refused
from loadproof.plan.values import Host, Inventory

NAMES = ("a", "b", "c")
INVENTORY = Inventory("x", tuple(Host(name, ("app",), name) for name in NAMES))
OTHER = {
    "owner": "eva@desk",
    "run": "20261124T010000Z-other",
    "since_us": 1763946000000000,
    "until_us": 1763949600000000,
}


def fleet(script: Script) -> Fleet:
    return Fleet(INVENTORY, lambda host: FakeRemote(host, script))


def held_on(script: Script) -> set[str]:
    """The hosts whose last word was take."""
    last: dict[str, str] = {}
    for call in script.calls:
        for word in ("take", "release"):
            if f" {word} " in call.what:
                last[call.host] = word
    return {host for host, word in last.items() if word == "take"}


def test_taken_and_given_back() -> None:
    script = Script().on("lock.py", '{"taken": true}')
    with fleet(script) as hosts:
        with lock.held(hosts, NAMES, "run1", 60):
            assert held_on(script) == set(NAMES)
            wish = json.loads(script.calls[0].what.partition(" take ")[2].strip("'"))
            assert wish["run"] == "run1"
            assert wish["seconds"] == 60
            assert not {"since_us", "until_us"} & wish.keys()
        assert held_on(script) == set()


def test_somebody_else_is_named_and_nothing_is_held() -> None:
    def answer(call: Call) -> Finished:
        taken = call.host == "b" and " take " in call.what
        return Finished(call.host, call.what, 3 if taken else 0, json.dumps(OTHER), "", 0.0)

    script = Script().on("lock.py", answer)
    with fleet(script) as hosts, pytest.raises(Refused) as caught, lock.held(hosts, NAMES, "run1", 60):
        pytest.fail("was let in")
    for part in ("b", "eva@desk", "20261124T010000Z-other", "2025-11-24 01:00:00 UTC"):
        assert part in caught.value.what
    assert caught.value.exit_code == 3
    assert held_on(script) - {"b"} == set()


def test_a_host_that_fails_gives_the_others_back() -> None:
    def answer(call: Call) -> str:
        if call.host == "c" and " take " in call.what:
            raise HostUnreachable("c", "gone")
        return "{}"

    script = Script().on("lock.py", answer)
    with fleet(script) as hosts, pytest.raises(HostUnreachable):
        lock.take(hosts, NAMES, "run1", 60)
    assert held_on(script) == set()


@pytest.mark.parametrize(("error", "kept"), [(KeyboardInterrupt(), set()), (Detached("HUP"), set(NAMES))])
def test_a_detach_leaves_them_locked_anything_else_does_not(error: BaseException, kept: set[str]) -> None:
    script = Script().on("lock.py", "{}")
    with fleet(script) as hosts, pytest.raises(type(error)), lock.held(hosts, NAMES, "run1", 60):
        raise error
    assert held_on(script) == kept


def test_holders_are_those_that_are_not_stale() -> None:
    def answer(call: Call) -> str:
        shown = {"a": {"lock": OTHER, "stale": ""}, "b": {"lock": OTHER, "stale": "rebooted"}}
        return json.dumps(shown.get(call.host, {"lock": None, "stale": ""}))

    with fleet(Script().on("lock.py", answer)) as hosts:
        assert lock.holders(hosts) == {"a": OTHER}
