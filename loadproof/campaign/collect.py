"""Brings a run's sealed files home and analyses them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import against as comparing
from analysis import report as reports
from analysis import results as analysis_results
from analysis import share as sharing
from analysis import spread as spreading
from loadproof.control import fetch
from loadproof.control.fleet import Fleet
from loadproof.errors import HostUnreachable, LinkLost, LoadproofError, LocalDisk, RecordUnreadable
from loadproof.plan.actions import hosts_of
from loadproof.plan.values import Inventory
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder, TrialPaths


def fetch_and_analyse(
    folder: RunFolder, inventory: Inventory, say: Callable[[str], None] = lambda text: None
) -> tuple[Mapping[str, Any], Path]:
    """Fetches whatever the hosts have sealed, verified, then analyses what is here.

    The hosts are asked, not the journal: a trial may have been sealed by `inv stop`, or on some hosts only; `say` hears
    of those. A host that fails does not keep the others from being fetched; its error is raised at the end, unless its
    files are here already.
    """
    failed: list[LoadproofError] = []
    held: list[bool] = []
    with Fleet(inventory) as fleet:
        for paths in folder.trials:
            if paths.journal.exists():
                outcomes = _fetch(fleet, paths)
                failed += _failed(outcomes, paths, say)
                held += [not isinstance(outcome, fetch.NothingThere) for outcome in outcomes.values()]
    if failed:
        first = failed[0]
        first.kept = f"what the other hosts gave, in {folder.path}"
        if not isinstance(first, LocalDisk):  # that one says what to do first
            again = f"./inv fetch-results --run {folder.id}"
            remedy = f"{first.next}; then " if first.next and "fetch-results" not in first.next else ""
            first.next = f"{remedy}{again}; ./inv report --run {folder.id} analyses what is here"
        raise first
    if held and not any(held) and not any(paths.hosts for paths in folder.trials):
        raise _nowhere(folder)
    return analyse([folder], folder.path.parent)


def _fetch(fleet: Fleet, paths: TrialPaths) -> dict[str, fetch.Fetched | LoadproofError]:
    trial = record.read_plan(paths.plan)
    return fetch.fetch(fleet, trial, paths, hosts_of(trial))


def _failed(
    outcomes: Mapping[str, fetch.Fetched | LoadproofError], paths: TrialPaths, say: Callable[[str], None]
) -> list[LoadproofError]:
    """The errors of hosts whose files are not here; `say` hears of hosts that gave nothing."""
    failed = []
    for host, outcome in outcomes.items():
        if not isinstance(outcome, LoadproofError):
            continue
        unheard = isinstance(outcome, HostUnreachable | LinkLost | fetch.NotSealed)
        if unheard and fetch.all_here(paths.raw(host)):
            say(f"{paths.name}: {host} gave nothing; its files are here already, verified")
        elif isinstance(outcome, fetch.NothingThere):
            say(f"{paths.name}: {host} holds nothing of this trial")
        elif isinstance(outcome, fetch.NotSealed):
            say(f"{paths.name}: {host} has sealed nothing of this trial")
        else:
            failed.append(outcome)
    return failed


def analyse(
    folders: Sequence[RunFolder], results: Path, rebuild: bool = False
) -> tuple[Mapping[str, Any], Path]:
    """results.json and report.html of one run, or of several in a new folder that names its sources. `rebuild`: of raw
    files alone, whatever an earlier analysis left."""
    _need_raw(folders)
    if len(folders) == 1:
        judged = analysis_results.judge(folders[0], rebuild)
        return judged.results, reports.write(judged)
    return reports.together([folder.path for folder in folders], results)


def spread(folders: Sequence[RunFolder]) -> dict[str, Any]:
    """Where the spread of the trials of these runs comes from; nothing of theirs is changed but tables that were missing."""
    _need_raw(folders)
    return spreading.told([analysis_results.look(folder) for folder in folders])


def _need_raw(folders: Sequence[RunFolder]) -> None:
    for folder in folders:
        sources = analysis_results.sources_of(folder)
        if not any(paths.hosts for source in sources for paths in source.trials):
            raise _nothing_raw(folder, sources)


def found_of(folder: RunFolder) -> dict[str, Any]:
    """results.json of a run. Raises RecordUnreadable, with the way to one where the run was never analysed."""
    if not folder.results.exists():
        raise RecordUnreadable(
            "it was never analysed: there is no results.json",
            where=f"run {folder.id}",
            kept=str(folder.path),
            next=f"./inv fetch-results --run {folder.id}, then the same command again",
        )
    return record.read_json(folder.results)


def against(first: RunFolder, second: RunFolder, found: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Two runs compared, from their results.json (`found`: the first one's, read earlier). Raises RecordUnreadable where
    one was never analysed."""
    before = dict(found_of(first) if found is None else found)
    return comparing.runs(before, found_of(second), (record.read_run(first), record.read_run(second)))


def share(folder: RunFolder) -> tuple[Path, str]:
    """A picture of a run's answer, and the same as a paragraph, beside its report. Raises RecordUnreadable where it was
    never analysed."""
    return sharing.write(folder)


def _nowhere(folder: RunFolder) -> RecordUnreadable:
    """To fetch again, or to attach, would find nothing either."""
    found = "results.json, tables and report as they are, in " if folder.results.exists() else ""
    return RecordUnreadable(
        "neither the hosts nor this folder hold any file of this run: it was discarded, or ended before it measured",
        where=f"run {folder.id}",
        kept=f"{found}{folder.path}",
        next="the same bench again; ./inv runs lists the others",
    )


def _nothing_raw(folder: RunFolder, sources: Sequence[RunFolder]) -> RecordUnreadable:
    """Without raw files an analysis would only overwrite what an earlier one found."""
    where, fetch = f"run {folder.id}", f"./inv fetch-results --run {sources[0].id}"
    if folder.results.exists():
        return RecordUnreadable(
            "its raw files are gone: nothing can be analysed again",
            where=where,
            kept=f"results.json, tables and report as they are, in {folder.path}",
            next=f"{fetch}, if its hosts still have them",
        )
    return RecordUnreadable(
        "nothing was fetched yet",
        where=where,
        kept=str(folder.path),
        next=f"{fetch}, or ./inv attach --run {sources[0].id} if it never ended",
    )
