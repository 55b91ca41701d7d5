"""Rehearses the checks: a short trial for each fault, fetched and judged at once, and one without any. On the lab only:
a fault hurts hosts on purpose."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis import rehearsal
from analysis.readers import faults as readers
from analysis.rehearsal import Finding
from loadproof.campaign import bench, collect
from loadproof.control.faults import on_sealed_files
from loadproof.control.fleet import Fleet
from loadproof.errors import HostUnreachable, Interrupted, LabUnavailable, LoadproofError, LocalDisk, Refused
from loadproof.plan import experiment, faults
from loadproof.plan.values import Inventory
from loadproof.runfolder import record
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder

CLEAN = "clean"
# of a trial from which the machine below took CPU away; on a shared machine that comes in stretches
TRIES = 3
Outcome = tuple[Sequence[Finding], RunFolder | None]
Once = Callable[[str], Outcome]
Tell = Callable[[Sequence[Finding], RunFolder | None], None]
# after these no other trial would fare better
ENDING = (Interrupted, HostUnreachable, LabUnavailable, LocalDisk, Refused)


def chosen(checks: Sequence[str]) -> tuple[str, ...]:
    """The trials of a rehearsal by their faults' names; with no check named all of them, and first the one without a
    fault, which "clean" names alone. Raises BadInput for names of nothing."""
    named = [check for check in checks if check != CLEAN]
    broken = faults.turning(named) if named or not checks else ()
    return (CLEAN, *broken) if CLEAN in checks or not checks else broken


def refuse_elsewhere(inventory: Inventory, is_lab: bool) -> None:
    """Raises Refused on hosts that are not the lab's."""
    if not is_lab:
        raise Refused(
            "a rehearsal freezes apps, fills disks and cuts logs: it is for the lab's hosts only",
            where=inventory.path,
            kept="nothing was touched",
            next="./inv rehearse -i inventory/lab.yml",
        )


def rehearse(
    names: Sequence[str],
    inventory: Inventory,
    root: Path,
    results: Path,
    command: Sequence[str],
    watcher: bench.Watcher,
    tell: Tell,
    flags: Mapping[str, str | None],
) -> bool:
    """One run for each name, with these flags; `tell` hears of each what was found. True when all was as expected. The
    runs are kept.

    A trial from which the machine below took CPU away says nothing of its fault, and is made again. Where that happened each
    time, a trial whose findings are as expected but for the theft (`rehearsal.unplanned`) is told as it is; any other is put
    off to the end, where the machine may be quieter.
    """

    def once(name: str) -> Outcome:
        return _one(name, inventory, root, results, command, watcher, flags)

    green, put_off = True, []
    for index, name in enumerate(names, start=1):
        label = "nothing is broken" if name == CLEAN else faults.load(name).label
        watcher.say(f"rehearsing {index} of {len(names)}, {name}: {label}")
        found, folder = _tried(name, once, watcher)
        if len(names) > 1 and rehearsal.disturbed(found) and not _right(rehearsal.unplanned(found)):
            watcher.say(f"{name}: {_stolen(found)}; put off to the end ({_kept(folder)})")
            put_off.append(name)
        else:
            green = _told(found, folder, tell) and green
    for name in put_off:
        watcher.say(f"rehearsing {name} once more, which was put off")
        found, folder = _tried(name, once, watcher)
        green = _told(found, folder, tell) and green
    return green


def _told(found: Sequence[Finding], folder: RunFolder | None, tell: Tell) -> bool:
    told = rehearsal.unplanned(found)
    tell(told, folder)
    return _right(told)


def _right(found: Sequence[Finding]) -> bool:
    return all(one.ok for one in found)


def _tried(name: str, once: Once, watcher: bench.Watcher) -> Outcome:
    """The first trial from which no CPU was taken away, or the last of TRIES."""
    found, folder = once(name)
    for _ in range(1, TRIES):
        if not rehearsal.disturbed(found):
            break
        watcher.say(f"{name}: {_stolen(found)}; again ({_kept(folder)})")
        found, folder = once(name)
    return found, folder


def _stolen(found: Sequence[Finding]) -> str:
    return next(one.said for one in found if one.stolen and one.check == rehearsal.QUIET)


def _kept(folder: RunFolder | None) -> str:
    return f"run {folder.id} is kept" if folder else "no run"


def _one(
    name: str,
    inventory: Inventory,
    root: Path,
    results: Path,
    command: Sequence[str],
    watcher: bench.Watcher,
    flags: Mapping[str, str | None],
) -> Outcome:
    fault = None if name == CLEAN else faults.load(name)
    asked = experiment.rehearsal(name, fault.trial if fault else {}, flags)
    folder: RunFolder | None = None
    try:
        folder = bench.run(
            asked, inventory, root, results, command, watcher, fault=fault.name if fault else ""
        )
        judged = _judged(folder, inventory, watcher)
    except ENDING:
        raise
    except LoadproofError as error:
        return [Finding(name, "all", "judged", "no trial", error.what, False)], folder
    found = rehearsal.findings(fault, judged)
    if fault is not None:
        stretches = readers.stretches(folder.trials[0])
        found += filter(None, [rehearsal.attributed(fault, rehearsal.journeys_of(folder), stretches)])
    return found, folder


def _judged(folder: RunFolder, inventory: Inventory, watcher: bench.Watcher) -> Any:
    """results.json of the run, fetched and analysed at once. What a fault does to sealed files keeps those of its host from
    being fetched: then what came is analysed; the rest can be fetched once it is undone."""
    paths = folder.trials[0]
    trial = record.read_plan(paths.plan)
    if not any(one.when == "sealed" for one in trial.faults):
        return collect.fetch_and_analyse(folder, inventory)[0]
    with (
        Journal(paths.journal) as journal,
        Fleet(inventory) as fleet,
        on_sealed_files(trial, inventory, fleet, journal),
    ):
        try:
            return collect.fetch_and_analyse(folder, inventory)[0]
        except ENDING:
            raise
        except LoadproofError as error:
            watcher.say(f"as it should: {error.what.splitlines()[0]}")
            return collect.analyse([folder], folder.path.parent)[0]
