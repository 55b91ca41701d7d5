"""Work beside other work: in order, so much ahead and no more, and what went wrong is told."""

from __future__ import annotations

import threading

import pytest

from analysis.beside import ahead, behind


@pytest.mark.parametrize(("threads", "more"), [(1, 0), (1, 1), (2, 3)])
def test_ahead_keeps_the_order_and_its_bound(threads: int, more: int) -> None:
    taken, far = 0, []

    def make(number: int) -> int:
        far.append(number - taken)
        return number

    found = []
    for number in ahead((lambda n=n: make(n) for n in range(40)), threads, more):
        found.append(number)
        taken += 1
    assert found == list(range(40))
    # the one that is waited for, those that are made, and those that wait
    assert min(far) >= 0 and max(far) <= 1 + threads + more


def test_ahead_raises_what_a_function_raised_at_its_place() -> None:
    def make(number: int) -> int:
        if number == 3:
            raise OSError("the third")
        return number

    found = []
    with pytest.raises(OSError, match="the third"):
        found.extend(ahead(lambda n=n: make(n) for n in range(6)))
    assert found in ([], [0, 1, 2])


def test_behind_does_all_in_order_in_one_other_thread() -> None:
    done: list[int] = []
    where = set()

    def do(number: int) -> None:
        where.add(threading.current_thread())
        done.append(number)

    with behind(do) as later:
        for number in range(50):
            later(number)
    assert done == list(range(50))
    assert len(where) == 1 and threading.current_thread() not in where


@pytest.mark.parametrize("bad", [0, 7, 9])
def test_behind_raises_what_was_raised(bad: int) -> None:
    def do(number: int) -> None:
        if number == bad:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"), behind(do) as later:
        for number in range(10):
            later(number)
