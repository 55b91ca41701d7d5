"""Comes back to a run whose control machine went away: what has run is closed, what has not is run."""

from __future__ import annotations

from pathlib import Path

from loadproof.campaign import bench, state
from loadproof.control import conduct, lock, signals
from loadproof.control.fleet import Fleet
from loadproof.errors import Refused
from loadproof.plan.actions import hosts_of
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder


def attach(folder: RunFolder, root: Path, watcher: bench.Watcher) -> None:
    """Ends every trial of a run: running ones are watched, unfinished ones closed, later ones run."""
    known = record.read_run(folder)
    trials = tuple(record.read_plan(paths.plan) for paths in folder.trials)
    names = tuple(dict.fromkeys(name for trial in trials for name in hosts_of(trial)))
    with signals.handled(folder.id) as handled, bench.explained(folder), Fleet(known.inventory) as fleet:
        if all(state.sealed(folder.trial(trial.folder)) for trial in trials):
            watcher.say("every trial of this run is sealed already")
            lock.release(fleet, names, folder.id)
            return
        decided = bench.Decided(known.experiment, known.inventory, {}, trials)
        if not all(state.begun(folder.trial(trial.folder)) for trial in trials):
            # what is left to run needs its desired state; what runs already does not care about this clone
            arms = bench.states(known.experiment, known.inventory, fleet, root)
            decided = bench.decide(known.experiment, known.inventory, folder.id, arms)
            _unchanged(trials, decided.trials, folder)
        hold = sum(trial.planned_s + trial.margin_s for trial in trials)
        with lock.held(fleet, names, folder.id, hold + 600):
            for index, trial in enumerate(trials, start=1):
                watcher.trial(trial, index, len(trials))
                _take_up(trial, decided, folder, fleet, root, watcher, handled)


def _unchanged(before: tuple[TrialPlan, ...], now: tuple[TrialPlan, ...], folder: RunFolder) -> None:
    """What is left to run must be what was planned: the same trials with the same deployed state."""
    if [trial.deploy_id for trial in before] != [trial.deploy_id for trial in now]:
        raise Refused(
            "the app, the templates or the locks of this clone changed since the run began",
            where=f"run {folder.id}",
            kept="everything on the hosts",
            next="go back to the commit named in run.json, or ./inv stop and begin again",
        )


def _take_up(
    trial: TrialPlan,
    decided: bench.Decided,
    folder: RunFolder,
    fleet: Fleet,
    root: Path,
    watcher: bench.Watcher,
    handled: signals.Signals,
) -> None:
    paths = folder.trial(trial.folder)
    if state.sealed(paths):
        watcher.say("sealed already")
        return
    if not state.begun(paths):
        bench.one(trial, decided, folder, fleet, root, watcher, handled)
        return
    with Journal(paths.journal) as journal:
        journal.write("trial", "note", detail="attached")
        if state.loaded(paths):
            hooks = bench.hooks(trial, decided, fleet, root, watcher, paths)
            conduct.resume(trial, decided.inventory, fleet, journal, hooks, handled)
            return
        watcher.say("its load never began: closing it")
        late = conduct.close(trial, decided.inventory, fleet, journal, handled)
        if late is not None:
            raise late
        if handled.pending:
            raise handled.after_closing()
