"""Words about single trials: what would be done, done, gone back to, and broken on purpose."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from invoke.context import Context
from invoke.exceptions import Exit

from words.given import INVENTORY_HELP, LOAD_HELP, RUN_HELP, command_line, flags
from words.places import (
    LAB_INVENTORY,
    RESULTS,
    ROOT,
    hosts_for,
    inventory_path,
    lab_that_lives,
    open_inventory,
    say_which,
)
from words.questions import search_on
from words.talk import give, say, watcher
from words.word import word

if TYPE_CHECKING:
    from loadproof.control.conduct import Live


@word(more=LOAD_HELP, help=INVENTORY_HELP)
def bench(context: Context, inventory: str = "", i: str = "", group: str = "", **load: Any) -> None:
    """One trial: deploy the arm, hold each backend to its CPU limit, drive Locust, seal the results on the hosts."""
    from loadproof.campaign import bench as benches
    from loadproof.console import trial as show
    from loadproof.plan import experiment

    asked = experiment.from_flags(flags(load))
    hosts = hosts_for(asked, inventory or i, group)
    say(show.before(asked))
    seen: list[Live] = []
    folder = benches.run(asked, hosts, ROOT, RESULTS, command_line(), watcher(sys.stderr.isatty(), seen))
    say(f"\nsealed on the hosts: run {folder.id}")
    for line in show.live_summary(asked.arms[0].load, seen):
        say(line)
    say("next: ./inv fetch-results")


@word(more=LOAD_HELP, help={**INVENTORY_HELP, "files": "print the rendered files too"})
def plan(
    context: Context,
    inventory: str = "",
    i: str = "",
    group: str = "",
    files: bool = False,
    **load: Any,
) -> None:
    """Show every action and rendered file of a bench, without any ssh."""
    from loadproof.campaign import preview
    from loadproof.console import plan as show
    from loadproof.control import inventory as inventories
    from loadproof.errors import LabUnavailable
    from loadproof.plan import experiment
    from loadproof.plan.flags import groups

    path = inventory_path(inventory or i)
    say_which(path)
    asked = experiment.from_flags(flags(load))
    if path == LAB_INVENTORY and not path.exists():  # no look at its hosts: a plan asks nobody
        raise LabUnavailable(
            "the lab is down", where=str(path), kept="nothing was touched", next="./inv lab.up"
        )
    known = inventories.read(path, groups(group), traffic=True)
    for sentence in known.notes:
        say(f"note: {sentence}")
    give(show.plan(preview.preview(asked, known, ROOT), files))


@word(
    more={"steal": LOAD_HELP["steal"]},
    iterable=["turn"],
    help={
        **INVENTORY_HELP,
        "turn": "a check, a fault, or clean; again for several; default: every fault, and a clean trial",
    },
)
def rehearse(
    context: Context, turn: Any = None, inventory: str = "", i: str = "", group: str = "", **tolerated: Any
) -> None:
    """Prove on the lab that every check can turn: short trials, each with one thing broken on purpose."""
    from lab import owner
    from lab.config import LabConfig
    from loadproof.campaign import rehearse as rehearsals
    from loadproof.console import rehearse as show
    from loadproof.plan import experiment

    names, given = rehearsals.chosen(turn or []), flags(tolerated)
    experiment.rehearsal(rehearsals.CLEAN, {}, given)  # what is wrong with flags, before hosts are asked
    hosts = open_inventory(inventory or i, group, bring_up=True)
    rehearsals.refuse_elsewhere(hosts, owner.is_lab(LabConfig.of(), hosts))
    found: list[Any] = []

    def tell(some: Sequence[Any], folder: Any) -> None:
        found.extend(some)
        if len(found) == len(some):
            give(show.header())
        give(show.rows(some, folder.id if folder else ""))

    green = rehearsals.rehearse(
        names, hosts, ROOT, RESULTS, command_line(), watcher(sys.stderr.isatty()), tell, given
    )
    say("\n" + show.ending(found, len(names)))
    if not green:
        raise Exit(code=2)


@word(help={"run": RUN_HELP["run"]})
def attach(context: Context, run: str = "") -> None:
    """Come back to a run whose control machine went away: watch its load to the end, close it, go on."""
    from loadproof.campaign import attach as attaching
    from loadproof.campaign import state
    from loadproof.runfolder.paths import RunFolder

    folder = RunFolder.open(RESULTS, run or "latest")
    if state.here(folder):
        say(f"fetched already: run {folder.id}; no host was asked")
        say(f"next: ./inv report --run {folder.id}")
        return
    if state.searching(folder):
        search_on(folder.id, {})
        return
    with lab_that_lives(state.hosts_of_run(folder)):
        attaching.attach(folder, ROOT, watcher(sys.stderr.isatty()))
    say(f"\nsealed on the hosts: run {folder.id}")
    say(f"next: ./inv fetch-results --run {folder.id}")
