"""The app's packages as a host has them, and servers that end with the test."""

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

from app import data
from tests.app.server import AppServer

REPO = Path(__file__).resolve().parents[2]
LOCK = REPO / "locks" / "app.lock"
GIVEN = "LOADPROOF_TEST_APP_TREE"
ROWS = 50


@pytest.fixture(scope="session")
def app_tree() -> Path:
    """A folder with the packages of locks/app.lock: $LOADPROOF_TEST_APP_TREE, or installed into .cache."""
    if given := os.environ.get(GIVEN):
        return Path(given)
    recipe = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:16]
    tree = REPO / ".cache" / "test-trees" / f"app-{recipe}"
    tree.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{tree}.lock"):
        if not tree.exists():
            install(tree)
    return tree


def install(tree: Path) -> None:
    building = tree.with_name(f"{tree.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "--quiet", "--compile"]
    command = [sys.executable, "-m", "pip", "install", "--target", str(building), *options, "-r", str(LOCK)]
    subprocess.run(command, check=True, timeout=250)
    building.rename(tree)


@pytest.fixture(scope="session")
def items_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data file of ROWS rows."""
    path = tmp_path_factory.mktemp("data") / "items.parquet"
    data.write(path, ROWS, 1)
    return path


@pytest.fixture
def serve(app_tree: Path, items_file: Path, tmp_path: Path) -> Iterator[Callable[..., AppServer]]:
    """Starts servers (arguments of `AppServer`); their processes end with the test."""
    made: list[AppServer] = []

    def start(variant: str = "plain", **more: object) -> AppServer:
        folder = tmp_path / f"server{len(made)}"
        folder.mkdir()
        made.append(AppServer(app_tree, folder, variant, items_file, **more))  # type: ignore[arg-type]
        return made[-1].wait_until_listening()

    yield start
    for server in made:
        server.end()
