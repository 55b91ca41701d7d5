"""Comes back to a run whose control machine went away: what has run is closed, what has not is run."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadproof.campaign import bench, state
from loadproof.control import conduct, lock, signals
from loadproof.control.fleet import Fleet
from loadproof.errors import Refused
from loadproof.plan.actions import hosts_of
from loadproof.plan.trials import stands_for
from loadproof.plan.values import States, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.hold import conducted
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder, TrialPaths

AGAIN = "its load never began: the trial is run from its beginning"


@dataclass(frozen=True)
class Left:
    """A run that is come back to. `again`: a trial that was sealed before its load is run."""

    decided: bench.Decided
    folder: RunFolder
    fleet: Fleet
    root: Path
    watcher: bench.Watcher
    handled: signals.Signals
    again: bool


def attach(folder: RunFolder, root: Path, watcher: bench.Watcher, after: bench.After = bench.nothing) -> None:
    """Ends every trial of a run: running ones are watched to their end, those whose load never began are run; `after`
    is done with each that is sealed. Where the run is gone on with, one that was sealed before its load is run too: it
    measured nothing."""
    known = record.read_run(folder)
    if not folder.trials:
        raise _no_trial(known, folder)
    with (
        signals.handled(folder.id) as handled,
        bench.explained(folder),
        conducted(folder),
        Fleet(known.inventory) as fleet,
    ):
        handled.goes_on = bench.goes_on(known.experiment, folder, after)
        left, going_on = state.to_be_planned(folder), after is not bench.nothing
        trials = _in_order(_planned(known, folder, fleet, root, going_on and not left), folder)
        names = tuple(dict.fromkeys(name for trial in trials for name in hosts_of(trial)))
        if not going_on and not left and all(state.sealed(folder.trial(trial.folder)) for trial in trials):
            watcher.say("every trial of this run is sealed already")
            lock.release(fleet, names, folder.id)
            return
        decided = bench.Decided(known.experiment, known.inventory, {}, trials)
        if (
            left
            or state.searching(folder)
            or not all(state.loaded(folder.trial(trial.folder)) for trial in trials)
        ):
            # what is left to run needs its desired state; what runs already does not care about this clone
            decided = _planned_again(trials, folder, fleet, root)
        # a host that died keeps its own files, not those of the others
        with lock.held(fleet, names, folder.id, bench.held_s(decided), silent_too=True):
            # who goes on wants every answer; a bench that was ended before its load is left as the person left it
            run = Left(decided, folder, fleet, root, watcher, handled, left or going_on)
            _each(trials, run, after)
            if left:
                rest = bench.calibrated(decided, folder, fleet, root, watcher, handled).trials
                unrun = [trial for trial in rest if not state.sealed(folder.trial(trial.folder))]
                bench.walk(unrun, decided, folder, fleet, root, watcher, handled, after)


def _no_trial(known: record.RunRecord, folder: RunFolder) -> Refused:
    why = ", it is a report of others" if known.sources else ": nothing was begun"
    return Refused(
        f"this run holds no trial{why}", where=f"run {folder.id}", kept=str(folder.path), next="inv runs"
    )


def _each(trials: Sequence[TrialPlan], run: Left, after: bench.After) -> None:
    """Trials one after the other, and those that follow from them."""
    open_, done = deque(trials), 0
    while open_:
        trial, done = open_.popleft(), done + 1
        run.watcher.trial(trial, done, done + len(open_))
        _take_up(trial, tuple(open_), run)
        if following := after(trial, run.folder, run.fleet):
            open_.appendleft(following)


def _in_order(trials: Sequence[TrialPlan], folder: RunFolder) -> tuple[TrialPlan, ...]:
    """As they are come back to: first one whose load may be running, which the reset of any other would end; then each as
    it was numbered, and a repeat behind what it repeats."""

    plans = {trial.id: trial for trial in trials}

    def place(trial: TrialPlan) -> tuple[bool, int, int]:
        paths = folder.trial(trial.folder)
        runs = state.loaded(paths) and not state.sealed(paths)
        return not runs, int(stands_for(trial, plans)), int(trial.id)

    return tuple(sorted(trials, key=place))


def _planned(
    known: record.RunRecord, folder: RunFolder, fleet: Fleet, root: Path, going_on: bool
) -> tuple[TrialPlan, ...]:
    """The trials of a run, by its folder. Where it is gone on with, those that run.json names and whose plans could not
    be written are decided again: that gives the same."""
    here = {paths.name: record.read_plan(paths.plan) for paths in folder.trials}
    lost = set(known.trials) - here.keys()
    if going_on and lost and not known.experiment.calibrate:
        states = bench.states(known.experiment, known.inventory, fleet, root)
        _unchanged(
            tuple(here.values()), states, folder
        )  # before anything is written that another clone planned
        for trial in bench.decide(known.experiment, known.inventory, folder.id, states).trials:
            if trial.folder in lost:
                record.write_plan(folder.trial(trial.folder).plan, trial)
        here = {paths.name: record.read_plan(paths.plan) for paths in folder.trials}
    return tuple(here.values())


def _planned_again(
    trials: tuple[TrialPlan, ...], folder: RunFolder, fleet: Fleet, root: Path
) -> bench.Decided:
    """The run as this clone would plan it now. Raises Refused when that is not what was planned."""
    known = record.read_run(folder)
    states = bench.states(known.experiment, known.inventory, fleet, root)
    _unchanged(trials, states, folder)
    return bench.Decided(known.experiment, known.inventory, states, trials)


def _unchanged(before: tuple[TrialPlan, ...], now: States, folder: RunFolder) -> None:
    """What is left to run must be what was planned: the same deployed state."""
    if any(trial.deploy_id != now[trial.state].deploy_id for trial in before):
        raise Refused(
            "the app, the templates or the locks of this clone changed since the run began",
            where=f"run {folder.id}",
            kept="everything on the hosts",
            next="go back to the commit named in run.json, or ./inv stop and begin again",
        )


def _take_up(trial: TrialPlan, left: Sequence[TrialPlan], run: Left) -> None:
    """Brings one trial to its sealed end; `left` come after it."""
    paths, decided = run.folder.trial(trial.folder), run.decided
    sealed = state.sealed(paths)
    if sealed and (state.watched(paths) or not run.again):
        run.watcher.say("sealed already")
        return
    if state.loaded(paths) and not sealed and _closed(trial, paths, run):
        return
    if state.begun(paths):
        with Journal(paths.journal) as journal:
            journal.write("trial", "note", detail=AGAIN)
        run.watcher.say(AGAIN)
    if not decided.states:
        decided = _planned_again(decided.trials, run.folder, run.fleet, run.root)
    _forget(paths)
    bench.one(trial, decided, run.folder, run.fleet, run.root, run.watcher, run.handled, left)


def _closed(trial: TrialPlan, paths: TrialPaths, run: Left) -> bool:
    """Ends a trial whose load runs, or has run; False where nothing of it was measured."""
    if state.watched(paths) and state.fetched(paths):  # its hosts may be clean since
        run.watcher.say("fetched already")
        return True
    with Journal(paths.journal) as journal:
        journal.write("trial", "note", detail="attached")
        if not conduct.load_ran(trial, run.decided.inventory, run.fleet):
            return False
        hooks = bench.hooks(trial, run.decided, run.fleet, run.root, run.watcher, paths)
        end = conduct.reclose if state.asked_after(paths) else conduct.resume
        end(trial, run.decided.inventory, run.fleet, journal, hooks, run.handled)
        return True


def _forget(paths: TrialPaths) -> None:
    """Removes what a try left that ended before its load: facts are asked again, and files of two tries never mix."""
    paths.facts.unlink(missing_ok=True)
    if paths.raw().exists():
        shutil.rmtree(paths.raw())
