"""A clone whose folder has a space in its name has a lab as any other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.config import LabConfig
from lab.down import down
from lab.status import status
from lab.up import up
from loadproof.control import inventory
from loadproof.control.remote import connect
from tests.lab.asking import left_on_machine, on
from tests.lab.conftest import small

pytestmark = pytest.mark.lab


@pytest.fixture
def spaced(tmp_path: Path, built: str) -> Iterator[LabConfig]:
    config = small(tmp_path, 25, clone="My Projects/100% loadproof")
    try:
        yield config
    finally:
        down(purge=True, config=config)


def test_a_lab_below_a_folder_with_a_space_is_made_answers_and_goes(spaced: LabConfig) -> None:
    assert up(1, None, config=spaced).up
    assert up(config=spaced).changed == () and status(spaced).up
    assert on(spaced, "app1", "hostname") == "app1"
    for host in inventory.read(spaced.inventory).hosts:
        remote = connect(host)
        try:
            assert remote.run("hostname", 10).stdout == f"{host.name}\n"
        finally:
            remote.close()
    down(config=spaced)
    assert left_on_machine(spaced) == []
