"""The option --long, and the lab that stands for all tests of a session."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from lab.config import LabConfig
from lab.down import down
from lab.owner import refuse_foreign
from lab.record import read_record
from lab.up import up

# What a shell starts in the background ignores Ctrl-C, and below nohup the end of the terminal, and so does everything it
# starts: the programs under test are interrupted as from a terminal, whoever started pytest.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests marked `long` too")


# folders and modules that need the lab, or the whole machine: one test at a time
HOSTS = ("lab", "long", "words", "test_remote.py", "test_ssh_lab.py", "test_sudo_lab.py", "test_lab.py")
LAB_FIXTURES = {"lab_inventory", "lab_alone"}


def needs_hosts(nodeid: str) -> bool:
    """Whether a test belongs to those that need hosts."""
    return any(part in HOSTS for part in nodeid.partition("::")[0].split("/"))


class TwoGroups(LoadScopeScheduling):
    """What `inv test` runs beside each other: tests that need hosts, and all others."""

    def _split_scope(self, nodeid: str) -> str:
        return "hosts" if needs_hosts(nodeid) else "others"


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> TwoGroups:
    """With `-n 2` each group has a process."""
    return TwoGroups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --long, tests marked `long` are deselected. Raises UsageError for a test of the lab in the wrong group."""
    for item in items:
        if LAB_FIXTURES & set(getattr(item, "fixturenames", ())) and not needs_hosts(item.nodeid):
            raise pytest.UsageError(
                f"{item.nodeid} uses the lab: its module belongs into HOSTS of tests/conftest.py"
            )
    if config.getoption("--long"):
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if long:
        config.hook.pytest_deselected(items=long)
        items[:] = [item for item in items if not item.get_closest_marker("long")]


@pytest.fixture(scope="session")
def lab_inventory() -> Iterator[Path]:
    """inventory/lab.yml of the standing lab (2 app, 1 proxy, 1 load, or more). Taken down only if it was down."""
    config = LabConfig.of()
    was_there = bool(read_record(config).hosts)
    refuse_foreign(config)
    try:
        yield up(config=config).inventory
    finally:
        if not was_there:
            down(config=config)
