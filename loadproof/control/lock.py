"""One run at a time on a host: the lock of every host of a run, taken all or none."""

from __future__ import annotations

import getpass
import json
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from loadproof.control.fleet import Fleet, first_error, good
from loadproof.control.programs import run_program
from loadproof.control.remote import Remote
from loadproof.errors import HostUnreachable, Interrupted, LinkLost, LoadproofError, Refused

TAKEN = 3
WITHIN_S = 15.0


def owner() -> str:
    """Who holds our locks: user@machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def take(
    fleet: Fleet,
    hosts: Iterable[str],
    run: str,
    seconds: float,
    force: bool = False,
    silent_too: bool = False,
) -> None:
    """Lock these hosts for a run, for at most `seconds`. Raises Refused and holds none when one is taken.

    A host that fails (unreachable, full) releases the others too; its error is raised. With `silent_too` hosts that
    cannot be reached are passed over, unless that is all of them.
    """
    names = tuple(hosts)
    # a length, not a time: our clock and the host's may differ
    wish = {"owner": owner(), "run": run, "seconds": seconds, "force": force}

    def one(remote: Remote) -> dict[str, Any]:
        said = run_program(remote, "lock", "take", json.dumps(wish), within=WITHIN_S, ok=(0, TAKEN))
        if said.exited == TAKEN:
            raise taken(remote.host.name, said.json())
        answer: dict[str, Any] = said.json()
        return answer

    results = fleet.each(one, names)
    judged = {
        name: result
        for name, result in results.items()
        if not isinstance(result, (HostUnreachable, LinkLost))
    }
    error = first_error(judged if silent_too and judged else results)
    if error is not None:
        # a host whose answer was lost may hold our lock as well: releasing what is not held is harmless
        ours = [name for name, result in results.items() if not isinstance(result, Refused)]
        release(fleet, ours, run)
        raise error


def taken(host: str, entry: Mapping[str, Any]) -> Refused:
    """The error that names user, host, since when, and the run."""
    since = when(entry.get("since_us"))
    until = when(entry.get("until_us"))
    return Refused(
        f"{host} is in use by {entry.get('owner', '?')} since {since} for run {entry.get('run', '?')} "
        f"(until {until} at the latest)",
        where=f"host {host}",
        kept="nothing was touched",
        next="inv status, or inv stop if it is yours",
    )


def when(us: Any) -> str:
    """A moment in UTC, for people."""
    if not isinstance(us, (int, float)):
        return "?"
    return f"{datetime.fromtimestamp(us / 1e6, UTC):%Y-%m-%d %H:%M:%S} UTC"


def release(fleet: Fleet, hosts: Iterable[str], run: str) -> dict[str, LoadproofError]:
    """Give hosts back; those that could not be told, by name (their lock ends by itself at its time)."""

    def one(remote: Remote) -> None:
        run_program(remote, "lock", "release", json.dumps({"run": run}), within=WITHIN_S, ok=(0, TAKEN))

    results = fleet.each(one, tuple(hosts))
    return {name: result for name, result in results.items() if isinstance(result, LoadproofError)}


def still_ours(fleet: Fleet, hosts: Iterable[str], run: str) -> None:
    """Raises Refused when a host that we locked is not ours any more: `inv stop` gave it back, or time ran out."""
    for host, said in good(show(fleet, hosts)).items():
        entry = said.get("lock") or {}
        if entry.get("run") != run:
            raise Refused(
                f"{host} is not held for run {run} any more" + (f" but for {entry['run']}" if entry else ""),
                where=f"host {host}",
                kept="what was done so far; no load was started",
                next="inv status, then the same command again",
            )


def renew(fleet: Fleet, hosts: Iterable[str], run: str, seconds: float) -> None:
    """Lock hosts that are ours for `seconds` more. Raises Refused when one is not any more; one that cannot be reached is
    passed over, it says so when something is done to it."""
    names = tuple(hosts)
    still_ours(fleet, names, run)  # what `inv stop` gave back is not taken again
    take(fleet, names, run, seconds, silent_too=True)


@contextmanager
def held(
    fleet: Fleet,
    hosts: Iterable[str],
    run: str,
    seconds: float,
    force: bool = False,
    silent_too: bool = False,
) -> Iterator[None]:
    """Hold the hosts as long as the block runs. A detach (the load runs on) leaves them locked."""
    from loadproof.control.signals import Detached

    names = tuple(hosts)
    try:
        take(fleet, names, run, seconds, force, silent_too)
    except Interrupted:
        release(fleet, names, run)
        raise
    try:
        yield
    except Detached:
        raise
    except BaseException:
        release(fleet, names, run)
        raise
    release(fleet, names, run)


def show(fleet: Fleet, hosts: Iterable[str] | None = None) -> dict[str, dict[str, Any] | LoadproofError]:
    """What lock.py says of each host: {"lock": entry or null, "stale": why or ""}."""

    def one(remote: Remote) -> dict[str, Any]:
        answer: dict[str, Any] = run_program(remote, "lock", "show", within=WITHIN_S).json()
        return answer

    return fleet.each(one, hosts)


def holders(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """The entries of the hosts that are locked and not stale, by name."""
    shown = good(show(fleet))
    return {name: said["lock"] for name, said in shown.items() if said.get("lock") and not said.get("stale")}
