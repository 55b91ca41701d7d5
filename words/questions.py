"""Words that answer a question by many trials."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.context import Context

from words.given import CAPACITY_HELP, INVENTORY_HELP, LOAD_HELP, command_line, flags
from words.places import (
    LAB_INVENTORY,
    RESULTS,
    ROOT,
    hosts_for,
    lab_that_lives,
    lab_up,
    open_inventory,
    planned_for,
)
from words.talk import finish, give, say, watcher
from words.word import word

if TYPE_CHECKING:
    from loadproof.campaign.bench import Watcher
    from loadproof.errors import Problem
    from loadproof.plan.values import Experiment, Inventory
    from loadproof.runfolder.paths import RunFolder
    from loadproof.runfolder.record import RunRecord


@word(more={name: LOAD_HELP[name] for name in ("limiter", "calibrate", "steal")}, help=INVENTORY_HELP)
def demo(context: Context, inventory: str = "", i: str = "", group: str = "", **limit: Any) -> None:
    """The experiment `quick`, on local hosts: does a second server raise throughput? Report and verdict in minutes."""
    from loadproof.plan import experiment

    asked = experiment.named("quick", flags({**limit, "name": "demo"}))
    hosts = open_inventory(inventory or i, group, bring_up=True)
    conduct_experiment(asked, hosts)


@word(
    iterable=["set"],
    help={
        **INVENTORY_HELP,
        "name": "of experiments/NAME.yml, or the path of another file",
        "set": "a value in place of the file's: key=value, or factors.key=a,b; again for several",
        "repeats": "blocks: how often each arm is run",
        "dry_run": "say what would be run, and touch nothing",
        "resume": "go on with a run that was left (default: the newest), instead of a new one",
    },
)
def experiment(
    context: Context,
    name: str = "",
    set: Any = None,
    repeats: str = "",
    dry_run: bool = False,
    resume: bool = False,
    inventory: str = "",
    i: str = "",
    group: str = "",
) -> None:
    """Answer a question: every arm in balanced blocks, fetched and judged one by one, a ratio with its interval."""
    from loadproof.console import experiment as show
    from loadproof.plan import experiment as experiments

    if resume:
        others = {"set": ",".join(set or []), "repeats": repeats, "dry-run": dry_run}
        return go_on(name, flags({**others, "inventory": inventory or i, "group": group}))
    asked = experiments.named(name, flags({"repeats": repeats}), set or ())
    if dry_run:
        give(show.before(asked, planned_for(asked, inventory or i, group)))
        return None
    return conduct_experiment(asked, hosts_for(asked, inventory or i, group))


@word(
    more=CAPACITY_HELP,
    help={
        **INVENTORY_HELP,
        "dry_run": "say what would be run, and touch nothing",
        "resume": "go on with a search that was left, instead of a new one",
        "run": "with --resume: a run's id, its folder, or -1 (default: the newest)",
    },
)
def capacity(
    context: Context,
    dry_run: bool = False,
    resume: bool = False,
    run: str = "",
    inventory: str = "",
    i: str = "",
    group: str = "",
    **given: Any,
) -> None:
    """The most users with --p95 500ms, say: searched for, then shown in fresh trials with 95 % confidence."""
    from loadproof.console import capacity as show
    from loadproof.plan import experiment as experiments

    if resume or run:
        others = {**given, "dry_run": dry_run, "inventory": inventory or i, "group": group}
        return search_on(run, flags(others))
    asked = experiments.capacity_search(flags(given))
    if dry_run:
        planned_for(asked, inventory or i, group)
        give(show.before(asked))
        return None
    return conduct_experiment(asked, hosts_for(asked, inventory or i, group))


@word(help={"run": "a run's id, its folder, or -1 for the newest folder; default: the newest run"})
def rerun(context: Context, run: str = "") -> None:
    """Run an experiment again as it is recorded, on the same hosts, and compare it with the first time."""
    from loadproof.campaign import collect
    from loadproof.console import against as show
    from loadproof.control import provenance
    from loadproof.runfolder import record
    from loadproof.runfolder.paths import RunFolder

    before = RunFolder.open(RESULTS, run or "latest")
    known = record.read_run(before)
    _need_experiment(before, known)
    first = collect.found_of(before)  # without it nothing could be compared
    commit = provenance.collect(ROOT).commit
    if commit != known.provenance.get("commit"):
        say(
            f"note: this clone is at {str(commit)[:12]}, that run was made with {str(known.provenance.get('commit'))[:12]}"
        )
    if Path(known.inventory.path).resolve() == LAB_INVENTORY:
        lab_up()
    with lab_that_lives(known.inventory):
        after, results, report = carried_out(known.experiment, known.inventory)
    give(show.against(collect.against(before, after, first)))
    finish(results, report, as_json=False)


def conduct_experiment(asked: Experiment, hosts: Inventory) -> None:
    """Runs an experiment, after saying what that will be, and ends with its summary."""
    _, results, report = carried_out(asked, hosts)
    finish(results, report, as_json=False)


def carried_out(asked: Experiment, hosts: Inventory) -> tuple[RunFolder, Mapping[str, Any], Path]:
    """Runs an experiment, after saying what that will be: its folder, results and report."""
    from loadproof.campaign import capacity as capacities
    from loadproof.campaign import collect
    from loadproof.campaign import experiment as experiments
    from loadproof.console import capacity as show_search
    from loadproof.console import experiment as show
    from loadproof.control import signals

    say(show_search.before(asked) if asked.capacity else show.before(asked, hosts))
    room = capacities if asked.capacity else experiments
    folder = room.run(asked, hosts, ROOT, RESULTS, command_line(), watcher(sys.stderr.isatty()))
    say("\nfetching and analysing ...")
    with signals.ending(
        asked.name, kept=f"run {folder.id}, sealed", next=f"./inv fetch-results --run {folder.id}"
    ):
        return folder, *collect.fetch_and_analyse(folder, hosts)


def go_on(run: str, others: Mapping[str, str]) -> None:
    """Goes on with an experiment that was left in its middle."""
    from loadproof.campaign import experiment as experiments
    from loadproof.errors import BadInput, Problem
    from loadproof.runfolder import record
    from loadproof.runfolder.paths import RunFolder

    problems, next = _changed(others), "./inv experiment --resume [RUN]"
    folder = RunFolder.open(RESULTS, run or "latest")
    if record.read_run(folder).experiment.capacity is not None:
        problems.append(Problem(f"run {folder.id} searches for a capacity", "RUN"))
        next = f"./inv capacity --resume --run {folder.id}"
    if _rehearsed(folder):
        problems.append(Problem(f"run {folder.id} is a rehearsal, of one trial", "RUN"))
        next = f"./inv attach --run {folder.id}"
    if problems:
        raise BadInput(problems, next=next)
    _to_its_end(folder, experiments.resume)


def search_on(run: str, others: Mapping[str, str]) -> None:
    """Goes on with a search for a capacity that was left in its middle."""
    from loadproof.campaign import capacity as capacities
    from loadproof.errors import BadInput, Problem
    from loadproof.runfolder import record
    from loadproof.runfolder.paths import RunFolder

    problems = _changed(others)
    folder = RunFolder.open(RESULTS, run or "latest")
    if record.read_run(folder).experiment.capacity is None:
        problems.append(Problem(f"run {folder.id} searches for no capacity", "--run"))
    if problems:
        raise BadInput(problems, next="./inv capacity --resume [--run RUN]")
    _to_its_end(folder, capacities.resume)


def _need_experiment(folder: RunFolder, known: RunRecord) -> None:
    """Refuses to run again what is no experiment."""
    from loadproof.errors import BadInput, Problem

    if known.sources:
        runs = ", ".join(Path(one).name for one in known.sources)
        raise BadInput(
            [Problem(f"run {folder.id} is a report of others: {runs}", "RUN")],
            next=f"./inv rerun {Path(known.sources[0]).name}",
        )
    if _rehearsed(folder):
        raise BadInput(
            [Problem(f"run {folder.id} is a rehearsal: what it broke is no part of an experiment", "RUN")],
            next="./inv rehearse",
        )


def _rehearsed(folder: RunFolder) -> bool:
    """Whether something was broken in a run, to see who notices."""
    from loadproof.campaign import state

    return any(plan.faults for plan in state.plans(folder).values())


def _changed(others: Mapping[str, str]) -> list[Problem]:
    from loadproof.errors import Problem

    return [Problem("a run that goes on is what it was planned to be", f"--{one}") for one in others]


def _to_its_end(folder: RunFolder, resume: Callable[[RunFolder, Path, Watcher], Any]) -> None:
    from loadproof.campaign import collect, state

    hosts = state.hosts_of_run(folder)
    with lab_that_lives(hosts):
        resume(folder, ROOT, watcher(sys.stderr.isatty()))
        results, report = collect.fetch_and_analyse(folder, hosts)
    finish(results, report, as_json=False)
