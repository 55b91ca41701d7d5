"""Names in a run folder."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from loadproof.errors import BadInput, LocalDisk
from loadproof.runfolder.paths import RunFolder, runs

NOW = datetime(2026, 11, 24, 3, 15, tzinfo=UTC)


def test_a_run_has_its_utc_time_and_name(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "results", "bench", NOW.astimezone(timezone(timedelta(hours=5))))
    assert folder.id == "20261124T031500Z-bench"
    assert os.readlink(tmp_path / "results" / "latest") == folder.id
    trial = folder.trial("01-servers-2")
    assert trial.plan == folder.path / "trials" / "01-servers-2" / "plan.json"
    assert trial.journal.name == "journal.jsonl"
    assert trial.facts.name == "facts.jsonl"
    assert trial.raw("app1") == trial.path / "raw" / "app1"
    assert folder.trials == ()  # nothing is planned in it yet
    trial.plan.touch()
    assert folder.trials == (trial,)
    assert folder.table("cpu", trial.name) == folder.path / "tables" / "cpu" / "01-servers-2.parquet"
    assert trial.hosts == ()
    trial.raw("app1").mkdir(parents=True)
    assert trial.hosts == ("app1",)


def test_two_in_one_second_are_two(tmp_path: Path) -> None:
    made = [RunFolder.create(tmp_path, "bench", NOW) for _ in range(3)]
    assert len({folder.id for folder in made}) == 3
    assert [folder.id for folder in runs(tmp_path)] == [folder.id for folder in made]


def test_a_run_that_never_began_is_forgotten(tmp_path: Path) -> None:
    first, second = RunFolder.create(tmp_path, "one", NOW), RunFolder.create(tmp_path, "two", NOW)
    second.forget()
    assert [folder.id for folder in runs(tmp_path)] == [first.id]
    assert RunFolder.open(tmp_path).id == first.id
    first.forget()
    assert not list(tmp_path.iterdir())


def test_opening(tmp_path: Path) -> None:
    first = RunFolder.create(tmp_path, "one", NOW)
    second = RunFolder.create(tmp_path, "two", NOW + timedelta(hours=1))
    for which in ("latest", "-1", second.id, str(second.path), ""):
        assert RunFolder.open(tmp_path, which).id == second.id
    assert RunFolder.open(tmp_path, "-2").id == first.id
    assert RunFolder.open(tmp_path, first.id).path == first.path


def test_latest_without_its_link(tmp_path: Path) -> None:
    RunFolder.create(tmp_path, "one", NOW)
    second = RunFolder.create(tmp_path, "two", NOW + timedelta(hours=1))
    (tmp_path / "latest").unlink()
    assert RunFolder.open(tmp_path).id == second.id


@pytest.mark.parametrize("which", ["latest", "-1", "-0", "20260101T000000Z-none", "../x", "/nowhere"])
def test_no_such_run(tmp_path: Path, which: str) -> None:
    with pytest.raises(BadInput, match="there is no run"):
        RunFolder.open(tmp_path, which)


@pytest.mark.parametrize("name", ["", "../x", "a/b", "a b", "-x", ".x", "x\n"])
def test_names_that_are_no_folder_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match="not a name for a run"):
        RunFolder.create(tmp_path, name, NOW)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_a_matter_of_this_machine() -> None:
    with pytest.raises(LocalDisk, match="cannot write") as caught:
        RunFolder.create(Path("/sys/kernel/results"), "bench", datetime.now(UTC))
    assert "LOADPROOF_RESULTS" in caught.value.next


def test_the_hundredth_trial_comes_last(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "null", NOW)
    for name in ("100-copy-a", "11-copy-b", "02-copy-a"):
        folder.trial(name).plan.touch()
    assert [one.name for one in folder.trials] == ["02-copy-a", "11-copy-b", "100-copy-a"]


def test_a_folder_whose_plan_was_never_written_is_no_trial(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "null", NOW)
    for name in ("01-a", "02-a", "03-a", "04-a"):
        folder.trial(name)
    (folder.path / "trials" / "04-a" / ".plan.json.x.tmp").touch()  # killed before it had its name
    folder.trial("01-a").plan.touch()
    folder.trial("02-a").journal.touch()  # its plan was lost later: that is said, not passed over
    folder.trial("03-a").raw("app1").mkdir(parents=True)
    assert [one.name for one in folder.trials] == ["01-a", "02-a", "03-a"]
