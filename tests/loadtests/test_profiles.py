"""Profiles: pure tables of users over time."""

from __future__ import annotations

import subprocess
import sys

import pytest

from loadtests import profiles
from loadtests.profiles import steps


@pytest.mark.parametrize(
    ("users", "initial", "step", "interval", "expected"),
    [
        (99, 9, 9, 5.0, tuple((5.0 * k, 9 * (k + 1)) for k in range(11))),
        (100, 10, 10, 0.8, tuple((round(0.8 * k, 6), 10 * (k + 1)) for k in range(10))),
        (10, 4, 4, 1.0, ((0.0, 4), (1.0, 8), (2.0, 10))),  # the last step is cut
        (5, 9, 9, 1.0, ((0.0, 5),)),  # so is the first
        (5, 5, 0, 0.0, ((0.0, 5),)),  # all at once needs no step
        (1, 1, 1, 1.0, ((0.0, 1),)),
    ],
)
def test_steps(users: int, initial: int, step: int, interval: float, expected: object) -> None:
    assert steps.table(users, initial, step, interval) == expected


@pytest.mark.parametrize(
    ("users", "initial", "step", "interval"),
    [(0, 1, 1, 1), (5, 0, 1, 1), (5, 1, 0, 1), (5, 1, 1, 0), (5, 1, -1, 1)],
)
def test_steps_refuses_what_never_gets_there(users: int, initial: int, step: int, interval: float) -> None:
    with pytest.raises(ValueError, match="users"):
        steps.table(users, initial, step, interval)


@pytest.mark.parametrize("name", profiles.names())
def test_every_profile(name: str) -> None:
    """The contract of the folder: one sentence, and a table that rises from second 0 to exactly its users."""
    module = profiles.find(name)
    assert (module.__doc__ or "").strip().endswith(".")
    for users in (1, 7, 99, 1000):
        table = module.table(users, 9, 9, 0.7)
        assert table[0][0] == 0.0
        assert table[-1][1] == users
        assert all(a[0] < b[0] and a[1] < b[1] for a, b in zip(table, table[1:], strict=False))


def test_unknown_profile() -> None:
    with pytest.raises(KeyError, match="there are: .*steps"):
        profiles.find("stepps")


def test_profiles_need_nothing_installed() -> None:
    code = "import sys, loadtests.profiles.steps; assert 'locust' not in sys.modules and 'gevent' not in sys.modules"
    subprocess.run([sys.executable, "-S", "-c", code], check=True)
