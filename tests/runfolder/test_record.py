"""Frozen values to JSON and back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from loadproof.control import provenance
from loadproof.errors import RecordUnreadable
from loadproof.plan.values import Arm, Experiment, Host, Inventory, Limit, Load, Serving, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder

LOAD = Load(3, 33, 99, "users", ((0.0, 9), (5.0, 18)), 5.0, 5.0, 30.0, 40.0, 0.0, 10.0, "items", ("said",))
PLAN = TrialPlan(
    run="20261124T031500Z-bench", id="01", arm="servers=2", factors=(("servers", 2), ("x", ("a", 1))), block=1,
    because="asked for", apps=("app1", "app2"), idle_apps=(), proxy="proxy1", loads=("load1",), watch=(),
    load=LOAD, workers=(("load1", 1), ("load1", 2)), limit=Limit(), serving=Serving(), seed=1,
    warm_requests=200, deploy_id="d", timeouts=(("client", 10.0),), planned_s=40.0, margin_s=30.0,
)  # fmt: skip
EXPERIMENT = Experiment(
    "bench",
    "",
    (Arm("servers=2", (("servers", 2),), 2, LOAD, Limit("none", 5.0), Serving(rows=10, app=(("A", "1"),))),),
    1,
    200,
    (("users", "--vusers"),),
)
INVENTORY = Inventory(
    "inventory/hosts.yml",
    (
        Host("a", ("app", "proxy"), "10.0.0.1", ports=(("app", 8000),), platform=None),
        Host("b", ("load",), "b", 22),
    ),
)


def test_a_plan_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "t" / "plan.json"
    record.write_plan(path, PLAN)
    assert record.read_plan(path) == PLAN
    assert json.loads(path.read_text())["format"] == 2


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path, "bench", datetime.now(UTC))
    record.write_run(folder, EXPERIMENT, INVENTORY, provenance.collect(tmp_path), ["./inv", "bench"], [PLAN])
    found = record.read_run(folder)
    assert (found.experiment, found.inventory, found.command) == (EXPERIMENT, INVENTORY, ("./inv", "bench"))
    assert found.trials == ("01-servers-2",)
    assert found.provenance["commit"] == ""


def test_newer_formats_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    record.write_plan(path, PLAN)
    data = json.loads(path.read_text())
    path.write_text(json.dumps({**data, "format": 3}))
    with pytest.raises(RecordUnreadable, match="has format 3; this loadproof reads up to 2"):
        record.read_plan(path)


def test_keys_that_a_later_version_added_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    record.write_plan(path, PLAN)
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}))
    assert record.read_plan(path) == PLAN


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"load": 3}, "Load is an object"),
        ({"apps": "x"}, "no list"),
        ({"id": 1}, "no str"),
        ({"workers": [["a"]]}, "values"),
        ({"planned_s": float("nan")}, "nan is no number"),
        ({"planned_s": float("inf")}, "inf is no number"),
        ({"load": {**record.to_json(PLAN.load), "ramp": 7}}, "7 is none of users, thread, process"),
        ({"workers": [["load1", 65_520]]}, "a Locust worker's number"),
        ({"load": {**record.to_json(PLAN.load), "end_s": 2**62}}, "a time of its load"),
        ({"load": {**record.to_json(PLAN.load), "think_s": -1e308}}, "a time of its load"),
        ({"load": {**record.to_json(PLAN.load), "table": [[0, 10**30]]}}, "a number of its users"),
    ],
)
def test_another_shape_is_unreadable(tmp_path: Path, change: dict[str, object], said: str) -> None:
    path = tmp_path / "plan.json"
    record.write_plan(path, PLAN)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(RecordUnreadable, match=said):
        record.read_plan(path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"provenance": "x"}, "no object"),
        ({"inventory": {"path": "", "hosts": [{"name": "a", "roles": ["app", 5], "ssh_host": "a"}]}}, "5 is none of app, proxy"),
    ],
)  # fmt: skip
def test_a_run_of_another_shape_is_unreadable(tmp_path: Path, change: dict[str, object], said: str) -> None:
    folder = RunFolder.create(tmp_path, "bench", datetime.now(UTC))
    record.write_run(folder, EXPERIMENT, INVENTORY, {}, [], [])
    folder.run.write_text(json.dumps(json.loads(folder.run.read_text()) | change))
    with pytest.raises(RecordUnreadable, match=said):
        record.read_run(folder)


def test_a_missing_key_and_a_cut_file(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    record.write_plan(path, PLAN)
    text = path.read_text()
    data = json.loads(text)
    del data["seed"]
    path.write_text(json.dumps(data))
    with pytest.raises(RecordUnreadable, match="seed"):
        record.read_plan(path)
    for cut in range(0, len(text) - 2, 97):
        path.write_text(text[:cut])
        with pytest.raises(RecordUnreadable):
            record.read_plan(path)
    path.write_text("[" * 100_000)
    with pytest.raises(RecordUnreadable, match="no JSON"):
        record.read_plan(path)
    with pytest.raises(RecordUnreadable, match="No such file") as caught:
        record.read_plan(tmp_path / "none")
    assert all((caught.value.where, caught.value.kept, caught.value.next))


def test_facts_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "facts.jsonl"
    record.append_facts(path, [{"when": "before", "host": "a"}])
    record.append_facts(path, [{"when": "after", "host": "a"}])
    assert [line["when"] for line in record.read_facts(path).lines] == ["before", "after"]


def test_format_1_had_no_arms(tmp_path: Path) -> None:
    """One experiment per number of servers, alike in all else; the app and its data beside the other settings."""
    folder = RunFolder(tmp_path / "20261124T031500Z-old")
    folder.path.mkdir()
    record.write_run(folder, EXPERIMENT, INVENTORY, {}, ("inv", "demo"), [PLAN])
    data = json.loads(folder.run.read_text())
    (arm,) = data["experiment"].pop("arms")
    old = {
        **data["experiment"],
        "servers": [1, 2],
        "load": arm["load"],
        "limit": arm["limit"],
        "variant": "local",
        "rows": 7,
    }
    folder.run.write_text(json.dumps({**data, "format": 1, "experiment": old}))
    one, two = record.read_run(folder).experiment.arms
    assert (one.label, one.servers, two.label, two.factors) == (
        "servers=1",
        1,
        "servers=2",
        (("servers", 2),),
    )
    assert one.serving == two.serving == Serving("local", 7) and one.load == LOAD
    path = tmp_path / "plan.json"
    record.write_plan(path, PLAN)
    planned = json.loads(path.read_text())
    planned.pop("serving")
    path.write_text(json.dumps({**planned, "format": 1, "variant": "global", "rows": 9}))
    assert record.read_plan(path).serving == Serving("global", 9)
