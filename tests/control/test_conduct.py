"""The order of a trial, and what holds when any of its actions fails or a signal arrives after any of them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from loadproof.control import conduct, signals
from loadproof.control.conduct import Hooks, Live
from loadproof.control.faults import Faults
from loadproof.control.remote import Finished
from loadproof.errors import HostUnreachable, Interrupted, LoadproofError, LocalDisk, Refused, StepFailed
from loadproof.plan.values import Host, Inventory, Limit, Load, Serving, TrialPlan

LOAD = Load(
    processes=2,
    threads=2,
    users=4,
    ramp="users",
    table=((0.0, 2), (1.0, 4)),
    ramp_end_s=1.0,
    settle_s=1.0,
    hold_s=15.0,
    end_s=17.0,
    think_s=0.0,
    timeout_s=10.0,
    scenario="items",
)
INVENTORY = Inventory(
    "made.yml",
    (
        Host("app1", ("app",), "app1", address="198.18.0.1", ports=(("app", 8000),)),
        Host("app2", ("app",), "app2", address="198.18.0.2", ports=(("app", 8000),)),
        Host("proxy", ("proxy",), "proxy", address="198.18.0.3", ports=(("proxy", 8080),)),
        Host("load1", ("load",), "load1", address="198.18.0.4"),
    ),
)
TRIAL = TrialPlan(
    run="20260101T000000Z-made", id="01", arm="servers=2", factors=(("servers", 2),), block=1, because="block 1",
    apps=("app1", "app2"), idle_apps=(), proxy="proxy", loads=("load1",), watch=(), load=LOAD,
    workers=(("load1", 1), ("load1", 2)), limit=Limit(), serving=Serving(rows=100), seed=1, warm_requests=5,
    deploy_id="d" * 12, timeouts=(("client", 10.0),), planned_s=17.0, margin_s=30.0,
)  # fmt: skip
CLOSING = {"stop", "lift", "seal"}


class Hosts:
    """Remotes that remember every action and, after the k-th one, do what the test says."""

    def __init__(self, at: int = -1, then: Callable[[], None] | None = None) -> None:
        self.at, self.then = at, then
        self.calls: list[tuple[str, str]] = []
        self.lock = threading.Lock()
        self.polls, self.last_poll = 0, 2  # the one at which the load is over
        self.elapsed_s = LOAD.end_s
        self.answers: dict[str, str] = {}  # by a part of the command

    def remote(self, name: str) -> _Remote:
        return _Remote(self, INVENTORY.host(name))

    def called(self, host: str, what: str) -> None:
        with self.lock:
            self.calls.append((host, what))
            hit = len(self.calls) - 1 == self.at
        if hit and self.then:
            self.then()


class _Remote:
    def __init__(self, hosts: Hosts, host: Host) -> None:
        self.hosts, self.host = hosts, host

    def run(self, command: str, within: float, stdin: str = "") -> Finished:
        self.hosts.called(self.host.name, command)
        return Finished(self.host.name, command, 0, self._answer(command), "", 0.0)

    def _answer(self, command: str) -> str:
        for part, answer in self.hosts.answers.items():
            if part in command:
                return answer
        if "is-active" in command:
            self.hosts.polls += 1
            live = {
                "elapsed_s": self.hosts.elapsed_s,
                "users": 2,
                "tps": 3.0,
                "mtt_ms": 4.0,
                "failures": 0,
                "requests": 3,
            }
            return ("active\n" if self.hosts.polls < self.hosts.last_poll else "inactive\n") + json.dumps(
                live
            )
        if "seal.py" in command:
            return json.dumps({"files": [], "limiter_events": [{"event": "attached", "pid": 7}]})
        return ""

    def put(self, data: bytes | Path, path: str, mode: int = 0o644) -> None:
        self.hosts.called(self.host.name, f"put {path}")

    def fetch(self, path: str, into: Path) -> None:
        raise AssertionError("a trial fetches nothing")

    def close(self) -> None:
        return None


class Journal:
    def __init__(self) -> None:
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def write(self, stage: str, event: str, **fields: Any) -> None:
        self.events.append((stage, event, fields))

    def stages(self, event: str) -> list[str]:
        return [stage for stage, name, _ in self.events if name == event]


def walk(hosts: Hosts, journal: Journal, converge: Callable[[], None] = lambda: None) -> list[Live]:
    seen: list[Live] = []
    hooks = Hooks(converge=converge, facts=lambda when: None, observe=seen.append, say=lambda text: None)
    with signals.handled(TRIAL.run) as handled:
        conduct.conduct(TRIAL, INVENTORY, hosts, journal, hooks, handled)
    return seen


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conduct, "POLL_S", 0.001)


def count_actions() -> int:
    hosts = Hosts()
    walk(hosts, Journal())
    return len(hosts.calls)


def test_the_order_of_a_trial() -> None:
    hosts, journal = Hosts(), Journal()
    seen = walk(hosts, journal)
    order = [
        "reset",
        "open",
        "apply",
        "facts",
        "ready",
        "warm",
        "limit",
        "load",
        "watch",
        "drain",
        "facts",
        "stop",
        "lift",
        "seal",
    ]
    assert journal.stages("begin") == order
    assert journal.stages("end") == order
    assert [live.users for live in seen] == [2]
    assert [fields["detail"]["pid"] for _, event, fields in journal.events if event == "limiter"] == [
        7,
        7,
        7,
        7,
    ]


def test_whatever_action_fails_the_trial_is_closed_and_the_first_error_is_raised() -> None:
    total = count_actions()
    assert total > 40
    for k in range(total):

        def fail(k: int = k) -> None:
            raise StepFailed("somewhere", "something", 1, f"failed at {k}")

        hosts, journal = Hosts(at=k, then=fail), Journal()
        with pytest.raises(LoadproofError, match=f"failed at {k}$") as caught:
            walk(hosts, journal)
        error, begun = caught.value, journal.stages("begin")
        assert "stage" in error.where, f"action {k}"
        assert error.kept, f"action {k}"
        if journal.stages("end").count("facts") == 2:  # closing itself failed
            then = f"inv attach --run {TRIAL.run}"
        else:
            then = f"fetch-results --run {TRIAL.run}" if "facts" in begun else "the same command again"
        assert then in error.next, f"action {k}"
        if "apply" in begun:
            assert begun[-3:] == ["stop", "lift", "seal"], f"action {k}"


def test_an_error_while_closing_never_hides_the_first_one() -> None:
    def fail() -> None:
        raise StepFailed("app1", "first", 1, "the first error")

    class Worse(Hosts):
        def called(self, host: str, what: str) -> None:
            super().called(host, what)
            if "seal.py" in what:
                raise StepFailed(host, "seal", 1, "the second error")

    hosts = Worse(at=20, then=fail)
    with pytest.raises(LoadproofError, match="the first error"):
        walk(hosts, Journal())
    with pytest.raises(LoadproofError, match="the second error") as caught:
        walk(Worse(), Journal())
    assert (caught.value.next, "not all of it is sealed" in caught.value.kept) == (
        f"inv attach --run {TRIAL.run}",
        True,
    )


def test_a_limit_that_cannot_be_lifted_keeps_no_sampler_running() -> None:
    journal, lifting = Journal(), list[tuple[str, str]]()

    class Worse(Hosts):
        def called(self, host: str, what: str) -> None:
            super().called(host, what)
            if journal.stages("begin")[-1:] == ["lift"]:
                lifting.append((host, what))
                if host == "app1" and "limit.py lift" in what:
                    raise StepFailed(host, "limit", 1, "not lifted")

    with pytest.raises(LoadproofError, match="not lifted"):
        walk(Worse(), journal)
    stopped = {host for host, what in lifting if "stop" in what and "loadproof-sample" in what}
    assert stopped == {"app1", "app2", "proxy", "load1"}
    assert journal.stages("begin")[-1] == "seal" and "lift" not in journal.stages("end")


@pytest.mark.parametrize(
    ("state", "words"), [("failed\n{}", "Locust's master failed"), ("active\n{}", "ends")]
)
def test_a_load_that_fails_or_never_ends_has_all_four_parts(
    state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial = dataclasses.replace(TRIAL, planned_s=0.01, margin_s=0.01)
    monkeypatch.setitem(globals(), "TRIAL", trial)
    hosts = Hosts()
    hosts.answers["is-active"] = state
    with pytest.raises(LoadproofError, match=words) as caught:
        walk(hosts, Journal())
    assert "stage" in caught.value.where
    assert all((caught.value.kept, f"fetch-results --run {TRIAL.run}" in caught.value.next))


def test_a_journal_that_cannot_be_written_never_keeps_the_hosts_from_being_closed() -> None:
    class Full(Journal):
        left = 0

        def write(self, stage: str, event: str, **fields: Any) -> None:
            self.left -= 1
            if self.left < 0:
                raise LocalDisk("full", where="this machine", kept="much", next="make room")
            super().write(stage, event, **fields)

    for k in (45, 60, 70):
        journal, hosts = Full(), Hosts()
        journal.left = k
        with pytest.raises(LocalDisk, match="full"):
            walk(hosts, journal)
        assert {host for host, what in hosts.calls if "seal.py" in what} == {"app1", "app2", "proxy", "load1"}


@pytest.fixture(autouse=True)
def heeding() -> Iterator[None]:
    """No signal is ignored, as it would be where the tests were started with nohup or in the background."""
    before = {number: signal.getsignal(number) for number in signals.NUMBERS}
    for number, handler in before.items():
        if handler is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_ctrl_c_before_there_is_a_run_says_where() -> None:
    with pytest.raises(signals.Stopped) as caught, signals.handled():
        os.kill(os.getpid(), signal.SIGINT)
    assert "before any host was changed" in caught.value.where
    assert all((caught.value.kept, caught.value.next))


@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_of_several_trials_names_the_word_that_takes_it_up(number: int, begun: bool) -> None:
    with pytest.raises(Interrupted) as caught, signals.handled("R") as handled:
        handled.begun, handled.goes_on = begun, "./inv experiment --resume R"
        os.kill(os.getpid(), number)
    assert caught.value.next.startswith("./inv experiment --resume R")
    if number == signal.SIGINT:
        assert ("fetch-results" in caught.value.next) == begun
        assert caught.value.what == (
            "Ctrl-C: the trial was stopped" if begun else "Ctrl-C: stopped before the next trial"
        )


def test_a_part_of_a_word_says_its_own_way_back() -> None:
    with (
        pytest.raises(Interrupted) as caught,
        signals.ending("demo"),
        signals.ending("demo", kept="run X, sealed", next="./inv fetch-results --run X"),
    ):
        os.kill(os.getpid(), signal.SIGINT)
    assert (caught.value.kept, caught.value.next) == ("run X, sealed", "./inv fetch-results --run X")
    # the handler stays, so that the next Ctrl-C leaves at once
    assert signal.getsignal(signal.SIGINT) not in (signal.SIG_DFL, signal.default_int_handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_any_action(number: signal.Signals) -> None:
    for k in range(count_actions()):
        hosts, journal = Hosts(at=k, then=lambda: os.kill(os.getpid(), number)), Journal()
        with pytest.raises(signals.Interrupted) as caught:
            walk(hosts, journal)
        assert caught.value.exit_code == 4
        begun = journal.stages("begin")
        closed = [stage for stage in begun if stage in CLOSING]
        if number == signal.SIGINT:
            assert isinstance(caught.value, signals.Stopped)
            assert closed == (["stop", "lift", "seal"] if "apply" in begun else []), f"action {k}"
        else:
            # a detach touches nothing; one that comes while closing lets it end, and the hosts are free again
            assert closed in ([], ["stop", "lift", "seal"]), f"action {k}"
            assert isinstance(caught.value, signals.Stopped if closed else signals.Detached), f"action {k}"
        assert all((caught.value.where, caught.value.kept, caught.value.next)), f"action {k}"


def test_ctrl_c_waits_for_what_was_asked_of_the_hosts() -> None:
    order: list[str] = []

    class Slow(Hosts):
        def called(self, host: str, what: str) -> None:
            super().called(host, what)
            if "start" in what and "loadproof-load@" in what:
                os.kill(os.getpid(), signal.SIGINT)
                os.kill(os.getpid(), signal.SIGTERM)  # noted, not raised: the first one is at work
                time.sleep(0.3)  # the host is slow; nothing waits for this but what is tested
                order.append("started")
            elif "stop" in what and "loadproof-load@" in what:
                order.append("stopped")

    with pytest.raises(signals.Stopped):
        walk(Slow(), Journal())
    assert order[-2:] == ["started", "stopped"]


def test_a_limit_that_is_not_in_force_is_said() -> None:
    said: list[str] = []
    hooks = Hooks(converge=lambda: None, facts=lambda when: None, observe=lambda live: None, say=said.append)
    state = json.dumps({"in_force": False, "why": "accepted but not in force: no quota"})
    hosts, journal = Hosts(), Journal()
    hosts.answers["limit.py status"] = state
    with signals.handled(TRIAL.run) as handled:
        conduct.conduct(TRIAL, INVENTORY, hosts, journal, hooks, handled)
    sentence = "app1: the limit was accepted but not in force: no quota"
    assert sentence in said
    assert [fields["host"] for _, event, fields in journal.events if event == "note"][:2] == ["app1", "app2"]


@pytest.mark.parametrize(
    ("last", "sentence"),
    [
        (2, "requests were still in flight"),
        ("ConnectionRefusedError: refused", "gave no answer (ConnectionRefusedError: refused)"),
    ],
)
def test_what_kept_a_host_from_being_idle_is_noted_and_said(last: object, sentence: str) -> None:
    class Busy(Hosts):
        def remote(self, name: str) -> _Remote:
            return _Busy(self, INVENTORY.host(name))

    class _Busy(_Remote):
        def run(self, command: str, within: float, stdin: str = "") -> Finished:
            ran = super().run(command, within, stdin)
            busy = self.host.name == "proxy" and "idle.py" in command
            return dataclasses.replace(ran, exited=3, stdout=json.dumps({"last": last})) if busy else ran

    said: list[str] = []
    journal = Journal()
    hooks = Hooks(lambda: None, lambda when: None, lambda live: None, said.append)
    with signals.handled(TRIAL.run) as handled:
        conduct.conduct(TRIAL, INVENTORY, Busy(), journal, hooks, handled)
    notes = [fields for stage, event, fields in journal.events if (stage, event) == ("drain", "note")]
    assert notes == [{"host": "proxy", "detail": sentence}]
    assert f"proxy: {sentence} when draining ended" in said


def test_a_load_that_its_rule_ended_is_whole_and_one_that_somebody_ended_is_not() -> None:
    last = {"event": "autostop", "rule": "ngrinder", "elapsed_s": 1, "users": 2, "requests": 9, "failures": 8}
    said: list[str] = []
    hooks = Hooks(lambda: None, lambda when: None, lambda live: None, said.append)

    class Ended(Hosts):
        def remote(self, name: str) -> _Remote:
            self.answers = {"is-active": "inactive\n" + json.dumps(last)}
            return super().remote(name)

    ruled = dataclasses.replace(TRIAL, load=dataclasses.replace(TRIAL.load, autostop="ngrinder", end_s=100.0))
    journal = Journal()
    none = Faults(ruled, INVENTORY, Ended(), journal, said.append)
    conduct.finish(ruled, INVENTORY, Ended(), journal, hooks, none)
    (told,) = [fields for stage, event, fields in journal.events if (stage, event) == ("watch", "autostop")]
    assert (
        told["detail"]
        == "autostop: the load ended at second 1, with 2 users: 8 of 9 requests had failed, more than half for 10 s"
    )
    assert told["detail"] in said
    unruled = dataclasses.replace(ruled, load=dataclasses.replace(ruled.load, autostop="none"))
    with pytest.raises(StepFailed, match="somebody or something stopped it"):
        conduct.finish(unruled, INVENTORY, Ended(), Journal(), hooks, none)


def test_a_worker_that_the_master_lost_is_noted_and_said_once() -> None:
    class Thin(Hosts):
        looks = 0

        def remote(self, name: str) -> _Remote:
            self.looks += name == "load1"
            self.answers = {"is-active": "active\n" + json.dumps({"lost": [2, 7]})} if self.looks < 4 else {}
            return super().remote(name)

    said: list[str] = []
    journal = Journal()
    hooks = Hooks(lambda: None, lambda when: None, lambda live: None, said.append)
    none = Faults(TRIAL, INVENTORY, Thin(), journal, said.append)
    conduct.finish(TRIAL, INVENTORY, Thin(), journal, hooks, none)
    notes = [fields for stage, event, fields in journal.events if (stage, event) == ("watch", "note")]
    assert notes[:-1] == [{"host": "load1", "detail": "Locust worker 2 is lost"}]
    assert [text for text in said if "worker" in text] == [
        "load1: Locust worker 2 is lost: the load goes on without its users"
    ]


def test_a_load_that_somebody_ended_is_no_whole_one() -> None:
    hosts, journal = Hosts(), Journal()
    hosts.elapsed_s = LOAD.end_s - conduct.EARLY_S - 1
    with pytest.raises(StepFailed, match="ended after 11 s of 17 s") as caught:
        walk(hosts, journal)
    assert journal.stages("begin")[-3:] == ["stop", "lift", "seal"]
    assert all((caught.value.where, caught.value.kept, caught.value.next))


def test_a_silent_app_host_spoils_only_its_own_figure() -> None:
    class Silent(Hosts):
        def called(self, host: str, what: str) -> None:
            super().called(host, what)
            if host == "app2" and "sample.jsonl" in what:
                raise HostUnreachable(host, "no answer")

    journal = Journal()
    (live, *_) = walk(Silent(), journal)
    assert [name for name, _ in live.cpu_percent] == ["app1", "app2"]
    assert [
        fields["host"] for stage, event, fields in journal.events if (stage, event) == ("watch", "note")
    ] == [
        "app2",
        "load1",
    ]


def test_an_app_host_that_answers_again_is_seen_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conduct, "SILENT_S", 0.0)

    class Away(Hosts):
        looks = 0

        def called(self, host: str, what: str) -> None:
            super().called(host, what)
            if host == "app2" and "sample.jsonl" in what:
                self.looks += 1
                if self.looks == 1:
                    raise HostUnreachable(host, "no answer")

    hosts = Away()
    hosts.last_poll = 4
    walk(hosts, Journal())
    assert hosts.looks == 3


def test_no_load_is_started_on_hosts_that_are_not_ours_any_more() -> None:
    hosts, journal = Hosts(), Journal()

    def taken() -> None:
        raise Refused("load1 is not held for this run any more", where="host load1")

    hooks = Hooks(lambda: None, lambda when: None, lambda live: None, lambda text: None, ours=taken)
    with signals.handled(TRIAL.run) as handled, pytest.raises(Refused):
        conduct.conduct(TRIAL, INVENTORY, hosts, journal, hooks, handled)
    assert "load" not in journal.stages("begin") and journal.stages("begin")[-3:] == ["stop", "lift", "seal"]
    assert not any("start" in what and "loadproof-load@" in what for _, what in hosts.calls)


def test_the_old_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals.handled("run"):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` leaves it
    try:
        with signals.handled("run") as handled:
            os.kill(os.getpid(), signal.SIGHUP)
            assert handled.pending == []
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


WAITING = """
import os, signal, sys, threading
from loadproof.control import perform, signals
from loadproof.control.fake import FakeRemote, Script
from loadproof.control.fleet import Fleet
from loadproof.control.local import LocalRemote
from loadproof.control.remote import Finished
from loadproof.plan.values import Await, Host, Inventory, Run, Stage

hosts = Inventory("x", (Host("h1", ("app",), "h1"), Host("h2", ("app",), "h2"), Host("h3", ("app",), "h3")))

class Journal:
    def write(self, *words, **fields): pass

def asked(call):
    if len(script.calls) == 3:
        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGTERM)).start()
    return Finished(call.host, call.what, 1, "", "", 0.0)

def slow(call):
    threading.Event().wait(60)

script = Script().on("never", asked).on("slow", slow)
work = (
    Await("h1", "x", "never", "never", within=60.0, every=0.1),
    Run("h2", "y", "slow", within=60.0),
    Run("h3", "z", "sleep 20", within=60.0),
)

def opener(host):
    return LocalRemote(host) if host.name == "h3" else FakeRemote(host, script)

try:
    with signals.handled("run"), Fleet(hosts, opener) as fleet:
        perform.stage(Stage("ready", (work,)), fleet, Journal())
except signals.Detached:
    before = len(script.calls)
    threading.Event().wait(0.5)
    print(len(script.calls) - before, flush=True)
"""


def test_after_a_signal_nothing_asks_on_and_the_process_ends() -> None:
    begun = time.monotonic()
    ran = subprocess.run([sys.executable, "-c", WAITING], capture_output=True, text=True, timeout=50)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() in ("0", "1")  # one may have been on its way
    assert time.monotonic() - begun < 12  # the commands themselves would take 20 s and 60 s
