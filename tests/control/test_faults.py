"""Faults of a trial: each in its time, and undone whatever happens."""

from __future__ import annotations

import dataclasses
import os
import signal

import pytest

from loadproof.control import conduct, signals
from loadproof.control.conduct import Hooks
from loadproof.control.faults import Faults, on_sealed_files
from loadproof.errors import LoadproofError, StepFailed
from loadproof.plan import faults
from loadproof.plan.values import PlannedFault, Run, TrialPlan
from tests.control.test_conduct import INVENTORY, TRIAL, Hosts, Journal, heeding, quick

__all__ = ["heeding", "quick"]  # fixtures of every test here


def broken(*names: str) -> TrialPlan:
    """The trial with these faults."""
    trial = TRIAL
    for name in names:
        trial = faults.into(trial, name)
    return trial


BROKEN = broken("fill_disk", "drop_port", "freeze_app", "damage_log")


def walk(trial: TrialPlan, hosts: Hosts, journal: Journal) -> list[str]:
    """Conduct it; gives what was said."""
    said: list[str] = []
    hooks = Hooks(lambda: None, lambda when: None, lambda live: None, said.append)
    with signals.handled(trial.run) as handled:
        conduct.conduct(trial, INVENTORY, hosts, journal, hooks, handled)
    return said


def events(journal: Journal) -> list[tuple[str, str, str]]:
    """(event, fault, host) of what was begun and ended."""
    return [
        (event, fields["fault"], fields["host"])
        for stage, event, fields in journal.events
        if stage == "fault" and "fault" in fields
    ]


def undone(trial: TrialPlan, hosts: Hosts) -> list[bool]:
    """Whether the last that was asked of a host about each fault is its end."""
    found = []
    for one in trial.faults:
        for end in (
            *faults.load(one.name).end(INVENTORY, trial),
            *faults.load(one.name).restore(INVENTORY, trial),
        ):
            assert isinstance(end, Run)
            calls = [what for host, what in hosts.calls if host == end.host]
            begins = [a.command for a in faults.load(one.name).begin(INVENTORY, trial) if isinstance(a, Run)]
            last_begin = max((index for index, what in enumerate(calls) if what in begins), default=-1)
            found.append(end.command in calls[last_begin + 1 :])
    return found


def test_each_fault_has_its_time() -> None:
    hosts, journal = Hosts(), Journal()
    said = walk(BROKEN, hosts, journal)
    assert events(journal) == [
        ("begin", "drop_port", "app2"),
        ("end", "drop_port", "app2"),  # the load's last second is what is seen first
        ("begin", "fill_disk", "proxy"),
        ("begin", "freeze_app", "app2"),
        ("end", "fill_disk", "proxy"),
        ("end", "freeze_app", "app2"),
        ("begin", "damage_log", "proxy"),
        ("end", "damage_log", "proxy"),
    ]
    begun = journal.stages("begin")
    assert begun.index("prepare") < begun.index("ready") and begun[-4:] == [
        "stop",
        "lift",
        "seal",
        "restore",
    ]
    stages = [
        stage if "fault" not in fields else f"{event} {fields['fault']}"
        for stage, event, fields in journal.events
    ]
    assert stages.index("limit") < stages.index("begin drop_port") < stages.index("load")
    assert stages.index("watch") < stages.index("begin freeze_app") < stages.index("end freeze_app")
    assert (
        stages.index("end drop_port")
        < stages.index("drain")
        < stages.index("begin damage_log")
        < stages.index("undo fill_disk")
    )
    assert "fault: the app of the last server is frozen (app2)" in said
    assert all(undone(BROKEN, hosts))


def test_whatever_action_fails_every_fault_is_undone() -> None:
    whole = Hosts()
    walk(BROKEN, whole, Journal())
    ends = {
        action.command
        for one in BROKEN.faults
        for action in (*faults.load(one.name).end(INVENTORY, BROKEN), *faults.load(one.name).restore(INVENTORY, BROKEN))
        if isinstance(action, Run)
    }  # fmt: skip
    for k, (_, command) in enumerate(whole.calls):

        def fail(k: int = k) -> None:
            raise StepFailed("somewhere", "something", 1, f"failed at {k}")

        hosts, journal = Hosts(at=k, then=fail), Journal()
        with pytest.raises(LoadproofError, match=f"failed at {k}$"):
            walk(BROKEN, hosts, journal)
        if "prepare" in journal.stages("begin"):
            assert {"stop", "lift", "seal"} <= set(journal.stages("begin")), f"action {k}"
            assert all(undone(BROKEN, hosts)), f"action {k}"
            begun = [one[1:] for one in events(journal) if one[0] == "begin"]
            ended = [one[1:] for one in events(journal) if one[0] == "end"]
            # an end that fails is asked again by the closing; one that fails there is the host's own timer's
            assert set(begun) <= set(ended) or command in ends or "undo-" in command, f"action {k}"


def test_ctrl_c_after_any_action_leaves_no_fault_behind() -> None:
    whole = Hosts()
    walk(BROKEN, whole, Journal())
    for k in range(len(whole.calls)):
        hosts, journal = Hosts(at=k, then=lambda: os.kill(os.getpid(), signal.SIGINT)), Journal()
        with pytest.raises(signals.Stopped):
            walk(BROKEN, hosts, journal)
        if "prepare" in journal.stages("begin"):
            assert all(undone(BROKEN, hosts)), f"action {k}"


def test_a_detach_leaves_the_fault_to_the_hosts_timer() -> None:
    hosts, journal = Hosts(), Journal()
    begin = faults.load("freeze_app").begin(INVENTORY, BROKEN)[0]
    assert isinstance(begin, Run)

    class Leaving(Hosts):
        def called(self, host: str, what: str) -> None:
            super().called(host, what)
            if what == begin.command:
                os.kill(os.getpid(), signal.SIGTERM)

    hosts = Leaving()
    with pytest.raises(signals.Detached):
        walk(BROKEN, hosts, journal)
    assert not any(stage.startswith("undo") for stage in journal.stages("begin"))
    armed = [what for host, what in hosts.calls if "rehearsal-undo-freeze_app" in what]
    assert len(armed) == 1 and "--on-active=47" in armed[0]


class Watch:
    """A trial's faults with a clock of the test's own."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *planned: PlannedFault, taken_up: bool = False
    ) -> None:
        self.now, self.journal = 100.0, Journal()
        monkeypatch.setattr("loadproof.control.faults.time.monotonic", lambda: self.now)
        trial = dataclasses.replace(TRIAL, faults=planned)
        self.faults = Faults(trial, INVENTORY, Hosts(), self.journal, lambda text: None, taken_up)

    def look(self, now: float, second: float) -> list[str]:
        """What begins and ends then."""
        self.now, seen = now, len(events(self.journal))
        self.faults.look(second)
        return [event for event, *_ in events(self.journal)[seen:]]


FREEZE = PlannedFault("freeze_app", ("app2",), "load", 5.0, 9.0)


def test_seconds_are_those_of_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch, FREEZE)
    assert watch.look(104.0, 0.0) == []  # its first user has not come: there is no second 0
    assert watch.faults.pause(1.0) == 1.0
    assert watch.look(106.0, 2.0) == []  # second 0 is at 104
    assert watch.faults.pause(9.0) == pytest.approx(3.0)
    assert watch.look(109.0, 2.0) == ["begin"]  # nothing new was said, and time goes on
    assert watch.faults.pause(9.0) == pytest.approx(4.0)
    assert watch.look(112.9, 8.0) == []
    assert watch.look(113.1, 8.0) == ["end"]
    assert watch.faults.pause(9.0) == 9.0
    assert watch.look(120.0, 16.0) == []


def test_who_takes_up_a_trial_only_ends_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(monkeypatch, FREEZE, taken_up=True)
    assert watch.look(105.0, 6.0) == []
    assert watch.look(109.0, 10.0) == ["end"]


def test_sealed_files_are_whole_again_whatever_the_block_does() -> None:
    trial = broken("cut_sealed")
    for error in (None, StepFailed("proxy", "fetch", 1, "its hash is another")):
        hosts, journal = Hosts(), Journal()
        try:
            with on_sealed_files(trial, INVENTORY, hosts, journal):
                assert any("truncate" in what for _, what in hosts.calls)
                if error:
                    raise error
        except StepFailed as raised:
            assert raised is error
        assert all(undone(trial, hosts)) and events(journal) == [
            ("begin", "cut_sealed", "proxy"),
            ("end", "cut_sealed", "proxy"),
        ]
