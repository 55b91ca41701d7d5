"""What becomes of the trials of a run that was left, over made hosts: closed, run, or left as they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from loadproof.campaign import attach, bench, state
from loadproof.control import conduct
from loadproof.control.fake import Call, FakeRemote, Script
from loadproof.control.fleet import Fleet
from loadproof.plan import places, trials
from loadproof.plan.actions import hosts_of
from loadproof.plan.values import Inventory, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.formats import MANIFEST
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder, TrialPaths
from tests.analysis import synthetic
from tests.campaign.test_experiment import quick
from tests.plan.inventories import ROOT, states

HOSTS = Inventory("inventory/made.yml", synthetic.HOSTS)
STAGES = ("reset", "open", "apply", "facts", "ready", "warm", "limit", "load", "watch", "drain", "facts", "stop", "lift", "seal")  # fmt: skip
SEALED = ("stop", "lift", "seal")


@dataclass
class Left:
    """A run of two trials, the hosts as `script`, and what attach did."""

    folder: RunFolder
    script: Script
    live: str = ""  # what the master of the first trial said last, in the trial's own folder
    ran: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)  # facts
    said: list[str] = field(default_factory=list)
    left: list[list[str]] = field(default_factory=list)  # files in the folder of each trial that is run

    @property
    def first(self) -> TrialPaths:
        return self.folder.trials[0]

    def state(self, call: Call) -> str:
        """`current` leads to the idle folder, as seal leaves it."""
        folder = places.trial_out(self.folder.id, "01")
        return "inactive\n" + (self.live if f"{folder}/live.jsonl" in call.what else "")

    def one(self, trial: TrialPlan, *_: Any) -> None:
        self.ran.append(trial.id)
        self.left.append(sorted(path.name for path in self.folder.trial(trial.folder).path.iterdir()))

    def facts(self, fleet: Any, trial: TrialPlan, inventory: Any, path: Path, when: str) -> None:
        self.asked.append(f"{trial.id} {when}")

    def attach(self, after: bench.After = bench.nothing) -> None:
        attach.attach(
            self.folder, ROOT, bench.Watcher(self.said.append, lambda *_: None, lambda _: None), after
        )


def done(paths: TrialPaths, stages: Sequence[str], failed: str = "") -> None:
    """A journal of these stages; the last of them only begun where `failed` names it."""
    with Journal(paths.journal) as journal:
        for stage in stages:
            journal.write(stage, "begin")
            journal.write(stage, "failed" if stage == failed else "end")


def whole(trial: TrialPlan) -> str:
    return json.dumps({"elapsed_s": trial.load.end_s, "users": 1, "tps": 1.0, "mtt_ms": 1.0, "failures": 0, "requests": 9})  # fmt: skip


@pytest.fixture
def left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Left:
    asked, folder, _ = quick(tmp_path, 1)
    done(folder.trials[1], STAGES)
    script = Script().on("lock.py", '{"taken": true}')
    made = Left(folder, script)
    script.on("is-active", lambda call: made.state(call))
    monkeypatch.setattr(attach, "Fleet", lambda known: Fleet(known, lambda host: FakeRemote(host, script)))
    monkeypatch.setattr(bench, "states", lambda *_: states(asked, HOSTS))
    monkeypatch.setattr(bench, "one", made.one)
    monkeypatch.setattr(bench, "_facts", made.facts)
    monkeypatch.setattr(conduct, "POLL_S", 0.001)
    return made


def test_a_measured_trial_that_one_host_did_not_seal_is_closed_and_not_run_again(left: Left) -> None:
    done(left.first, STAGES, failed="seal")
    left.live = whole(record.read_plan(left.first.plan))
    left.attach()
    hosts = hosts_of(record.read_plan(left.first.plan))
    sealed = {call.host for call in left.script.calls if "seal.py" in call.what}
    assert sealed == set(hosts) and state.sealed(left.first)
    assert left.ran == [] and not any("rm" in what.split() for what in left.script.commands())
    assert left.asked == []  # by now the hosts may be somebody else's: they were asked after the load


def test_a_load_that_ended_while_nobody_was_there_is_closed_though_its_files_were_sealed(left: Left) -> None:
    done(left.first, STAGES[: STAGES.index("watch")])
    with Journal(left.first.journal) as journal:
        journal.write("watch", "begin")
    left.live = whole(record.read_plan(left.first.plan))
    left.attach()
    assert left.ran == [] and left.asked == ["01 after"] and state.sealed(left.first)


@pytest.mark.parametrize("stages", [STAGES[:6], STAGES[:8]])
def test_a_load_that_never_began_is_run_and_nothing_of_its_first_try_stays(
    left: Left, stages: Sequence[str]
) -> None:
    done(left.first, stages)
    left.first.facts.write_text("{}\n")
    left.first.raw("app1").mkdir(parents=True)
    left.attach()
    assert left.ran == ["01"] and left.left == [["journal.jsonl", "plan.json"]]
    assert attach.AGAIN in left.said


def test_what_is_here_whole_is_never_run_again_though_hosts_were_cleaned(left: Left) -> None:
    done(left.first, STAGES[:10])
    for host in hosts_of(record.read_plan(left.first.plan)):
        left.first.raw(host).mkdir(parents=True)
        (left.first.raw(host) / MANIFEST).touch()
    left.attach()
    assert left.ran == [] and left.first.raw("app1").exists() and "fetched already" in left.said


def following(done: list[str]) -> bench.After:
    """What is done when an experiment goes on with a trial: it is noted."""

    def after(trial: TrialPlan, *_: Any) -> None:
        done.append(trial.id)

    return after


@pytest.mark.parametrize("stages", [STAGES[:5], STAGES[:7], STAGES[:8]])
def test_a_trial_that_was_sealed_before_its_load_is_run_where_its_experiment_goes_on(
    left: Left, stages: Sequence[str]
) -> None:
    done(left.first, (*stages, *SEALED), failed=stages[-1])
    left.first.facts.write_text("{}\n")
    left.first.raw("app1").mkdir(parents=True)
    followed: list[str] = []
    left.attach(following(followed))
    assert left.ran == ["01"] and left.left == [["journal.jsonl", "plan.json"]]
    assert followed == ["01", "02"]


def test_a_run_that_only_has_to_be_closed_leaves_it_sealed(left: Left) -> None:
    done(left.first, (*STAGES[:7], *SEALED))
    left.attach()
    assert left.ran == [] and left.said == ["every trial of this run is sealed already"]


def test_only_the_newest_try_tells_how_far_a_trial_has_come(left: Left) -> None:
    done(left.first, (*STAGES[:7], *SEALED))
    assert state.sealed(left.first) and not state.watched(left.first)
    with Journal(left.first.journal) as journal:
        journal.write("reset", "begin")
    assert not state.begun(left.first) and not state.sealed(left.first)
    done(left.first, STAGES)
    assert state.sealed(left.first) and state.watched(left.first) and state.asked_after(left.first)
    followed: list[str] = []
    left.attach(following(followed))
    assert left.ran == [] and followed == ["01", "02"]


def test_a_plan_that_could_not_be_written_is_decided_again_where_its_experiment_goes_on(left: Left) -> None:
    second = record.read_plan(left.folder.trials[1].plan)
    done(left.first, STAGES)
    for path in left.folder.trials[1].path.iterdir():
        path.unlink()
    left.attach()
    assert left.ran == [] and len(left.folder.trials) == 1
    followed: list[str] = []
    left.attach(following(followed))
    assert left.ran == ["02"] and followed == ["01", "02"]
    assert record.read_plan(left.folder.trials[1].plan) == second


@pytest.mark.parametrize(
    ("through", "order"),
    [
        (STAGES[:9], ["03", "01", "02"]),  # it runs: the reset of any other trial would end its load
        (STAGES[:5], ["01", "03", "02"]),
    ],
)
def test_a_repeat_that_was_left_is_come_back_to_before_what_comes_after_it(
    left: Left, monkeypatch: pytest.MonkeyPatch, through: Sequence[str], order: list[str]
) -> None:
    again = trials.repeat(record.read_plan(left.first.plan), 3, "it did not hold")
    paths = left.folder.trial(again.folder)
    record.write_plan(paths.plan, again)
    record.add_trial(left.folder, again)
    done(left.first, STAGES)
    done(paths, through)
    taken: list[str] = []
    monkeypatch.setattr(attach, "_take_up", lambda trial, *_: taken.append(trial.id))
    left.attach(following([]))
    assert taken == order
