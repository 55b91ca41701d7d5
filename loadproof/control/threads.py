"""Work side by side, in threads that die with the process: the interpreter would wait for those of a pool."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def start(work: Iterable[tuple[Future[T], Callable[[], T]]], limit: int, name: str) -> None:
    """Begin all work in order, at most `limit` at a time; each result or exception goes into its future.

    A future that was cancelled before its turn is never begun.
    """
    left = deque(work)

    def worker() -> None:
        while True:
            try:
                future, one = left.popleft()
            except IndexError:
                return
            fill(future, one)

    for number in range(min(limit, len(left))):
        threading.Thread(target=worker, name=f"{name} {number}", daemon=True).start()


def fill(future: Future[T], one: Callable[[], T]) -> None:
    """Do it, unless it was cancelled."""
    if future.set_running_or_notify_cancel():
        try:
            future.set_result(one())
        except BaseException as error:  # raised where the result is read
            future.set_exception(error)
