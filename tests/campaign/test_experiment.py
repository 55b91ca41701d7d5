"""An experiment's trials are fetched and judged one by one; what did not hold is repeated once, next to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from analysis.checks import Check
from loadproof.campaign import bench, state
from loadproof.campaign import experiment as room
from loadproof.plan import experiment, trials
from loadproof.plan.values import Experiment, Inventory, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic
from tests.plan.inventories import states

HOSTS = Inventory("inventory/made.yml", synthetic.HOSTS)


def check(name: str, verdict: str) -> Check:
    return Check(name, verdict, 9.0, 8.0, "%", "trial", "do it again", f"{name} was {verdict}")  # type: ignore[arg-type]


@dataclass
class Walked:
    """A run whose trials are walked by nobody, and judged as `verdicts` says, by trial id."""

    folder: RunFolder
    planned: tuple[TrialPlan, ...]
    verdicts: dict[str, str]
    ran: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def go(self, monkeypatch: pytest.MonkeyPatch, begin: Sequence[TrialPlan] | None = None) -> None:
        def one(trial: TrialPlan, *_: Any) -> None:
            assert record.read_plan(self.folder.trial(trial.folder).plan) == trial, (
                "decided and written before it is run"
            )
            self.ran.append(trial.id)

        def judge(paths: Any, trial: TrialPlan, *_: Any) -> Any:
            assert trial.id in self.fetched, "judged before its files were here"
            return SimpleNamespace(checks=(check("limit_held", self.verdicts.get(trial.id, "VALID")),))

        monkeypatch.setattr(bench, "one", one)
        monkeypatch.setattr(room.trials_judged, "judge", judge)
        monkeypatch.setattr(room.state, "fetched", lambda paths: False)
        monkeypatch.setattr(
            room.calibrate, "fetched", lambda fleet, folder, trial: self.fetched.append(trial.id)
        )
        watcher = bench.Watcher(self.said.append, lambda *_: None, lambda _: None)
        nobody: Any = None
        bench.walk(
            self.planned if begin is None else begin, nobody, self.folder, nobody, Path(), watcher, nobody,
            room.judging(HOSTS, watcher),
        )  # fmt: skip

    @property
    def plans(self) -> dict[str, TrialPlan]:
        return {plan.id: plan for plan in (record.read_plan(paths.plan) for paths in self.folder.trials)}


def quick(base: Path, repeats: int) -> tuple[Experiment, RunFolder, tuple[TrialPlan, ...]]:
    """The folder of an experiment that was planned, and of which nothing was run."""
    asked = experiment.named("quick", {"repeats": str(repeats)})
    folder = RunFolder(base / "20261126T100000Z-quick")
    folder.path.mkdir()
    planned = trials.trials(asked, HOSTS, folder.id, states(asked, HOSTS))
    record.write_run(folder, asked, HOSTS, {}, ("inv", "experiment", "quick"), planned)
    for trial in planned:
        record.write_plan(folder.trial(trial.folder).plan, trial)
    return asked, folder, planned


@pytest.fixture
def walked(tmp_path: Path) -> Walked:
    _, folder, planned = quick(tmp_path, 2)
    return Walked(folder, planned, {})


def test_every_trial_is_fetched_and_judged_when_it_ends(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked.go(monkeypatch)
    assert walked.ran == walked.fetched == ["01", "02", "03", "04"]
    assert walked.said == [f"trial {id}: VALID" for id in walked.ran]
    assert set(walked.plans) == set(walked.ran)


def test_what_did_not_hold_is_repeated_next_and_both_stay(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked.verdicts["02"] = "INVALID"
    walked.go(monkeypatch)
    assert walked.ran == ["01", "02", "05", "03", "04"]
    again, first = walked.plans["05"], walked.plans["02"]
    assert again.because == "repeat of 02: limit_held (limit_held was INVALID)"
    assert replace(again, id=first.id, because=first.because) == first
    assert record.read_run(walked.folder).trials[-1] == again.folder
    assert "trial 02: INVALID; limit_held was INVALID" in walked.said


def test_a_repeat_is_not_repeated_and_unknown_is_not_either(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked.verdicts |= {"02": "INVALID", "05": "INVALID", "03": "UNKNOWN"}
    walked.go(monkeypatch)
    assert walked.ran == ["01", "02", "05", "03", "04"]


def test_who_comes_back_does_not_repeat_what_was_repeated(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked.verdicts["02"] = "INVALID"
    walked.go(monkeypatch)
    walked.ran.clear()
    walked.go(monkeypatch, begin=[walked.plans["02"], walked.plans["05"]])
    assert walked.ran == ["02", "05"] and len(walked.plans) == 5


def test_what_was_cut_short_is_run_once_more_and_uses_no_repeat_up(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """02 was interrupted, and so was its repeat; the repeat of that did not hold, which is its own first time."""
    short = {"02", "05"}
    monkeypatch.setattr(room.state, "cut_short", lambda paths: record.read_plan(paths.plan).id in short)
    walked.verdicts |= {"02": "UNKNOWN", "06": "INVALID", "07": "INVALID"}
    walked.go(monkeypatch)
    assert walked.ran == ["01", "02", "05", "06", "07", "03", "04"]
    assert [walked.plans[id].because for id in ("05", "06")] == [
        f"repeat of {id}: {trials.CUT_SHORT}" for id in ("02", "05")
    ]
    assert f"trial 02: UNKNOWN; {trials.CUT_SHORT}" in walked.said


def test_a_trial_is_cut_short_from_its_load_until_hosts_were_asked_after_it(tmp_path: Path) -> None:
    _, folder, _ = quick(tmp_path, 1)
    paths = folder.trials[0]
    steps = ("reset", "apply", "facts", "load", "watch", "drain", "facts", "seal")
    seen = []
    with Journal(paths.journal) as journal:
        for step in steps:
            journal.write(step, "begin")
            journal.write(step, "end")
            seen.append(state.cut_short(paths))
    assert seen == [False, False, False, False, True, True, False, False]


def test_a_calibration_trial_is_no_trial_of_the_experiment(
    walked: Walked, monkeypatch: pytest.MonkeyPatch
) -> None:
    walked.planned = tuple(replace(trial, purpose="calibration") for trial in walked.planned)
    for trial in walked.planned:
        record.write_plan(walked.folder.trial(trial.folder).plan, trial)
    walked.verdicts["01"] = "INVALID"
    walked.go(monkeypatch)
    assert walked.ran == ["01", "02", "03", "04"] and walked.said == []
