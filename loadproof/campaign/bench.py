"""Runs an experiment: every arm's trial, one after the other, each from reset to sealed files on every host."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from loadproof.campaign import rates
from loadproof.control import apply, blocked, conduct, lock, probe, provenance, signals
from loadproof.control.fleet import Fleet
from loadproof.errors import LoadproofError, Refused
from loadproof.plan import calibration, capacity, drift, faults
from loadproof.plan import desired as desired_state
from loadproof.plan import trials as trial_plans
from loadproof.plan.actions import hosts_of
from loadproof.plan.values import Desired, Experiment, Inventory, States, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.hold import conducted
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder, TrialPaths


@dataclass(frozen=True)
class Watcher:
    """Who is told what happens: sentences, the plan of a trial before it starts, live figures, the end of a trial."""

    say: Callable[[str], None]
    trial: Callable[[TrialPlan, int, int], None]
    live: Callable[[conduct.Live], None]


# What is done when a trial was sealed; a trial that it gives was planned, and is run next.
After = Callable[[TrialPlan, RunFolder, Fleet], TrialPlan | None]


def nothing(trial: TrialPlan, folder: RunFolder, fleet: Fleet) -> None:
    """A bench leaves its trial sealed on the hosts."""


@dataclass(frozen=True)
class Decided:
    """Everything decided before anything is touched."""

    experiment: Experiment
    inventory: Inventory
    states: States
    trials: tuple[TrialPlan, ...]

    def desired(self, trial: TrialPlan) -> Desired:
        """The state in which a trial finds its hosts."""
        return self.states[trial.state]


def states(experiment: Experiment, inventory: Inventory, fleet: Fleet, root: Path) -> States:
    """The desired state of every trial. Undeclared platforms are asked of the hosts first; nothing is changed."""
    trial_plans.enough_servers(experiment, inventory)
    platforms = probe.platforms(fleet, inventory, root)
    return desired_state.states(experiment, inventory, platforms, root)


def decide(
    experiment: Experiment, inventory: Inventory, run: str, states: States, fault: str = ""
) -> Decided:
    """Plans all trials of a run; each with the `fault`, if it is a rehearsal's."""
    planned = trial_plans.trials(experiment, inventory, run, states)
    if fault:
        planned = tuple(faults.into(trial, fault) for trial in planned)
    return Decided(experiment, inventory, states, planned)


def run(
    experiment: Experiment,
    inventory: Inventory,
    root: Path,
    results: Path,
    command: Sequence[str],
    watcher: Watcher,
    fault: str = "",
    after: After = nothing,
) -> RunFolder:
    """One run: its folder, with every trial sealed on the hosts. What is fetched, `after` does. Only a rehearsal names a
    `fault`, and only of the lab's hosts."""
    with signals.handled() as handled, Fleet(inventory) as fleet:
        wanted = states(experiment, inventory, fleet, root)
        blocked.refuse(fleet, max(wanted.values(), key=lambda state: len(state.apps)))
        # only now: a run that could not even be planned leaves no folder behind
        folder = RunFolder.create(results, experiment.name, datetime.now(UTC))
        handled.run, handled.goes_on = folder.id, goes_on(experiment, folder, after)
        with explained(folder):
            decided = decide(experiment, inventory, folder.id, wanted, fault)
            begin = _calibrating(decided) if experiment.calibrate else decided.trials
            record.write_run(folder, experiment, inventory, provenance.collect(root), command, begin)
            for trial in begin:
                record.write_plan(folder.trial(trial.folder).plan, trial)
            locked = lock.held(fleet, _all_hosts(decided), folder.id, held_s(decided))
            with forgotten_if_refused(folder), conducted(folder), locked:
                if experiment.calibrate:
                    decided = calibrated(decided, folder, fleet, root, watcher, handled)
                walk(decided.trials, decided, folder, fleet, root, watcher, handled, after)
    return folder


def goes_on(experiment: Experiment, folder: RunFolder, after: After) -> str:
    """The command that takes up a run whose trials are judged one by one; "" for others."""
    if after is nothing:
        return ""
    return (
        f"./inv capacity --resume --run {folder.id}"
        if experiment.capacity
        else f"./inv experiment --resume {folder.id}"
    )


def walk(
    trials: Sequence[TrialPlan],
    decided: Decided,
    folder: RunFolder,
    fleet: Fleet,
    root: Path,
    watcher: Watcher,
    handled: signals.Signals,
    after: After = nothing,
) -> None:
    """Trials one after the other, whose plans are written already; and those that follow from them."""
    left, done = deque(trials), 0
    while left:
        trial = left.popleft()
        done += 1
        watcher.trial(trial, done, done + len(left))
        one(trial, decided, folder, fleet, root, watcher, handled, tuple(left))
        if following := after(trial, folder, fleet):
            left.appendleft(following)


def held_s(decided: Decided) -> float:
    """How long the hosts are locked for a run at most."""
    hold = sum(trial.planned_s + trial.margin_s for trial in decided.trials)
    if asked := decided.experiment.capacity:
        # every trial of the search repeated, and as long as one may be
        longest = max(one.planned_s + one.margin_s for one in decided.trials) + capacity.LONGEST_HOLD_S
        hold += 2 * capacity.most_trials(asked) * longest
    if decided.experiment.calibrate:
        hold += calibration.most_s() + calibration.MOST_TRIALS * max(one.margin_s for one in decided.trials)
    return hold + 600


def _calibrating(decided: Decided) -> tuple[TrialPlan, ...]:
    """The one trial of a calibration that is known before anything is measured."""
    hosts, run = decided.inventory, decided.trials[0].run
    tried = trial_plans.first_try(decided.experiment, hosts)
    return (trial_plans.calibration_trial(decided.experiment, hosts, run, decided.states, 1, tried),)


def calibrated(
    decided: Decided, folder: RunFolder, fleet: Fleet, root: Path, watcher: Watcher, handled: signals.Signals
) -> Decided:
    """The run with its measured trials as its calibration, or what is left of that, sets their limits."""
    from loadproof.campaign import calibrate  # analysis takes a second to load: other runs do without

    def walk(trial: TrialPlan) -> None:
        number = int(trial.id)  # with what was cut short and is run once more there may be more
        watcher.trial(trial, number, max(number, calibration.MOST_TRIALS))
        one(trial, decided, folder, fleet, root, watcher, handled, decided.trials)

    def bring(trial: TrialPlan) -> None:
        calibrate.fetched(fleet, folder, trial)

    asked = calibrate.Asked(decided.experiment, decided.inventory, folder.id, decided.states)
    planned = calibrate.go_on(asked, folder, walk, bring, watcher.say)
    return replace(decided, trials=planned)


@contextmanager
def forgotten_if_refused(folder: RunFolder) -> Iterator[None]:
    """A run that found its hosts in use leaves no folder: `latest` stays with the run that has them."""
    try:
        yield
    except Refused:
        if not any(paths.journal.exists() for paths in folder.trials):
            folder.forget()
        raise


@contextmanager
def explained(folder: RunFolder) -> Iterator[None]:
    """Errors say which run they belong to, and what is kept of it."""
    try:
        yield
    except LoadproofError as error:
        if folder.path.exists():
            if folder.id not in error.where:
                error.where = f"{error.where or 'this machine'}, run {folder.id}"
            error.kept = error.kept or str(folder.path)
        raise


def _all_hosts(decided: Decided) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for trial in decided.trials for name in hosts_of(trial)))


def one(
    trial: TrialPlan,
    decided: Decided,
    folder: RunFolder,
    fleet: Fleet,
    root: Path,
    watcher: Watcher,
    handled: signals.Signals,
    left: Sequence[TrialPlan] = (),
) -> None:
    """One trial of a run, whose plan is written already; `left` are known to come after it."""
    paths, rest = folder.trial(trial.folder), replace(decided, trials=(trial, *left))
    # before anything is reset: trials that were repeated make a run longer than its hosts were locked for
    lock.renew(fleet, _all_hosts(rest), folder.id, held_s(rest))
    with Journal(paths.journal) as journal:
        todo, desired = hooks(trial, decided, fleet, root, watcher, paths), decided.desired(trial)
        rates.note(
            trial, decided.inventory, desired, fleet, journal, todo.converge, handled, root, paths.facts, watcher.say
        )  # fmt: skip
        begun = time.monotonic()
        conduct.conduct(trial, decided.inventory, fleet, journal, todo, handled)
        journal.write("trial", "end", seconds=f"{time.monotonic() - begun:.3f}")


def hooks(
    trial: TrialPlan, decided: Decided, fleet: Fleet, root: Path, watcher: Watcher, paths: TrialPaths
) -> conduct.Hooks:
    """What conduct needs from outside for one trial."""
    return conduct.Hooks(
        converge=lambda: converge(fleet, decided.desired(trial), root, trial.run),
        facts=lambda when: _facts(fleet, trial, decided.inventory, paths.facts, when),
        observe=watcher.live,
        say=watcher.say,
        ours=lambda: lock.still_ours(fleet, hosts_of(trial), trial.run),
    )


def converge(fleet: Fleet, desired: Desired, root: Path, run: str) -> None:
    """Brings every host to its desired state; the first host that fails is raised."""
    problems = [
        outcome.problem
        for outcome in apply.converge(fleet, desired, root=root, run=run).values()
        if outcome.problem
    ]
    # a host that was only left alone because of another one is not the cause
    causes = [problem for problem in problems if not isinstance(problem, Refused)] or problems
    if causes:
        raise causes[0]


def _facts(fleet: Fleet, trial: TrialPlan, inventory: Inventory, path: Path, when: str) -> None:
    """Facts and clock offset of every host of a trial, appended to facts.jsonl."""
    questions = {host: drift.question(trial, inventory, host) for host in hosts_of(trial)}
    rows = probe.before_and_after(fleet, questions, when)
    record.append_facts(path, rows)
