"""The hosts of a run are taken again before each of its trials, and another run's are never touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadproof.campaign import bench
from loadproof.control import conduct
from loadproof.control.fake import Call, FakeRemote, Script
from loadproof.control.fleet import Fleet
from loadproof.control.remote import Finished
from loadproof.errors import Refused
from loadproof.plan import experiment, trials
from loadproof.plan.actions import hosts_of
from loadproof.plan.values import Inventory, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic
from tests.plan.inventories import states

HOSTS = Inventory("inventory/made.yml", synthetic.HOSTS)
OTHER = {"owner": "eva@desk", "run": "20261126T110000Z-other", "since_us": 1, "until_us": 2}

MINE = json.dumps({"lock": {"run": "20261126T100000Z-quick"}, "stale": "its planned end has passed"})


@pytest.fixture
def decided(tmp_path: Path) -> bench.Decided:
    asked = experiment.named("quick", {"repeats": "1"})
    wanted = states(asked, HOSTS)
    return bench.Decided(asked, HOSTS, wanted, trials.trials(asked, HOSTS, "20261126T100000Z-quick", wanted))


def walk(
    decided: bench.Decided, script: Script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[RunFolder, list[str]]:
    """The trials of a run, which nobody conducts; before each of them what the hosts were told."""
    folder = RunFolder(tmp_path / decided.trials[0].run)
    folder.path.mkdir()
    for trial in decided.trials:
        record.write_plan(folder.trial(trial.folder).plan, trial)
    told: list[str] = []

    def conducted(trial: TrialPlan, *_: Any) -> None:
        told.append(trial.id)

    monkeypatch.setattr(bench.rates, "note", lambda *_: told.append("rate"))
    monkeypatch.setattr(conduct, "conduct", conducted)
    watcher = bench.Watcher(lambda text: None, lambda *_: None, lambda _: None)
    nobody: Any = None
    with Fleet(HOSTS, lambda host: FakeRemote(host, script)) as fleet:
        try:
            bench.walk(decided.trials, decided, folder, fleet, Path(), watcher, nobody)
        except Refused as error:
            told.append(f"{error.what}|{error.kept}|{error.next}")
    return folder, told


def wishes(script: Script) -> list[dict[str, Any]]:
    """What the first host was asked to be locked for."""
    taken = [call for call in script.calls if " take " in call.what and call.host == HOSTS.hosts[0].name]
    return [json.loads(call.what.partition(" take ")[2].strip("'")) for call in taken]


def test_each_trial_takes_them_for_what_is_left(
    decided: bench.Decided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = Script().on("lock.py.* show", MINE).on("lock.py", '{"taken": true}')
    folder, told = walk(decided, script, tmp_path, monkeypatch)
    assert told == ["rate", "01", "rate", "02"]
    first, second = wishes(script)
    assert first["run"] == second["run"] == folder.id and not first["force"]
    assert first["seconds"] == bench.held_s(decided)
    last = decided.trials[1]
    assert second["seconds"] == last.planned_s + last.margin_s + 600 < first["seconds"]
    assert {call.host for call in script.calls} == {name for one in decided.trials for name in hosts_of(one)}


@pytest.mark.parametrize(("entry", "words"), [(OTHER, "but for 20261126T110000Z-other"), (None, "any more|")])
@pytest.mark.parametrize("since", [1, 2])
def test_hosts_that_are_not_ours_any_more_are_not_touched(
    decided: bench.Decided,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    since: int,
    entry: Any,
    words: str,
) -> None:
    """Another run has them by now, or `inv stop` gave them back."""

    def shown(call: Call) -> str:
        asked = len([one for one in script.calls if " show" in one.what and one.host == "app1"])
        lost = call.host == "app1" and asked >= since
        return json.dumps({"lock": entry if lost else {"run": decided.trials[0].run}, "stale": ""})

    script = Script().on("lock.py.* show", shown).on("lock.py", '{"taken": true}')
    folder, told = walk(decided, script, tmp_path, monkeypatch)
    assert told[:-1] == ["rate", "01"][: 2 * (since - 1)]
    assert "app1 is not held for run 20261126T100000Z-quick any more" in told[-1] and words in told[-1]
    assert len(wishes(script)) == len([one for one in folder.trials if one.journal.exists()]) == since - 1


def test_a_host_that_another_run_takes_at_that_very_moment_is_not_ours(
    decided: bench.Decided, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(call: Call) -> Finished:
        theirs = call.host == "app1" and " take " in call.what
        return Finished(call.host, call.what, 3 if theirs else 0, json.dumps(OTHER), "", 0.0)

    script = Script().on("lock.py.* show", MINE).on("lock.py", answer)
    _, told = walk(decided, script, tmp_path, monkeypatch)
    assert len(told) == 1 and "app1 is in use by eva@desk" in told[0]
