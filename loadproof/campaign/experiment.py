"""Runs an experiment: its trials block by block; each is fetched and judged when it ends, and repeated once where its
conditions did not hold. All that was done is in the folder after every trial, so that it can be taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis import trial as trials_judged
from analysis import verdicts
from loadproof.campaign import attach, bench, calibrate, state
from loadproof.control.fleet import Fleet
from loadproof.plan import trials as trial_plans
from loadproof.plan.values import Experiment, Inventory, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder


def run(
    experiment: Experiment,
    inventory: Inventory,
    root: Path,
    results: Path,
    command: Sequence[str],
    watcher: bench.Watcher,
) -> RunFolder:
    """One run of every trial, fetched."""
    after = judging(inventory, watcher)
    return bench.run(experiment, inventory, root, results, command, watcher, after=after)


def judging(inventory: Inventory, watcher: bench.Watcher) -> bench.After:
    """What is done when a trial was sealed: its files are fetched and judged, and one whose conditions did not hold is
    planned once more, to be run next; so is one that was cut short, whatever its checks say."""

    def after(trial: TrialPlan, folder: RunFolder, fleet: Fleet) -> TrialPlan | None:
        if (
            trial.purpose == "calibration"
        ):  # the calibration itself judges it, and tries again where it has to
            return None
        paths = folder.trial(trial.folder)
        if not state.fetched(paths):
            calibrate.fetched(fleet, folder, trial)
        judged = trials_judged.judge(paths, trial, inventory, lambda kind: folder.table(kind, paths.name))
        found = verdicts.of_trial(judged.checks)
        broken = [one for one in judged.checks if one.verdict == "INVALID" and one.withholds == "trial"]
        cut = state.cut_short(paths)
        said = [trial_plans.CUT_SHORT] if cut else [one.said for one in broken]
        watcher.say("; ".join([f"trial {trial.id}: {found['verdict']}", *said]))
        why = trial_plans.CUT_SHORT if cut else verdicts.broken(judged.checks)
        if not why or not state.may_be_repeated(trial, folder):
            return None
        again = trial_plans.repeat(trial, _next(folder), why)
        record.write_plan(folder.trial(again.folder).plan, again)
        record.add_trial(folder, again)
        return again

    return after


def _next(folder: RunFolder) -> int:
    return max(int(id) for id in state.plans(folder)) + 1


def resume(folder: RunFolder, root: Path, watcher: bench.Watcher) -> None:
    """Goes on with a run that was left in its middle: trials that are sealed are fetched and judged, the one that ran is
    watched to its end, the others are run."""
    attach.attach(folder, root, watcher, judging(record.read_run(folder).inventory, watcher))
