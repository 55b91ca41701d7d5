"""Calibration: trials under full load, each planned from what the ones before it measured, until the setting of every
server's limiter is known; then the measured trials are planned with these settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analysis import calibration as findings
from analysis import trial as trials_judged
from analysis.trial import Judged
from loadproof.campaign import state
from loadproof.control import fetch
from loadproof.control.fleet import Fleet, all_good
from loadproof.errors import RecordUnreadable
from loadproof.plan import calibration, limiters
from loadproof.plan import trials as trial_plans
from loadproof.plan.actions import hosts_of
from loadproof.plan.calibration import Try
from loadproof.plan.values import Experiment, Inventory, States, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder, TrialPaths


@dataclass(frozen=True)
class Asked:
    """What is calibrated: of which run, on which hosts, and the desired states of its trials."""

    experiment: Experiment
    inventory: Inventory
    run: str
    states: States


def go_on(
    asked: Asked,
    folder: RunFolder,
    run: Callable[[TrialPlan], None],
    bring: Callable[[TrialPlan], None],
    say: Callable[[str], None],
) -> tuple[TrialPlan, ...]:
    """Runs what is left of a calibration, and plans the measured trials; all plans are in the folder, and in run.json.

    `run` walks a trial whose plan is written to its sealed end, `bring` fetches its files. What the folder holds already
    is not done again: so a calibration that was left in its middle goes on; a trial of it that was cut short is run once
    more. Raises RecordUnreadable when a server's share could not be measured.
    """
    done: list[Judged] = []
    for paths in folder.trials:
        plan = record.read_plan(paths.plan)
        if plan.purpose == "calibration":
            done.append(_one(plan, paths, folder, asked.inventory, run, bring, say))
    while (following := _next(asked, folder, done)) is not None:
        paths = _write(folder, following)
        done.append(_one(following, paths, folder, asked.inventory, run, bring, say))
    found = findings.summed(folder.id, done)
    for _, sentence in findings.sentences(found):
        say(sentence)
    if missing := [server["host"] for server in found["servers"] if server["limit_set"] is None]:
        last = done[-1]
        why = findings.breaks(last) or findings.breaks(last, "UNKNOWN") or "its CPU is unknown"
        raise RecordUnreadable(
            f"the share of {', '.join(missing)} could not be measured: {why}",
            where=f"run {folder.id}",
            kept=f"the calibration trials, in {folder.path}",
            next=f"./inv report --run {folder.id}, which says what is missing; then the same command again",
        )
    settings = [(server["host"], server["limit_set"]) for server in found["servers"]]
    planned = trial_plans.trials(
        asked.experiment, asked.inventory, asked.run, asked.states, len(done) + 1, settings
    )
    here = {paths.name for paths in folder.trials}
    for trial in planned:
        if trial.folder not in here:
            _write(folder, trial)
    return planned


def _write(folder: RunFolder, plan: TrialPlan) -> TrialPaths:
    paths = folder.trial(plan.folder)
    record.write_plan(paths.plan, plan)
    record.add_trial(folder, plan)
    return paths


def _next(asked: Asked, folder: RunFolder, done: list[Judged]) -> TrialPlan | None:
    """The next trial of a calibration: one that was cut short once more, or what follows from all; None: it is over."""
    number = len(done) + 1
    for one in findings.counted(done):
        if state.cut_short(folder.trial(one.plan.folder)):
            return trial_plans.repeat(one.plan, number, trial_plans.CUT_SHORT)
    tried = _following(asked, done)
    if tried is None:
        return None
    return trial_plans.calibration_trial(
        asked.experiment, asked.inventory, asked.run, asked.states, number, tried
    )


def _following(asked: Asked, done: list[Judged]) -> Try | None:
    if not done:
        return trial_plans.first_try(asked.experiment, asked.inventory)
    limit = done[0].plan.limit
    scale = limiters.load(limit.kind).scale
    assert scale is not None, "plan.arms refuses to calibrate such a limiter"
    return calibration.following(limit.percent, findings.measured(done), len(findings.counted(done)), scale)


def _one(
    plan: TrialPlan,
    paths: TrialPaths,
    folder: RunFolder,
    inventory: Inventory,
    run: Callable[[TrialPlan], None],
    bring: Callable[[TrialPlan], None],
    say: Callable[[str], None],
) -> Judged:
    """Runs a calibration trial unless it was, brings its files unless they are here, and judges it."""
    if not (state.sealed(paths) or (state.watched(paths) and state.fetched(paths))):
        run(plan)
    if not state.fetched(paths):
        bring(plan)
    judged = trials_judged.judge(paths, plan, inventory, lambda kind: folder.table(kind, paths.name))
    said = limiters.load(plan.limit.kind).said
    got = [
        f"{host} {said(plan.limit_at(host))} "
        + (f"gave {share:.1f} %" if share is not None else "is not known")
        for host, share in findings.shares(judged).items()
    ]
    cut = f"; {trial_plans.CUT_SHORT}" if state.cut_short(paths) else ""
    say(f"{plan.because.partition(':')[0]}: {', '.join(got)}{cut}")
    return judged


def fetched(fleet: Fleet, folder: RunFolder, plan: TrialPlan) -> None:
    """Brings the sealed files of one trial. Raises the first host's error."""
    all_good(fetch.fetch(fleet, plan, folder.trial(plan.folder), hosts_of(plan)))
