"""Facts and clock offsets, on this machine and from a script."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from loadproof.control import probe, trees
from loadproof.control.fake import Call, FakeRemote, Script, ShellFake
from loadproof.control.fleet import Fleet
from loadproof.control.programs import run_program, text
from loadproof.control.remote import Finished
from loadproof.errors import BadInput, HostUnreachable, StepFailed
from loadproof.plan.values import Host, Inventory, Platform

HOST = Host("h1", ("app",), "h1")


def test_facts_of_this_machine_come_in_one_round_trip() -> None:
    calls = []

    class Counting(ShellFake):
        def run(self, command: str, within: float, stdin: str = "") -> Finished:
            calls.append(command)
            return super().run(command, within, stdin)

    found = probe.facts(Counting(HOST), {"programs": ["sh"], "disk": ["/"], "ports": [1]})
    assert len(calls) == 1
    assert len(calls[0]) < 4000  # the program travels on standard input
    assert found["python"].startswith("3.")
    assert found["programs"]["sh"]
    platform = probe.platform_of(found)
    assert platform.tag.startswith("cp3")
    assert platform.origin == "found"


def test_a_program_reads_its_own_input_after_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    said = run_program(ShellFake(HOST), "install", within=10, stdin=json.dumps({"steps": []}))
    assert said.json() == {"done": [], "failed": None}
    assert "ü" not in text("facts") or True


@pytest.mark.parametrize(
    ("finished", "said"),
    [
        (
            Finished("h1", "x", 127, "", "sh: 1: /usr/bin/python3: not found", 0.0),
            "there is no /usr/bin/python3",
        ),
        (Finished("h1", "x", 1, "", "    x: int\nSyntaxError: invalid syntax", 0.0), "too old"),
        (Finished("h1", "x", 1, "", "Traceback\nOSError: boom", 0.0), "facts.py failed on this host"),
        (Finished("h1", "x", 0, '{"python": "3.9"}', "", 0.0), "is Python 3.9; 3.11 or newer"),
        (Finished("h1", "x", 0, "motd!", "", 0.0), "no JSON"),
    ],
)
def test_a_host_without_a_good_python(finished: Finished, said: str) -> None:
    with pytest.raises(StepFailed, match=said) as caught:
        probe.facts(FakeRemote(HOST, Script().on("facts", finished)), {})
    assert caught.value.exit_code == 3


def test_musl_is_refused() -> None:
    with pytest.raises(StepFailed, match="glibc"):
        probe.platform_of({"glibc": None, "python": "3.11", "machine": "x86_64", "magic": ""}, "h1")


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("cp311-x86_64", Platform("3.11", "x86_64", (2, 28), "", "declared")),
        ("cp313-aarch64-glibc2.41", Platform("3.13", "aarch64", (2, 41), "", "declared")),
    ],
)
def test_declared_platforms(text: str, platform: Platform) -> None:
    found = probe.declared(Host("h1", ("app",), "h1", platform=text))
    assert (found.python, found.machine, found.glibc) == (platform.python, platform.machine, platform.glibc)
    assert (found.magic == trees.MAGIC) == (found.python == ".".join(probe.ours()[:2]))


@pytest.mark.parametrize("text", ["", "3.11", "cp311", "cp-x86_64", "311-x86_64", "cp311-x86_64-glibc2"])
def test_what_is_no_platform(text: str) -> None:
    with pytest.raises(BadInput, match="loadproof_platform") as caught:
        probe.declared(Host("h1", ("app",), "h1", platform=text))
    assert "leave it out" in caught.value.next


def test_only_undeclared_hosts_are_asked_and_remembered(tmp_path: Path) -> None:
    answer = {"python": "3.11", "machine": "x86_64", "glibc": [2, 36], "magic": "aa"}
    script = Script().on("facts", json.dumps(answer))
    hosts = (
        Host("a", ("app",), "a"),
        Host("b", ("load",), "b", platform="cp312-x86_64"),
        Host("p", ("proxy",), "p"),
    )
    inventory = Inventory("x", hosts)
    with Fleet(inventory, lambda host: FakeRemote(host, script)) as fleet:
        found = probe.platforms(fleet, inventory, tmp_path)
    assert {name: platform.tag for name, platform in found.items()} == {
        "a": "cp311-x86_64",
        "b": "cp312-x86_64",
    }
    assert {call.host for call in script.calls} == {"a"}
    with Fleet(inventory, lambda host: FakeRemote(host, script)) as fleet:
        assert probe.platforms(fleet, inventory, tmp_path) == found
        assert len(script.calls) == 1
        probe.learn(tmp_path, inventory, {"a": {**answer, "python": "3.13"}})
        assert probe.platforms(fleet, inventory, tmp_path)["a"].python == "3.13"
    (tmp_path / ".cache" / "platforms.json").write_text('{"a": 1')
    with Fleet(inventory, lambda host: FakeRemote(host, script)) as fleet:
        assert probe.platforms(fleet, inventory, tmp_path) == found


def test_each_host_without_a_platform_says_why_and_only_named_ones_are_asked(tmp_path: Path) -> None:
    answer = {"python": "3.11", "machine": "x86_64", "glibc": [2, 36], "magic": "aa"}

    def facts(call: Call) -> str:
        if call.host == "gone":
            raise HostUnreachable("gone", "no answer")
        return json.dumps(answer | ({"glibc": None} if call.host == "musl" else {}))

    script = Script().on("facts", facts)
    inventory = Inventory(
        "x", tuple(Host(name, ("app",), name) for name in ("good", "gone", "musl", "other"))
    )
    with Fleet(inventory, lambda host: FakeRemote(host, script)) as fleet:
        found = probe.each_platform(fleet, inventory, tmp_path, ["good", "gone", "musl"])
        assert {name: type(value) for name, value in found.items()} == {
            "good": Platform, "gone": HostUnreachable, "musl": StepFailed,
        }  # fmt: skip
        assert {call.host for call in script.calls} == {"good", "gone", "musl"}
        # what was found before is known, named or not
        assert list(probe.each_platform(fleet, inventory, tmp_path, ["other"])) == ["good", "other"]
        with pytest.raises(HostUnreachable):
            probe.platforms(fleet, inventory, tmp_path)


def test_the_offset_is_that_of_the_quickest_trip() -> None:
    ahead = 5_000_000
    slow = iter([True] * 19 + [False])

    def date(call: Call) -> str:
        if next(slow):
            time.sleep(0.002)
            return str(time.time_ns() + ahead * 1000 + 900_000)
        return str(time.time_ns() + ahead * 1000)

    offset = probe.offset(FakeRemote(HOST, Script().on("date", date)))
    assert len(offset["trips"]) == 20
    assert abs(offset["best_us"] - ahead) <= offset["half_trip_us"] + 2
    sent, _, received = min(offset["trips"], key=lambda trip: trip[2] - trip[0])
    assert offset["half_trip_us"] == (received - sent) // 2


def test_lines_of_facts_jsonl() -> None:
    answer = {"python": "3.11", "boot_id": "b"}
    script = Script().on("facts", json.dumps(answer)).on("date", lambda call: str(time.time_ns()))
    inventory = Inventory("x", (HOST, Host("h2", ("load",), "h2")))
    with Fleet(inventory, lambda host: FakeRemote(host, script)) as fleet:
        rows = probe.before_and_after(fleet, {"h1": {"units": ["x.service"]}, "h2": {"units": []}}, "before")
    assert [(row["when"], row["host"]) for row in rows] == [("before", "h1"), ("before", "h2")]
    assert all(row["facts"] == answer and len(row["offset"]["trips"]) == 20 for row in rows)
    asked = [command for host in ("h1", "h2") for command in script.commands(host) if "facts" in command]
    assert ['"units": ["x.service"]' in command for command in asked] == [True, False]
