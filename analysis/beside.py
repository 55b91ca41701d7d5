"""Work of two kinds beside each other: numpy, Arrow and files leave Python's lock alone most of the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def ahead(makes: Iterable[Callable[[], T]]) -> Iterator[T]:
    """What each function gives, in order: one is made in another thread while the one before it is used."""
    with ThreadPoolExecutor(1) as thread:
        waiting: deque[Future[T]] = deque()
        for make in makes:
            waiting.append(thread.submit(make))
            if len(waiting) > 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


@contextmanager
def behind(do: Callable[..., None]) -> Iterator[Callable[..., None]]:
    """Gives a function that has `do` done in another thread, in order, one while the next is made; all is done at the
    end of the block. Raises what `do` raised."""
    with ThreadPoolExecutor(1) as thread:
        pending: deque[Future[None]] = deque()

        def later(*values: Any) -> None:
            while pending:
                pending.popleft().result()
            pending.append(thread.submit(do, *values))

        yield later
        while pending:
            pending.popleft().result()
