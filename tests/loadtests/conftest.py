"""The load tree: what locks/load.lock installs, as a host has it. Built once, kept in the clone's cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.loadtests.fleet import Fleet
from tests.trees import tree

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def load_tree() -> Path:
    """The packages of locks/load.lock."""
    return tree("load")


@pytest.fixture
def fleet(load_tree: Path, tmp_path: Path) -> Iterator[Callable[..., Fleet]]:
    """Makes Locust fleets (`Fleet`) that write into the test's folder; all their processes end with the test."""
    made: list[Fleet] = []

    def make(**settings: object) -> Fleet:
        made.append(Fleet(load_tree, REPO, tmp_path / f"fleet{len(made)}", settings))
        return made[-1]

    yield make
    for one in made:
        one.end()
