"""The search for the largest load that holds what was asked: trials planned from what the ones before them measured, then
fresh ones of what was found. All that was done is in the folder after every trial, so that it can be taken up again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis import capacity as findings
from analysis import trial as trials_judged
from analysis import tried, verdicts
from analysis.trial import Judged
from loadproof.campaign import attach, bench, calibrate, state
from loadproof.control.fleet import Fleet
from loadproof.plan import levels, limits
from loadproof.plan import trials as trial_plans
from loadproof.plan.capacity import End
from loadproof.plan.values import Capacity, Experiment, Inventory, TrialPlan
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
    """One run of a whole search, fetched."""
    after = following(experiment, inventory, watcher)
    return bench.run(experiment, inventory, root, results, command, watcher, after=after)


def resume(folder: RunFolder, root: Path, watcher: bench.Watcher) -> None:
    """Goes on with a search that was left in its middle: trials that are sealed are fetched and judged, the one that ran
    is watched to its end, and the search goes on from there."""
    known = record.read_run(folder)
    attach.attach(folder, root, watcher, following(known.experiment, known.inventory, watcher))


def following(experiment: Experiment, inventory: Inventory, watcher: bench.Watcher) -> bench.After:
    """What is done when a trial was sealed: it is fetched and judged; then it is repeated once if its conditions did not
    hold, or the next one is planned, until there is an answer."""
    asked = experiment.capacity
    assert asked is not None, "only a search is gone on with like this"
    judged: dict[str, Judged] = {}

    def after(trial: TrialPlan, folder: RunFolder, fleet: Fleet) -> TrialPlan | None:
        if trial.purpose == "calibration":
            return None
        if not state.fetched(folder.trial(trial.folder)):
            calibrate.fetched(fleet, folder, trial)
        judged[trial.id] = _judge(trial, folder, inventory)
        cut = state.cut_short(folder.trial(trial.folder))
        watcher.say(_said(asked, judged[trial.id]) + (f"; {trial_plans.CUT_SHORT}" if cut else ""))
        planned = _plans(folder)
        if trial.id != planned[-1].id:  # who comes back finds what followed from it
            return None
        for one in planned:
            if one.id not in judged and one.purpose != "calibration":
                judged[one.id] = _judge(one, folder, inventory)
        made = _again(judged[trial.id], folder) or _next(asked, experiment, judged, watcher)
        if made is not None:
            record.write_plan(folder.trial(made.folder).plan, made)
            record.add_trial(folder, made)
        return made

    return after


def _judge(trial: TrialPlan, folder: RunFolder, inventory: Inventory) -> Judged:
    paths = folder.trial(trial.folder)
    return trials_judged.judge(paths, trial, inventory, lambda kind: folder.table(kind, paths.name))


def _plans(folder: RunFolder) -> list[TrialPlan]:
    return sorted(state.plans(folder).values(), key=lambda plan: int(plan.id))


def _again(last: Judged, folder: RunFolder) -> TrialPlan | None:
    """The repeat of a trial that was cut short, or whose conditions did not hold."""
    cut = state.cut_short(folder.trial(last.plan.folder))
    why = trial_plans.CUT_SHORT if cut else verdicts.broken(last.checks)
    if not why or not state.may_be_repeated(last.plan, folder):
        return None
    return trial_plans.repeat(last.plan, int(last.plan.id) + 1, why)


def _next(
    asked: Capacity, experiment: Experiment, judged: dict[str, Judged], watcher: bench.Watcher
) -> TrialPlan | None:
    """The next trial of the search; None when it has its answer, which is said."""
    hold_s = experiment.arms[0].load.hold_s
    found = tried.found(asked, hold_s, tried.slots(asked, list(judged.values())))
    if isinstance(found.then, End):
        for _, sentence in findings.sentences(findings.summed(asked, hold_s, list(judged.values()))):
            watcher.say(sentence)
        return None
    last = max(judged.values(), key=lambda one: int(one.plan.id)).plan
    return levels.trial(asked, last, found.then, int(last.id) + 1)


def _said(asked: Capacity, one: Judged) -> str:
    """A trial in a line: its verdict, what broke, and its figures."""
    verdict = verdicts.of_trial(one.checks)["verdict"]
    broken = [check.said for check in one.checks if check.verdict == "INVALID" and check.withholds == "trial"]
    (slot,) = tried.slots(asked, [one])
    got = [
        f"{limits.WORDS[limit.figure]} {tried.read(limit, reading)}"
        for limit, reading in zip(asked.limits, slot.readings, strict=True)
    ]
    return f"trial {one.plan.id}: {verdict}; " + "; ".join([*got, *broken])
