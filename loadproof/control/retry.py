"""A Remote that tries again to connect, and never repeats a command whose outcome is unknown."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import stamina

from loadproof.control.remote import ConnectionDropped, Finished, Remote
from loadproof.plan.values import Host

T = TypeVar("T")
ATTEMPTS, WITHIN_S = 4, 6.0

# The person sees the last failure as an error of ours; each earlier one is no news.
logging.getLogger("stamina").addHandler(logging.NullHandler())
logging.getLogger("stamina").propagate = False


class RetryingRemote:
    """Wraps a Remote. Only ConnectionDropped is tried again: it says that nothing ran and that it may pass."""

    def __init__(self, inner: Remote, attempts: int = ATTEMPTS, wait_s: float = 0.2) -> None:
        self._inner = inner
        self._retry = stamina.RetryingCaller(
            attempts=attempts, timeout=WITHIN_S, wait_initial=wait_s, wait_max=2.0, wait_jitter=wait_s
        ).on(ConnectionDropped)

    @property
    def host(self) -> Host:
        """The host it speaks to."""
        return self._inner.host

    def run(self, command: str, within: float, stdin: str = "") -> Finished:
        """Run a shell command; see Remote."""
        return self._again(lambda: self._inner.run(command, within, stdin))

    def put(self, data: bytes | Path, path: str, mode: int = 0o644) -> None:
        """Write a file; see Remote."""
        self._again(lambda: self._inner.put(data, path, mode))

    def fetch(self, path: str, into: Path) -> None:
        """Copy a file; see Remote."""
        self._again(lambda: self._inner.fetch(path, into))

    def close(self) -> None:
        """End the connection."""
        self._inner.close()

    def _again(self, verb: Callable[[], T]) -> T:
        return self._retry(verb)
