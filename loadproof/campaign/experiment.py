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

CUT_SHORT = "it was ended before its load was over"


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
        why = CUT_SHORT if state.cut_short(paths) else verdicts.broken(judged.checks)
        said = [CUT_SHORT] if why == CUT_SHORT else [one.said for one in broken]
        watcher.say("; ".join([f"trial {trial.id}: {found['verdict']}", *said]))
        if not why or _spent(trial, folder):
            return None
        again = trial_plans.repeat(trial, _next(folder), why)
        record.write_plan(folder.trial(again.folder).plan, again)
        record.add_trial(folder, again)
        return again

    return after


def _plans(folder: RunFolder) -> list[TrialPlan]:
    return [record.read_plan(paths.plan) for paths in folder.trials]


def _next(folder: RunFolder) -> int:
    return max(int(plan.id) for plan in _plans(folder)) + 1


def _spent(trial: TrialPlan, folder: RunFolder) -> bool:
    """Whether a trial was repeated, or is the repeat of one that was: what was cut short is no measurement, and uses
    nothing up."""
    plans = {plan.id: plan for plan in _plans(folder)}
    if any(trial_plans.repeats(plan) == trial.id for plan in plans.values()):
        return True
    first = plans.get(trial_plans.repeats(trial))
    return first is not None and not any(state.cut_short(folder.trial(one.folder)) for one in (trial, first))


def resume(folder: RunFolder, root: Path, watcher: bench.Watcher) -> None:
    """Goes on with a run that was left in its middle: trials that are sealed are fetched and judged, the one that ran is
    watched to its end, the others are run."""
    attach.attach(folder, root, watcher, judging(record.read_run(folder).inventory, watcher))
