"""Inventories for the tests of this room."""

from __future__ import annotations

from pathlib import Path

from loadproof.errors import BadInput
from loadproof.plan import hosts, trials
from loadproof.plan.values import Desired, Experiment, Inventory, Platform, States

FOUR = """\
all:
  hosts:
    app1: {ansible_host: 10.0.0.1}
    app2: {ansible_host: 10.0.0.2}
    app3: {ansible_host: 10.0.0.3}
    proxy1: {ansible_host: 10.0.0.10}
    load1: {ansible_host: 10.0.0.20}
  children:
    app: {hosts: {app1: , app2: , app3: }}
    proxy: {hosts: {proxy1: }}
    load: {hosts: {load1: }}
"""
PLATFORM = Platform("3.11", "x86_64", (2, 36), "a70d0d0a")
ROOT = Path(__file__).resolve().parents[2]


def inventory(folder: Path, text: str = FOUR, groups: dict[str, str] | None = None) -> Inventory:
    """Read this text as an inventory file."""
    path = folder / "hosts.yml"
    path.write_text(text)
    return hosts.read(path, groups)


def rejected(folder: Path, text: str, groups: dict[str, str] | None = None) -> list[str]:
    """The problems of this text, as "line: sentence"; fails when it is accepted."""
    try:
        found = inventory(folder, text, groups)
    except BadInput as error:
        assert error.exit_code == 64
        assert error.kept == "nothing was touched"
        assert error.next
        return [str(problem).replace(f"{folder}/hosts.yml", "") for problem in error.problems]
    raise AssertionError(f"accepted: {found}")


def platforms(known: Inventory) -> dict[str, Platform]:
    """The same platform for every host."""
    return {host.name: PLATFORM for host in known.hosts}


def states(asked: Experiment, known: Inventory) -> States:
    """Desired states that are told apart by the names of their servers, and hold nothing."""
    placed = [*trials.placed(asked, known), *([trials.calibrating(asked, known)] if asked.calibrate else [])]
    return {one.state: Desired("+".join(one.apps), (), one.arm.serving.variant, one.apps) for one in placed}
