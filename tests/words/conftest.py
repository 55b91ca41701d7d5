"""The lab, deployed, for one module of tests at a time; what a test does to a host is undone whatever happens."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.words.words import REPO, Shell, Words


@pytest.fixture(scope="module")
def lab_alone(lab_inventory: Path) -> Iterator[Path]:
    """The lab's inventory while no other session of tests on this machine uses its hosts."""
    with FileLock(REPO / ".cache" / "lab-tests.lock", timeout=280):
        yield lab_inventory


@pytest.fixture(scope="module")
def shell(lab_alone: Path) -> Iterator[Shell]:
    """Plain ssh to the lab's hosts."""
    with tempfile.TemporaryDirectory(prefix="lp-ssh-") as control:  # a socket's path must be short
        made = Shell(lab_alone, Path(control))
        yield made
        made.close()


@pytest.fixture(scope="module")
def words(lab_alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Words:
    """`./inv` on the lab, every host deployed."""
    made = Words(tmp_path_factory.mktemp("results"), lab_alone)
    said = made.inv("deploy", within_s=200)
    assert said.code == 0, said
    return made
