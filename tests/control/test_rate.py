"""How fast the generator can go: the order of things, what a failure costs, and that it is measured once."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadproof.campaign import rates
from loadproof.control import rate, signals
from loadproof.errors import LoadproofError, StepFailed
from loadproof.plan.values import Desired, HostDesired, TreeSpec
from tests.control.test_conduct import INVENTORY, TRIAL, Hosts, Journal

SAID = {"rate": 8000.5, "failed": 0, "workers": 2, "measured_us": 7}
ROW = {"when": "rate", "host": "load1", **SAID}
DESIRED = Desired(
    "d" * 12, (HostDesired("load1", trees=(TreeSpec("load", "load-abc", None),)),), "plain", ("app1",)
)


def answering(said: dict[str, Any] = SAID) -> Hosts:
    hosts = Hosts()
    hosts.answers["rate.py"] = json.dumps(said)
    return hosts


def measure(
    hosts: Hosts, journal: Journal, converge: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    with signals.handled(TRIAL.run) as handled:
        return rate.measure(TRIAL, INVENTORY, hosts, journal, converge, handled)


def test_the_hosts_are_reset_and_converged_first_and_the_workers_ended_last() -> None:
    hosts, journal = answering(), Journal()
    measured = measure(hosts, journal, converge=lambda: hosts.called("all", "converge"))
    assert measured == [ROW]
    marks = ("stop loadproof-app", "put /run/loadproof/trial.json", "converge", "loadproof-null",
             "start loadproof-load@master", "rate.py", "kill --signal=KILL")  # fmt: skip
    places = [
        min(at for at, (_, what) in enumerate(hosts.calls) if mark in what.replace("'", "")) for mark in marks
    ]
    assert places == sorted(places)
    assert {stage for stage, _, _ in journal.events} == {"rate"}, "no other word reads it as part of a trial"


def test_what_cannot_be_counted_is_noted_and_costs_no_trial() -> None:
    hosts, journal = answering({"why": "no user started within 30 s"}), Journal()
    assert measure(hosts, journal) == []
    assert [fields["detail"] for _, event, fields in journal.events if event == "note"] == [
        "no user started within 30 s"
    ]
    hosts, journal = Hosts(), Journal()
    hosts.answers["loadproof-load@master"] = ""

    def fail() -> None:
        raise StepFailed("load1", "systemctl start", 1, "no such unit")

    hosts = answering()
    starts = next(
        at for at, (_, what) in enumerate(_calls()) if "start loadproof-load" in what.replace("'", "")
    )
    hosts.at, hosts.then = starts, fail
    assert measure(hosts, journal) == []
    assert any(
        "no such unit" in str(fields.get("detail")) for _, event, fields in journal.events if event == "note"
    )
    assert "kill" in hosts.calls[-1][1]


def _calls() -> list[tuple[str, str]]:
    hosts = answering()
    measure(hosts, Journal())
    return hosts.calls


def test_hosts_that_cannot_be_converged_end_it_as_they_would_the_trial() -> None:
    def fail() -> None:
        raise StepFailed("app1", "install", 1, "no room")

    hosts = answering()
    with pytest.raises(LoadproofError, match="no room") as caught:
        measure(hosts, Journal(), fail)
    assert "stage apply" in caught.value.where and caught.value.kept and caught.value.next
    assert not any("start" in what and "load@" in what for _, what in hosts.calls)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_workers_or_touches_nothing(number: signal.Signals) -> None:
    starts = next(
        at for at, (_, what) in enumerate(_calls()) if "start loadproof-load" in what.replace("'", "")
    )
    hosts = answering()
    hosts.at, hosts.then = starts, lambda: os.kill(os.getpid(), number)
    before = signal.signal(number, signal.SIG_DFL)
    try:
        with pytest.raises(signals.Stopped if number == signal.SIGINT else signals.Detached):
            measure(hosts, Journal())
    finally:
        signal.signal(number, before)
    assert any("KILL" in what for _, what in hosts.calls) == (number == signal.SIGINT)


def note(root: Path, hosts: Hosts, facts: Path, said: list[str]) -> None:
    with signals.handled(TRIAL.run) as handled:
        rates.note(
            TRIAL, INVENTORY, DESIRED, hosts, Journal(), lambda: None, handled, root, facts, said.append
        )  # fmt: skip


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_it_is_measured_once_and_stands_in_the_facts_of_every_trial(tmp_path: Path) -> None:
    hosts, said = answering(), list[str]()
    note(tmp_path, hosts, tmp_path / "one.jsonl", said)
    assert said == [
        "how fast can the generator go? 3 s against nginx itself, once ...",
        "8000 requests/s with 2 Locust workers",
    ]
    calls = len(hosts.calls)
    note(tmp_path, hosts, tmp_path / "two.jsonl", said)
    assert (len(hosts.calls), len(said)) == (calls, 2)
    assert lines(tmp_path / "one.jsonl") == lines(tmp_path / "two.jsonl") == [ROW]


def test_a_memory_that_cannot_be_written_or_read_costs_a_measurement_and_no_run(tmp_path: Path) -> None:
    memory = tmp_path / rates.MEMORY
    memory.parent.mkdir()
    for text in ("{", "[]", '{"x": 3}', '{"x": [{"rate": "fast"}]}', '{"x": [{}]}'):
        memory.write_text(text)
        assert rates.remembered(tmp_path) == {}, text
    memory.unlink()
    memory.mkdir()  # nobody can write a file of that name, not even root
    note(tmp_path, answering(), tmp_path / "facts.jsonl", [])
    assert lines(tmp_path / "facts.jsonl") == [ROW] and stat.S_ISDIR(memory.stat().st_mode)


def test_what_could_not_be_measured_is_said_and_not_remembered(tmp_path: Path) -> None:
    said: list[str] = []
    note(tmp_path, answering({"why": "nothing"}), tmp_path / "facts.jsonl", said)
    assert said[-1] == "that could not be measured; the trial goes on"
    assert not (tmp_path / "facts.jsonl").exists() and rates.remembered(tmp_path) == {}
