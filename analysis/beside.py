"""Work of two kinds beside each other: numpy, Arrow and files leave Python's lock alone most of the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def ahead(makes: Iterable[Callable[[], T]], threads: int = 1, more: int = 1) -> Iterator[T]:
    """What each function gives, in order: as many as there are threads are made while the one before them is used, and
    `more` of them wait to be used."""
    with ThreadPoolExecutor(threads) as pool:
        waiting: deque[Future[T]] = deque()
        for make in makes:
            waiting.append(pool.submit(make))
            if len(waiting) > threads + more:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def behind(do: Callable[..., None], more: int = 1) -> Iterator[Callable[..., None]]:
    """Gives a function that has `do` done in another thread, in order, one while the next is made, and `more` wait; all
    is done at the end of the block. Raises what `do` raised."""
    with ThreadPoolExecutor(1) as thread:
        pending: deque[Future[None]] = deque()

        def later(*values: Any) -> None:
            while len(pending) > more:
                pending.popleft().result()
            pending.append(thread.submit(do, *values))

        yield later
        while pending:
            pending.popleft().result()
