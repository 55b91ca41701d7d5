"""Brings a run's sealed files home and analyses them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import report as reports
from analysis import results as analysis_results
from loadproof.campaign import state
from loadproof.control import fetch
from loadproof.control.fleet import Fleet
from loadproof.errors import LoadproofError, LocalDisk, RecordUnreadable
from loadproof.plan.actions import hosts_of
from loadproof.plan.values import Inventory
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder


def fetch_and_analyse(folder: RunFolder, inventory: Inventory) -> tuple[Mapping[str, Any], Path]:
    """Fetches every sealed trial, verified, then analyses what is here.

    A host that fails does not keep the others from being fetched; its error is raised at the end.
    """
    failed: LoadproofError | None = None
    with Fleet(inventory) as fleet:
        for paths in folder.trials:
            if not state.sealed(paths):
                continue
            trial = record.read_plan(paths.plan)
            for outcome in fetch.fetch(fleet, trial, paths, hosts_of(trial)).values():
                if isinstance(outcome, LoadproofError):
                    failed = failed or outcome
    if failed is not None:
        failed.kept = f"what the other hosts gave, in {folder.path}"
        if not isinstance(failed, LocalDisk):  # that one says what to do first
            failed.next = f"./inv fetch-results --run {folder.id}"
        raise failed
    return analyse([folder], folder.path.parent)


def analyse(folders: Sequence[RunFolder], results: Path) -> tuple[Mapping[str, Any], Path]:
    """results.json and report.html of one run, or of several in a new folder that names its sources."""
    for folder in folders:
        if not any(paths.hosts for paths in folder.trials) and not folder.results.exists():
            raise RecordUnreadable(
                "nothing was fetched yet",
                where=f"run {folder.id}",
                kept=str(folder.path),
                next=f"./inv fetch-results --run {folder.id}",
            )
    if len(folders) == 1:
        judged = analysis_results.judge(folders[0])
        return judged.results, reports.write(judged)
    return reports.together([folder.path for folder in folders], results)
