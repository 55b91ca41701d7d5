"""The summary: what did not hold comes first, and what is withheld is not printed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from loadproof.console import summary

STORED = Path(__file__).resolve().parents[1] / "data" / "runs" / "20261124T031500Z-format1" / "results.json"


def check(name: str, verdict: str, withholds: Any = "trial", said: str = "app1: 9.2 %") -> dict[str, Any]:
    """A check as results.json has it."""
    return {
        "name": name, "verdict": verdict, "value": 9.2, "limit": 8.0, "unit": "%", "said": said,
        "withholds": "" if verdict == "VALID" else withholds, "remedy": "calibrate first",
    }  # fmt: skip


def results(verdict: str, *checks: dict[str, Any]) -> dict[str, Any]:
    """The stored results with these checks on the run and on its first arm."""
    found: dict[str, Any] = json.loads(STORED.read_text())
    found |= {"verdict": verdict, "checks": list(checks), "sentences": []}
    since = {
        "wasted": 7,
        "attribution": {"app/too_late": 7},
        "unexplained": 1,
    }  # what a stored run had not yet
    arm = found["arms"][0]
    found["arms"] = [arm | since | {"checks": list(checks), "whole_run": arm["whole_run"] | since}]
    return found


def row(text: str, name: str) -> str:
    """The cell of a figure."""
    return next(line for line in text.split("\n") if line.startswith(name)).removeprefix(name).strip()


@pytest.mark.parametrize(
    ("verdict", "checks", "first"),
    [
        ("VALID", [check("drift", "VALID")], "VALID"),
        ("VALID", [check("failures", "INVALID", ["mtt_ms"])], "VALID"),
        (
            "INVALID",
            [check("ledger_time", "UNKNOWN"), check("limit_held", "INVALID"), check("drift", "INVALID", said="x")],
            "INVALID: limit_held, drift",
        ),
        ("UNKNOWN", [check("drift", "VALID"), check("drift", "UNKNOWN", said="silent")], "UNKNOWN: drift (silent)"),
    ],
)  # fmt: skip
def test_the_verdict_is_the_first_line(verdict: str, checks: list[dict[str, Any]], first: str) -> None:
    lines = summary.summary(results(verdict, *checks)).split("\n")
    assert lines[0] == first and lines[1].startswith("run ")
    assert any(line.startswith("TPS ") for line in lines)  # the data is printed all the same


def test_failures_are_told_by_the_reason_where_they_began() -> None:
    text = summary.summary(results("VALID"))
    assert row(text, "servers=1   app/too_late").split() == ["7", "7"]
    assert row(text, "servers=1   unexplained").split() == ["1", "1"] and row(text, "wasted") == "7"


def test_each_check_that_did_not_hold_comes_with_its_remedy() -> None:
    text = summary.summary(results("INVALID", check("limit_held", "INVALID"), check("drift", "VALID")))
    assert "check limit_held: INVALID: app1: 9.2 %\n  remedy: calibrate first" in text
    assert "check drift" not in text


def test_withheld_figures_are_dashes_and_say_why() -> None:
    whole = summary.summary(results("VALID"))
    part = summary.summary(results("VALID", check("failures", "INVALID", ["mtt_ms", "p50_ms"])))
    assert row(part, "MTT ms") == "- (failures)" and row(part, "p50 ms") == "- (failures)"
    assert row(part, "MTSD ms") == row(whole, "MTSD ms") and row(whole, "MTT ms") != "- (failures)"
    assert "check failures: INVALID, withholds mtt_ms, p50_ms: app1: 9.2 %" in part


def test_what_hosts_said_is_escaped() -> None:
    text = summary.summary(results("INVALID", check("drift", "INVALID", said="\x1b]0;pwn\x07")))
    assert "\x1b" not in text and "\x07" not in text
