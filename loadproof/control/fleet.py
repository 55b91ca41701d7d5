"""Many hosts at once: one Remote per host, opened side by side, one failure being one host's answer."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from typing import TypeVar

from loadproof.control import threads
from loadproof.control.link import Jumps
from loadproof.control.remote import Remote, connect
from loadproof.errors import HostUnreachable, LoadproofError
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
    futures: list[Future[T | LoadproofError]] = [Future() for _ in known]
    work = [functools.partial(one, host) for host in known]
    try:
        threads.start(zip(futures, work, strict=True), limit, "host")
        return {host.name: future.result() for host, future in zip(known, futures, strict=True)}
    finally:
        # a signal raised here must not wait for hosts that nobody needs any more
        for future in futures:
            future.cancel()


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
        self._closed = False

    def remote(self, name: str) -> Remote:
        """The Remote of a host, the same one at each call. Raises KeyError for no such host.

        Once closed, HostUnreachable: what still runs in a thread of ours must not open anything again.
        """
        host = self.inventory.host(name)
        with self._lock:
            if self._closed:
                raise HostUnreachable(name, "its connection was closed by us", kept="nothing ran")
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
            self._closed = True
            remotes = list(self._remotes.values())
            self._remotes.clear()
        for remote in remotes:
            remote.close()
        self._jumps.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
