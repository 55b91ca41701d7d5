"""What the conductor's journal adds to what is incomplete."""

from __future__ import annotations

from pathlib import Path

from analysis import results
from analysis.readers import journal as reader
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder, TrialPaths


def test_a_calm_journal_and_none_say_nothing(tmp_path: Path) -> None:
    assert reader.notes(TrialPaths(tmp_path)) == ()
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.write("watch", "note", host="load1", detail="the master is inactive")
        journal.write("watch", "note", host="app1", detail="app1: the link was lost for a while")
        journal.write("limit", "note", host="app1", detail="accepted but not in force: no quota")
        journal.write("trial", "note", detail="attached")
        journal.write("drain", "end", seconds="0.1")
    assert reader.notes(TrialPaths(tmp_path)) == ()


def test_troubles_of_a_trial_are_told(copy: RunFolder) -> None:
    with Journal(copy.trials[0].journal) as journal:
        journal.write("watch", "note", host="load1", detail="the master is failed")
        journal.write("drain", "note", host="app1", detail="requests were still in flight")
        journal.write("drain", "note", host="proxy1", detail="gave no answer (refused)")
        journal.write("watch", "interrupted", detail="interrupted by Ctrl-C")
        journal.write("trial", "interrupted", detail="interrupted by Ctrl-C\nand more of it")
    copy.trials[0].journal.write_bytes(copy.trials[0].journal.read_bytes() + b'[1]\n{"stage": 5}\n{"cut')
    assert results.analyse(copy.path)["incomplete"] == [
        "01-servers-1: journal.jsonl: 2 unreadable lines",
        "01-servers-1: load1: Locust: the master is failed",
        "01-servers-1: app1: requests were still in flight when draining ended",
        "01-servers-1: proxy1: gave no answer (refused) when draining ended",
        "01-servers-1: the trial was interrupted: interrupted by Ctrl-C",
    ]


def test_a_try_that_ended_before_its_load_is_not_told_of_the_one_that_measured(tmp_path: Path) -> None:
    with Journal(tmp_path / "journal.jsonl") as journal:
        journal.write("reset", "begin")
        journal.write("trial", "interrupted", detail="interrupted by Ctrl-C")
        journal.write("reset", "begin")
        journal.write("drain", "note", host="app1", detail="requests were still in flight")
    assert reader.notes(TrialPaths(tmp_path)) == ("app1: requests were still in flight when draining ended",)


def test_a_journal_that_is_gone_is_missed(copy: RunFolder) -> None:
    copy.trials[0].journal.unlink()
    (said,) = results.analyse(copy.path)["incomplete"]
    assert said == "01-servers-1: journal.jsonl is not here; whether the trial was interrupted is unknown"
