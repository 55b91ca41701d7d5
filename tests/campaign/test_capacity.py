"""A search for a capacity from its first trial to its answer, over made hosts: what is planned, kept, and gone on with."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis import report, results
from analysis import trial as analysed
from analysis.checks import Check
from loadproof.campaign import bench, calibrate, state
from loadproof.campaign import capacity as room
from loadproof.console import capacity as show
from loadproof.console.summary import summary
from loadproof.errors import LinkLost
from loadproof.plan import experiment, trials
from loadproof.plan.values import Experiment, Inventory, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic
from tests.plan.inventories import states

HOSTS = Inventory("inventory/made.yml", synthetic.HOSTS)
BROKEN = Check("limit_held", "INVALID", 9.0, 8.0, "%", "trial", "do it again", "app1 got 9 %")


def usual(users: int, id: str) -> dict[str, Any]:
    """p95 of 40 ms a user, a little more in every third trial: 12 users stay below 500 ms."""
    p95 = 40.0 * users * (1.01 if int(id) % 3 == 0 else 1.0)
    return {"requests": 900, "failures": 0, "tps": 30.0, "p95_ms": p95, "mtt_ms": p95 / 2}


@dataclass
class Made:
    """A run whose trials are walked by nobody: hosts answer as `gives` says of (users, trial); `broken` did not hold."""

    folder: RunFolder
    asked: Experiment
    gives: Callable[[int, str], dict[str, Any]] = usual
    broken: Sequence[str] = ()
    ran: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    lost: str = ""

    @property
    def plans(self) -> dict[str, TrialPlan]:
        return {plan.id: plan for plan in (record.read_plan(paths.plan) for paths in self.folder.trials)}

    def one(self, trial: TrialPlan, *_: Any) -> None:
        paths = self.folder.trial(trial.folder)
        assert record.read_plan(paths.plan) == trial, "decided and written before it is run"
        assert trial.folder in record.read_run(self.folder).trials
        self.ran.append(trial.because)
        with Journal(paths.journal) as journal:
            journal.write("seal", "end")

    def fetched(self, fleet: Any, folder: RunFolder, trial: TrialPlan) -> None:
        if trial.id == self.lost:
            raise LinkLost("app1", "the link is lost")

    def judge(self, paths: Any, trial: TrialPlan, *_: Any) -> Any:
        checks = (BROKEN,) if trial.id in self.broken else ()
        figures = self.gives(trial.load.users, trial.id)
        return SimpleNamespace(plan=trial, figures=figures, checks=checks)

    def go(self, monkeypatch: pytest.MonkeyPatch, begin: Sequence[TrialPlan] | None = None) -> None:
        monkeypatch.setattr(bench, "one", self.one)
        monkeypatch.setattr(analysed, "judge", self.judge)
        monkeypatch.setattr(state, "fetched", lambda paths: False)
        monkeypatch.setattr(calibrate, "fetched", self.fetched)
        watcher = bench.Watcher(self.said.append, lambda *_: None, lambda _: None)
        nobody: Any = None
        planned = tuple(self.plans.values()) if begin is None else begin
        after = room.following(self.asked, HOSTS, watcher)
        bench.walk(planned, nobody, self.folder, nobody, Path(), watcher, nobody, after)


def make(base: Path, **flags: str) -> Made:
    folder = RunFolder(base / "20261127T100000Z-capacity")
    folder.path.mkdir(parents=True)
    asked = experiment.capacity_search({"p95": "500ms", **flags})
    planned = trials.trials(asked, HOSTS, folder.id, states(asked, HOSTS))
    record.write_run(folder, asked, HOSTS, {}, ("inv", "capacity"), planned)
    for trial in planned:
        record.write_plan(folder.trial(trial.folder).plan, trial)
    return Made(folder, asked)


def test_each_trial_follows_from_the_ones_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path)
    made.go(monkeypatch)
    assert made.ran[:8] == [
        "search: 1 user",
        "search: 4 users: 1 was under",
        "search: 16 users: 4 was under",
        "search: 8 users: 4 was under, 16 was over",
        "search: 11 users: 8 was under, 16 was over",
        "search: 13 users: 11 was under, 16 was over",
        "search: 12 users: 11 was under, 13 was over",
        "search: 13 users again: is it over?",
    ]
    assert made.ran[8:] == [f"verification 1: 12 users, fresh trial {n} of 5" for n in (1, 2, 3, 4, 5)]
    fresh = [plan for plan in made.plans.values() if plan.purpose == "verify"]
    assert [(one.arm, one.block, one.load.users) for one in fresh] == [
        ("users=12", n, 12) for n in range(1, 6)
    ]
    assert made.said[0] == "trial 01: VALID; p95 40 ms"
    assert made.said[-1] == "Capacity: 12 users: p95 at most 485.2 ms with 95 % confidence (5 fresh trials)."
    assert record.read_run(made.folder).trials == tuple(paths.name for paths in made.folder.trials)
    assert record.read_run(made.folder).experiment == made.asked


def test_what_did_not_hold_is_repeated_once_and_both_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(tmp_path)
    made.broken = ("02", "10")
    made.go(monkeypatch)
    assert made.ran[1:4] == [
        "search: 4 users: 1 was under",
        "repeat of 02: limit_held (app1 got 9 %)",
        "search: 16 users: 4 was under",
    ]
    assert made.ran[10] == "repeat of 10: limit_held (app1 got 9 %)"
    assert made.plans["11"].block == made.plans["10"].block == 1 and len(made.ran) == 15
    assert made.said[-1].startswith("Capacity: 12 users")
    assert "trial 02: INVALID; p95 160 ms; app1 got 9 %" in made.said


def test_what_was_cut_short_is_run_once_more_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, short = make(tmp_path), {"02", "03"}
    monkeypatch.setattr(state, "cut_short", lambda paths: record.read_plan(paths.plan).id in short)
    made.go(monkeypatch)
    assert made.ran[1:5] == [
        "search: 4 users: 1 was under",
        f"repeat of 02: {trials.CUT_SHORT}",
        f"repeat of 03: {trials.CUT_SHORT}",
        "search: 16 users: 4 was under",
    ]
    assert made.said[-1].startswith("Capacity: 12 users")


def test_fresh_trials_that_never_held_decide_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path)
    made.broken = ("10", "11")
    made.go(monkeypatch)
    assert len(made.ran) == 11
    assert (
        made.said[-1] == "Capacity: not decided: fresh trial 11 was INVALID, and so was the one it repeats."
    )


def test_a_load_that_cannot_be_measured_bounds_the_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = make(tmp_path, most="12")
    made.broken = ("03", "04")  # 12 users, and their repeat
    made.go(monkeypatch)
    assert "search: 6 users: 4 was under, 12 could not be measured" in made.ran
    assert made.said[-1].endswith("(5 fresh trials); 12 users could not be measured.")
    assert made.said[-1].startswith("Capacity: at least 11 users: ")


def test_too_few_answers_make_a_longer_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path)

    def slow(users: int, id: str) -> dict[str, Any]:
        count = int(1.5 * made.plans[id].load.hold_s)
        return {**usual(users, id), "requests": count, "tps": 1.5}

    made.gives = slow
    made.go(monkeypatch)
    assert made.ran[1] == "search: 1 user again: 45 answers are too few"
    assert [made.plans[id].load.hold_s for id in ("01", "02", "03")] == [30.0, 59.0, 59.0]
    assert made.said[-1].startswith("Capacity: 12 users")


def test_what_was_left_is_gone_on_with_and_nothing_is_done_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, whole = make(tmp_path / "a"), make(tmp_path / "b")
    whole.go(monkeypatch)
    made.lost = "05"
    with pytest.raises(LinkLost):
        made.go(monkeypatch)
    assert len(made.ran) == 5 and state.searching(made.folder)
    listed = {row[0]: row[2] for row in state.listing(tmp_path / "a")}
    assert listed[made.folder.id] == f"left: ./inv capacity --resume --run {made.folder.id}"
    made.lost, left = "", made.ran.copy()
    made.ran.clear()
    made.go(monkeypatch)  # as attach does: all trials of the folder, those that are sealed are only judged
    assert made.ran[:5] == left and made.ran == whole.ran and made.plans.keys() == whole.plans.keys()


def test_results_summary_and_report_tell_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path, most="9", hold="15s", settle="1s", think="100ms", timeout="3s", failures="3%")
    judge = analysed.judge
    checked: Callable[..., Any] = lambda *given: dataclasses.replace(judge(*given), checks=())  # noqa: E731

    def one(trial: TrialPlan, *_: Any) -> None:
        synthetic.simulate(trial, int(trial.id), 0.08, 0.0).write(made.folder.trial(trial.folder))

    made.one, made.judge = one, checked  # type: ignore[method-assign]
    made.go(monkeypatch)
    found = results.analyse(made.folder.path)
    capacity = found["capacity"]
    assert capacity["kind"] == "found" and capacity["limit"] == {"p95_ms": 500.0, "failures": 3.0}
    verified = [one for one in capacity["tried"] if one["purpose"] == "verify"]
    searched = [one for one in capacity["tried"] if one["purpose"] == "search"]
    last = verified[-1]
    assert last["users"] == capacity["users"] and last["outcome"] == "under" and capacity["n"] == 5
    assert capacity["upper"] == last["upper"] and capacity["upper_ms"] == last["upper"]["p95_ms"] <= 500
    assert {one["outcome"] for one in searched} == {"under", "over"}
    # only fresh trials are arms, each load one, and nothing is compared that was not run in blocks
    assert {arm["label"] for arm in found["arms"]} == {f"users={one['users']}" for one in verified}
    assert sum(len(arm["trials"]) for arm in found["arms"]) == 5 * len(verified)
    by_id = {trial["id"]: trial for arm in found["arms"] for trial in arm["trials"]}
    assert last["values"]["p95_ms"] == [by_id[id]["p95_ms"] for id in last["trials"]]
    assert found["comparisons"] == [] and found["verdict"] == "VALID"
    assert made.said[-1] == f"Capacity: {capacity['answer']}." == found["sentences"][0][1]
    assert not state.searching(made.folder) and json.loads(made.folder.results.read_text()) == found
    text = summary(found)
    assert made.asked.question in text and capacity["answer"] in text and "search: 4 users" in text
    page = report.render(made.folder.path).read_text()
    assert "Loads that were tried" in page and capacity["answer"] in page and "verification 1" in page


def test_a_search_that_was_left_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = make(tmp_path, hold="15s", timeout="3s")
    (trial,) = made.plans.values()
    synthetic.simulate(trial, 1, 0.08, 0.0).write(made.folder.trial(trial.folder))
    found = results.analyse(made.folder.path)
    assert found["capacity"]["kind"] == "unfinished" and found["capacity"]["users"] is None
    assert found["arms"] == [] and found["verdict"] == "UNKNOWN" and state.searching(made.folder)
    assert "was left before its end" in summary(found)
    # the next trial was planned, and nobody ran it
    planned = dataclasses.replace(trial, id="02", arm="users=4", factors=(("users", 4),))
    record.write_plan(made.folder.trial(planned.folder).plan, planned)
    again = results.analyse(made.folder.path)["capacity"]
    assert again["kind"] == "unfinished" and [one["users"] for one in again["tried"]] == [1]
    assert report.render(made.folder.path).exists()


def test_what_it_costs_is_said_before() -> None:
    text = show.before(experiment.capacity_search({"p95": "500ms", "most": "100", "servers": "2"}))
    assert "question: How many users may there be with p95 below 500 ms?" in text
    assert "users from 1 to 100" in text and "2 servers, cpulimit at 5 % of one CPU" in text
    assert "at most 34 trials, 29 minutes" in text
