"""Whether anything forbids a run, asked of every host before the first one is touched."""

from __future__ import annotations

from loadproof.control import probe
from loadproof.control.apply import refusal
from loadproof.control.fleet import Fleet, all_good
from loadproof.errors import LoadproofError
from loadproof.plan import blockers, changes
from loadproof.plan.values import Desired


def refuse(fleet: Fleet, desired: Desired) -> None:
    """Raise what blocks a host (a port taken, an old Python, a full disk), or the error of one that cannot be asked.

    A load that runs already is left to the lock, which can say whose it is.
    """
    wanted = {item.host: item for item in desired.hosts}
    found = all_good(probe.ask_all(fleet, {name: changes.question(item) for name, item in wanted.items()}))
    errors: list[LoadproofError] = []
    for name, facts in found.items():
        if problems := blockers.blockers({**facts, "units": {}}, wanted[name]):
            errors.append(refusal(name, problems, "the same command again"))
    if errors:
        errors[0].where += f" (and {len(errors) - 1} more hosts)" if len(errors) > 1 else ""
        raise errors[0]
