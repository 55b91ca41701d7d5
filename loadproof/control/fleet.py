"""Many hosts at once: one Remote per host, opened side by side, one failure being one host's answer."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from loadproof.control.link import Jumps
from loadproof.control.remote import Remote, connect
from loadproof.errors import LoadproofError
from loadproof.plan.values import Host, Inventory

T = TypeVar("T")
LIMIT = 64


def each(hosts: Iterable[Host], fn: Callable[[Host], T], limit: int = LIMIT) -> dict[str, T | LoadproofError]:
    """`fn` of every host, at most `limit` at a time; results or errors by inventory name, in the order given.

    Only LoadproofError is a host's answer; any other exception is our own fault and is raised.
    """
    known = list(hosts)

    def one(host: Host) -> T | LoadproofError:
        try:
            return fn(host)
        except LoadproofError as error:
            return error

    if len(known) == 1:
        return {known[0].name: one(known[0])}
    pool = ThreadPoolExecutor(max(1, min(limit, len(known))), thread_name_prefix="host")
    try:
        futures = [(host.name, pool.submit(one, host)) for host in known]
        return {name: future.result() for name, future in futures}
    finally:
        # a signal raised here must not wait for hosts that nobody needs any more
        pool.shutdown(wait=False, cancel_futures=True)


def good(results: Mapping[str, T | LoadproofError]) -> dict[str, T]:
    """The results of the hosts that did not fail."""
    return {name: result for name, result in results.items() if not isinstance(result, LoadproofError)}


def first_error(results: Mapping[str, T | LoadproofError]) -> LoadproofError | None:
    """The error of the first host that failed."""
    return next((result for result in results.values() if isinstance(result, LoadproofError)), None)


def all_good(results: Mapping[str, T | LoadproofError]) -> dict[str, T]:
    """The results, or the error of the first host that failed, raised."""
    error = first_error(results)
    if error is not None:
        others = [name for name, result in results.items() if isinstance(result, LoadproofError)]
        if len(others) > 1:
            error.where += f" (and {len(others) - 1} more: {', '.join(others[1:])})"
        raise error
    return good(results)


class Fleet:
    """The hosts of an inventory with one Remote each, made when first asked for and closed together."""

    def __init__(
        self, inventory: Inventory, opener: Callable[[Host], Remote] | None = None, limit: int = LIMIT
    ) -> None:
        self.inventory = inventory
        self.limit = limit
        self._jumps = Jumps()
        self._opener = opener or (lambda host: connect(host, self._jumps))
        self._remotes: dict[str, Remote] = {}
        self._lock = threading.Lock()

    def remote(self, name: str) -> Remote:
        """The Remote of a host, the same one at each call. Raises KeyError for no such host."""
        host = self.inventory.host(name)
        with self._lock:
            if name not in self._remotes:
                self._remotes[name] = self._opener(host)
            return self._remotes[name]

    def hosts(self, names: Iterable[str] | None = None) -> tuple[Host, ...]:
        """The hosts of these names in inventory order; None: all."""
        wanted = None if names is None else set(names)
        return tuple(host for host in self.inventory.hosts if wanted is None or host.name in wanted)

    def each(
        self, fn: Callable[[Remote], T], names: Iterable[str] | None = None
    ) -> dict[str, T | LoadproofError]:
        """`fn` of the Remote of every host (or of these), side by side; see `each`."""
        return each(self.hosts(names), lambda host: fn(self.remote(host.name)), self.limit)

    def close(self) -> None:
        """End all connections, then those of the jump hosts."""
        with self._lock:
            remotes = list(self._remotes.values())
            self._remotes.clear()
        for remote in remotes:
            remote.close()
        self._jumps.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
