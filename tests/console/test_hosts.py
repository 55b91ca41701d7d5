"""What hosts said, as text."""

from __future__ import annotations

from typing import Any

from loadproof.console import hosts
from loadproof.control import doctor

LOAD = "loadproof-load@.service"


def answer(**more: Any) -> dict[str, Any]:
    return {
        "units": {},
        "trial": None,
        "lock": None,
        "boot_id": "b",
        "pid1_start": 5,
        "realtime_us": 1000,
        **more,
    }


def load(*instances: str) -> dict[str, Any]:
    return {LOAD: {"active": "active", "instances": [f"loadproof-load@{name}.service" for name in instances]}}


def test_a_remedy_can_be_typed() -> None:
    rows = [
        doctor.Finding("h1", "reachable", False, "no", "try: inv trust"),
        doctor.Finding("h2", "Python", True, "ok", "inv trust"),
    ]
    said = hosts.findings(rows, "my.yml", "app=web").splitlines()
    assert said[-1] == "h1: try: ./inv trust -i my.yml --group app=web"


def row(**more: Any) -> str:
    return hosts.status({"h1": answer(**more)}).splitlines()[-1]


def test_workers_are_shown_on_a_host_without_the_master() -> None:
    assert "load@3, load@4" in row(units=load("3", "4"))
    assert "load@master and 4 more" in row(units=load("1", "2", "3", "4", "master"))
    assert "nothing" in row(units={LOAD: {"active": "inactive", "instances": []}})
    assert "load@ failed" in row(units={LOAD: {"active": "failed", "instances": []}})


def test_a_stale_lock_holds_nothing() -> None:
    lock = {"owner": "anna@desk", "run": "R", "until_us": 2000, "boot_id": "b", "pid1_start": 5}
    assert "anna@desk" in row(lock=lock)
    assert "anna" not in row(lock=lock | {"until_us": 999})
    assert "anna" not in row(lock=lock | {"boot_id": "before"})
    assert "anna" in row(lock=lock | {"until_us": 999}, units=load("3"))
