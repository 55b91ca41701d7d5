"""The app's packages as a host has them, and servers that end with the test."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import data
from tests.app.server import AppServer
from tests.trees import tree

REPO = Path(__file__).resolve().parents[2]
ROWS = 50


@pytest.fixture(scope="session")
def app_tree() -> Path:
    """The packages of locks/app.lock."""
    return tree("app")


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
