"""Brings hosts to their desired state, or says what would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from loadproof.control import apply, lock, probe
from loadproof.control.apply import HostOutcome
from loadproof.control.fleet import Fleet, good
from loadproof.errors import BadInput, LoadproofError, Problem, Refused
from loadproof.plan import allowed, trials
from loadproof.plan import desired as desired_state
from loadproof.plan.values import Experiment, Inventory, Platform

UNKNOWN = Platform("unknown", "unknown", (0, 0), "")


def run(
    experiment: Experiment,
    inventory: Inventory,
    root: Path,
    check: bool,
    only: Sequence[str] = (),
    packages_from: str = "",
    diff: bool = False,
) -> Mapping[str, HostOutcome]:
    """One outcome per host. Raises BadInput as `possible` does."""
    possible(experiment, inventory, only)
    with Fleet(inventory) as fleet:
        found = probe.each_platform(fleet, inventory, root, only or None)
        (desired,) = desired_state.states(
            experiment, inventory, platforms(inventory, good(found)), root
        ).values()
        mark = f"deploy-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        return apply.converge(
            fleet,
            desired,
            check=check,
            hosts=only or None,
            root=root,
            packages_from=packages_from,
            hold=lambda names: lock.held(fleet, names, mark, apply.INSTALL_S, silent_too=True),
            diff=diff,
            unasked={name: error for name, error in found.items() if isinstance(error, LoadproofError)},
        )


def possible(experiment: Experiment, inventory: Inventory, only: Sequence[str]) -> None:
    """Raises BadInput for more servers than there are, or for hosts nobody knows."""
    trials.enough_servers(experiment, inventory)
    named(inventory, only)


def named(inventory: Inventory, only: Sequence[str]) -> None:
    """Raises BadInput for hosts given with --hosts that nobody knows."""
    known = [host.name for host in inventory.hosts]
    unknown = [
        Problem(f"there is no host {name!r}{allowed.did_you_mean(name, known)}", "--hosts")
        for name in only
        if name not in known
    ]
    if unknown:
        raise BadInput(unknown, next=f"name some of {','.join(known)}")


def platforms(inventory: Inventory, found: Mapping[str, Platform]) -> dict[str, Platform]:
    """A platform for every host; those that could not be asked, or were not because of --hosts, are as the others.

    They are not changed: it is only that the deploy id is a hash over all hosts. It stays what it is while a host is
    away, so the others are left as they are; when that host turns out to be another one, so does the id.
    """
    assumed = next(iter(found.values()), UNKNOWN)
    return {host.name: found.get(host.name, assumed) for host in inventory.hosts}


def causes(outcomes: Mapping[str, HostOutcome]) -> list[LoadproofError]:
    """What went wrong, by host; one that was only left alone because of another host is not a cause."""
    problems = [outcome.problem for outcome in outcomes.values() if outcome.problem is not None]
    return [problem for problem in problems if not isinstance(problem, Refused)] or problems
