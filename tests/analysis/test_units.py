"""What the facts after a load tell of units that did not last as long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis import results
from analysis.readers import units as reader
from loadproof.plan import actions
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.paths import RunFolder, TrialPaths
from tests.analysis import synthetic

PLAN = synthetic.plan(servers=2)
APP, PROXY = "loadproof-app.service", "loadproof-proxy.service"
RUNS = {"active": "active", "result": "success"}


def told(folder: Path, seen: Any, host: str, when: str = "after", plan: TrialPlan = PLAN) -> tuple[str, ...]:
    """What is said when the facts of one host hold these units."""
    line = {"when": when, "host": host, "facts": {"units": seen}}
    (folder / "facts.jsonl").write_text(json.dumps(line) + "\n")
    return reader.notes(TrialPaths(folder), plan)


def test_units_of_a_host_that_does_everything() -> None:
    plan = synthetic.plan(apps=("h",), proxy="h", loads=("h",), workers=(("h", 1),))
    assert actions.units(plan, "h") == {
        PROXY: "nginx",
        APP: "the app",
        "loadproof-load@1.service": "Locust worker 1",
    }
    assert actions.units(plan, "other") == {}


@pytest.mark.parametrize(
    ("host", "unit", "state", "said"),
    [
        ("proxy1", PROXY, {"active": "failed", "result": "signal"}, "nginx was not running any more when the load ended: killed"),
        ("proxy1", PROXY, {"active": "failed", "result": "exit-code"}, "nginx was not running any more when the load ended: exit-code"),
        ("app2", APP, {"active": "inactive", "result": "success"}, "the app was not running any more when the load ended: inactive"),
        ("app2", APP, {"active": "activating", "result": "oom-kill"}, "the app was not running any more when the load ended: killed, out of memory"),
        ("proxy1", PROXY, RUNS, ""),
        ("proxy1", PROXY, {"active": "unknown"}, ""),
        ("proxy1", PROXY, {}, ""),
        ("proxy1", PROXY, 5, ""),
        ("proxy1", APP, {"active": "inactive"}, ""),  # nobody wants an app there
    ],
)  # fmt: skip
def test_nginx_and_apps(tmp_path: Path, host: str, unit: str, state: Any, said: str) -> None:
    assert told(tmp_path, {unit: state}, host) == ((f"{host}: {said}",) if said else ())


@pytest.mark.parametrize(
    ("state", "lost", "said"),
    [
        ({"active": "failed", "result": "signal"}, [2], "Locust worker 2 ended before the load did (killed)"),
        ({"active": "failed", "result": "exit-code"}, [], "Locust worker 2 failed (exit-code)"),
        (RUNS, [2], "Locust worker 2 was lost by its master before the load ended"),
        ({}, [2], "Locust worker 2 was lost by its master before the load ended"),
        ({"active": "inactive", "result": "success"}, [], ""),
        (RUNS, [1, 3], ""),
        (RUNS, 2, ""),
    ],
)
def test_locust_workers(tmp_path: Path, state: Any, lost: Any, said: str) -> None:
    master = tmp_path / "raw" / "load1" / "totals-master.json"
    master.parent.mkdir(parents=True)
    master.write_text(json.dumps({"lost": lost}))
    texts = told(tmp_path, {"loadproof-load@2.service": state}, "load1")
    assert [text for text in texts if "worker 2" in text] == ([f"load1: {said}"] if said else [])


def test_only_the_facts_after_the_load_tell(tmp_path: Path) -> None:
    assert reader.notes(TrialPaths(tmp_path), PLAN) == ()
    assert told(tmp_path, {PROXY: {"active": "failed"}}, "proxy1", when="before") == ()
    for seen in (None, [], {PROXY: None}):
        assert told(tmp_path, seen, "proxy1") == ()


def test_results_say_it(copy: RunFolder) -> None:
    path = copy.trials[0].facts
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if (line["host"], line["when"]) == ("proxy1", "after"):
            line["facts"]["units"] = {PROXY: {"active": "failed", "result": "signal"}}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert results.analyse(copy.path)["incomplete"] == [
        "01-servers-1: proxy1: nginx was not running any more when the load ended: killed"
    ]
