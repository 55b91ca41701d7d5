"""Brings hosts to their desired state, or says what would change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from loadproof.control import apply, lock, probe
from loadproof.control.apply import HostOutcome
from loadproof.control.fleet import Fleet
from loadproof.errors import BadInput, LoadproofError, Problem, Refused
from loadproof.plan import allowed, trials
from loadproof.plan import desired as desired_state
from loadproof.plan.values import Experiment, Inventory


def run(
    experiment: Experiment,
    inventory: Inventory,
    root: Path,
    check: bool,
    only: Sequence[str] = (),
    packages_from: str = "",
) -> Mapping[str, HostOutcome]:
    """One outcome per host. Raises BadInput as `possible` does."""
    possible(experiment, inventory, only)
    with Fleet(inventory) as fleet:
        platforms = probe.platforms(fleet, inventory, root)
        desired = desired_state.desired(
            inventory,
            experiment.servers[0],
            experiment.variant,
            experiment.rows,
            experiment.seed,
            platforms,
            root,
        )
        mark = f"deploy-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        return apply.converge(
            fleet,
            desired,
            check=check,
            hosts=only or None,
            root=root,
            packages_from=packages_from,
            hold=lambda names: lock.held(fleet, names, mark, apply.INSTALL_S),
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


def causes(outcomes: Mapping[str, HostOutcome]) -> list[LoadproofError]:
    """What went wrong, by host; one that was only left alone because of another host is not a cause."""
    problems = [outcome.problem for outcome in outcomes.values() if outcome.problem is not None]
    return [problem for problem in problems if not isinstance(problem, Refused)] or problems
