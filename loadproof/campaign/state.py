"""How far runs have come: read from their folders alone, without analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from loadproof.errors import RecordUnreadable
from loadproof.plan.actions import hosts_of
from loadproof.plan.trials import repeats
from loadproof.plan.values import Inventory, TrialPlan
from loadproof.runfolder import journal, record
from loadproof.runfolder.formats import MANIFEST
from loadproof.runfolder.hold import is_conducted
from loadproof.runfolder.paths import RunFolder, TrialPaths, runs

UNFINISHED = "unfinished"  # kind of an answer, of a search that was left


def hosts_of_run(folder: RunFolder) -> Inventory:
    """The hosts as they were when the run began."""
    return record.read_run(folder).inventory


def sealed(paths: TrialPaths) -> bool:
    """Whether a trial reached its sealed end on the hosts."""
    return _reached(paths, "seal", "end")


def loaded(paths: TrialPaths) -> bool:
    """Whether the load of a trial was started, or was about to be."""
    return _reached(paths, "load", "begin")


def watched(paths: TrialPaths) -> bool:
    """Whether the load of a trial ran, seen by us."""
    return _reached(paths, "watch", "begin")


def begun(paths: TrialPaths) -> bool:
    """Whether anything of a trial was begun that has to be closed: its hosts were brought to their state."""
    return _reached(paths, "apply", "end")


def asked_after(paths: TrialPaths) -> bool:
    """Whether hosts were asked their facts after the load: but for closing, nothing of the trial was left to do."""
    done = _done(paths)
    return ("drain", "begin") in done and ("facts", "end") in done[done.index(("drain", "begin")) :]


def cut_short(paths: TrialPaths) -> bool:
    """Whether the load of a trial began, and we did not see it to its end: it was interrupted, or failed."""
    return watched(paths) and not asked_after(paths)


def plans(folder: RunFolder) -> dict[str, TrialPlan]:
    """The trials of a run by id."""
    found = [record.read_plan(paths.plan) for paths in folder.trials]
    return {plan.id: plan for plan in found}


def may_be_repeated(trial: TrialPlan, folder: RunFolder) -> bool:
    """A trial is repeated once, and its repeat never: but what was cut short is no measurement, and uses nothing up."""
    known = plans(folder)
    if any(repeats(plan) == trial.id for plan in known.values()):
        return False
    first = known.get(repeats(trial))
    return first is None or any(cut_short(folder.trial(one.folder)) for one in (trial, first))


def _reached(paths: TrialPaths, stage: str, event: str) -> bool:
    return (stage, event) in _done(paths)


def _done(paths: TrialPaths) -> list[tuple[object, object]]:
    """(stage, event) of what was done since the trial was last run from its beginning, in order."""
    if not paths.journal.exists():
        return []
    lines = journal.last_try(journal.read(paths.journal).lines)
    return [(line.get("stage"), line.get("event")) for line in lines]


def fetched(paths: TrialPaths) -> bool:
    """Whether every host's files of a sealed trial are here, verified: fetch puts the manifest last."""
    trial = record.read_plan(paths.plan)
    return all((paths.raw(host) / MANIFEST).exists() for host in hosts_of(trial))


def here(folder: RunFolder) -> bool:
    """Whether every trial of a run was fetched, and none is still to be planned."""
    everything = bool(folder.trials) and all(fetched(paths) for paths in folder.trials)
    return everything and not to_be_planned(folder) and not searching(folder)


def searching(folder: RunFolder) -> bool:
    """Whether a search for a capacity has no answer yet: further trials follow from those that are here."""
    if not folder.run.exists() or record.read_run(folder).experiment.capacity is None:
        return False
    if record.read_run(folder).sources:
        return False
    found = record.read_json(folder.results) if folder.results.exists() else {}
    return bool(dict(found.get("capacity") or {}).get("kind", UNFINISHED) == UNFINISHED)


def to_be_planned(folder: RunFolder) -> bool:
    """Whether a calibration was left before all the trials that it is for were planned. Raises RecordUnreadable."""
    if not (folder.run.exists() and record.read_run(folder).experiment.calibrate):
        return False
    measured = sum(plan.purpose != "calibration" for plan in plans(folder).values())
    return measured < record.read_run(folder).experiment.trials


def listing(results: Path) -> list[tuple[str, str, str, str]]:
    """One row per run: id, trials, state, note."""
    rows = []
    for folder in runs(results):
        try:
            known = record.read_run(folder)
            state = _state(folder, known.sources)
        except RecordUnreadable as error:
            rows.append((folder.id, "?", f"unreadable: {error.what}", ""))
            continue
        rows.append((folder.id, str(len(folder.trials)), state, known.experiment.note))
    return rows


def _state(folder: RunFolder, sources: Sequence[str]) -> str:
    if sources:
        return f"report of {', '.join(sources)}"
    if searching(folder) and not is_conducted(folder):
        return f"left: ./inv capacity --resume --run {folder.id}"
    trials = folder.trials
    open_ = any(begun(paths) and not sealed(paths) for paths in trials) and not is_conducted(folder)
    if folder.results.exists():
        return f"analysed, but not whole: ./inv attach --run {folder.id}" if open_ else "analysed"
    if to_be_planned(folder) and not is_conducted(folder):
        return f"left: ./inv attach --run {folder.id}"
    if all(sealed(paths) for paths in trials) and trials:
        return "fetched" if all(fetched(paths) for paths in trials) else "sealed on the hosts"
    if is_conducted(folder):
        return "running"
    if open_:
        return f"left: ./inv attach --run {folder.id}"
    return "not finished"
