"""The load tree: what locks/load.lock installs, as a host has it. Built once, kept in the clone's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.loadtests.fleet import Fleet

REPO = Path(__file__).resolve().parents[2]
LOCK = REPO / "locks" / "load.lock"
GIVEN = "LOADPROOF_TEST_LOAD_TREE"


@pytest.fixture(scope="session")
def load_tree() -> Path:
    """A folder with the packages of locks/load.lock: $LOADPROOF_TEST_LOAD_TREE, or installed into .cache."""
    if given := os.environ.get(GIVEN):
        return Path(given)
    recipe = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    tree = REPO / ".cache" / "test-trees" / f"load-{recipe}"
    tree.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{tree}.lock"):
        if not tree.exists():
            _install(tree)
    return tree


def _install(tree: Path) -> None:
    building = tree.with_name(f"{tree.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--quiet", "--compile"]
    command = [sys.executable, "-m", "pip", "install", "--target", str(building), *options, "-r", str(LOCK)]
    subprocess.run(command, check=True, timeout=250)
    building.rename(tree)


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
