"""Which hosts and which folder a word is about; the lab, where the inventory is the lab's."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from invoke.exceptions import Exit

from words.talk import agreed, say

if TYPE_CHECKING:
    from loadproof.plan.values import Experiment, Inventory

ROOT = Path(__file__).resolve().parent.parent

RESULTS = Path(os.environ.get("LOADPROOF_RESULTS") or ROOT / "results")

LAB_INVENTORY = ROOT / "inventory" / "lab.yml"


def inventory_path(given: str) -> Path:
    """-i, else $LOADPROOF_INVENTORY, else inventory/hosts.yml, else the lab."""
    for path in (given, os.environ.get("LOADPROOF_INVENTORY", "")):
        if path:
            return LAB_INVENTORY if Path(path).resolve() == LAB_INVENTORY else Path(path)
    own = ROOT / "inventory" / "hosts.yml"
    return own if own.exists() else LAB_INVENTORY


def say_which(path: Path) -> None:
    """Names the inventory, first of all."""
    say(f"inventory: {path}" + (" (the lab)" if path == LAB_INVENTORY else ""))


def open_inventory(
    given: str, group: str, bring_up: bool = False, planned: Callable[[Inventory], None] | None = None
) -> Inventory:
    """Reads the inventory, naming it first; the lab is brought up only by demo, deploy and bench.

    `planned` is told what hosts the lab will have before anything is made, and raises when they will not do.
    """
    from loadproof.control import inventory
    from loadproof.plan.flags import groups

    path = inventory_path(given)
    say_which(path)
    if path == LAB_INVENTORY:
        if bring_up:
            lab_up(planned=planned)
        else:
            need_lab()
    known = inventory.read(path, groups(group), traffic=bring_up)
    for note in known.notes:
        say(f"note: {note}")
    return known


def hosts_for(asked: Experiment, given: str, group: str) -> Inventory:
    """The inventory of a measurement, which has the servers that are asked; the lab is brought up."""
    from loadproof.plan import trials

    return open_inventory(given, group, bring_up=True, planned=lambda lab: trials.enough_servers(asked, lab))


def planned_for(asked: Experiment, given: str, group: str) -> Inventory | None:
    """The inventory of a measurement that is only said, where one was named: read, and nothing is asked of its hosts."""
    from loadproof.control import inventory
    from loadproof.plan import trials
    from loadproof.plan.flags import groups

    if not (given or group):
        return None
    path = inventory_path(given)
    say_which(path)
    known = inventory.read(path, groups(group))
    trials.enough_servers(asked, known)
    return known


def lab_up(
    app: int | None = None, load: int | None = None, planned: Callable[[Inventory], None] | None = None
) -> None:
    """Brings the lab up, after saying what that installs and makes."""
    from lab import up
    from loadproof.plan.values import Host, Inventory

    needs = up.needed(app=app, load=load)
    if planned is not None:
        hosts = tuple(Host(one.name, (one.role,), one.address) for one in needs.all_hosts)
        planned(Inventory(str(LAB_INVENTORY), hosts))
    missing = needs.lines()
    if missing:
        say("the lab (local hosts on this machine) is down or not whole; bringing it up will:")
        for line in missing:
            say(f"  {line}")
        if not agreed("Go on?"):
            raise Exit("nothing was touched", code=4)
    state = up.up(app=app, load=load, say=lambda text: say(f"  {text}"))
    say(f"lab: {len(state.hosts)} hosts answer on {state.bridge} ({state.net})")


def need_lab() -> None:
    """Some host of the lab must live; what is wrong with the others is said. Raises LabUnavailable."""
    from lab import status
    from loadproof.errors import LabUnavailable

    state = status.status()
    if not any(host.pid for host in state.hosts) or not LAB_INVENTORY.exists():
        theirs = f"; the lab on this machine is of {state.owner}" if state.owner and not state.hosts else ""
        what = "the lab is not whole" if any(host.pid for host in state.hosts) else "the lab is down"
        raise LabUnavailable(
            what + theirs, where=str(LAB_INVENTORY), kept="nothing was touched", next="./inv lab.up"
        )
    for host in state.hosts:
        if host.trouble:
            say(f"note: {host.host.name}: {host.trouble}")


@contextmanager
def lab_that_lives(hosts: Inventory) -> Iterator[None]:
    """Where hosts of the lab cannot be reached because it is down, that is said instead."""
    from loadproof.errors import HostUnreachable

    try:
        yield
    except HostUnreachable:
        if Path(hosts.path).resolve() == LAB_INVENTORY:
            need_lab()
        raise
