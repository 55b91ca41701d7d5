"""Experiment files, and what is set in place of what they say."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadproof.errors import BadInput
from loadproof.plan import experiment, questions
from loadproof.plan.values import Experiment
from tests.plan.inventories import ROOT


def written(folder: Path, text: str, *settings: str, **flags: str) -> Experiment:
    path = folder / "asked.yml"
    path.write_text(text)
    return experiment.named(str(path), flags, settings)


def rejected(folder: Path, text: str, *settings: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        written(folder, text, *settings)
    assert caught.value.exit_code == 64
    return [str(problem).replace(f"{folder}/", "") for problem in caught.value.problems]


FACTORS = """\
question: Which one?
primary: mtt_ms
repeats: 6
factors:
  servers: [1, 2]
  think: [0, 150ms]
hold: 20s
vusers: 10
"""


def test_arms_are_all_combinations_of_levels(tmp_path: Path) -> None:
    found = written(tmp_path, FACTORS)
    assert (found.name, found.question, found.primary, found.blocks) == ("asked", "Which one?", "mtt_ms", 6)
    assert [(arm.label, arm.servers, arm.load.think_s) for arm in found.arms] == [
        ("servers=1,think=0", 1, 0.0),
        ("servers=1,think=150ms", 1, 0.15),
        ("servers=2,think=0", 2, 0.0),
        ("servers=2,think=150ms", 2, 0.15),
    ]
    assert found.arms[3].factors == (("servers", 2), ("think", "150ms"))
    assert (found.trials, found.arms[0].load.hold_s) == (24, 20.0)
    origins = dict(found.origins)
    assert origins["hold"].endswith("asked.yml:7") and origins["servers"].endswith("asked.yml:5")
    assert origins["settle"] == "default"


def test_settings_win_over_the_file_and_flags_over_both(tmp_path: Path) -> None:
    found = written(tmp_path, FACTORS, "hold=30s", "think=1s", "hold=40s", "app.SIZE=3", repeats="2")
    assert [arm.label for arm in found.arms] == ["servers=1", "servers=2"]
    arm = found.arms[0]
    assert (arm.load.hold_s, arm.load.think_s, found.blocks) == (40.0, 1.0, 2)
    assert arm.serving.app == (("SIZE", "3"),)
    assert dict(found.origins)["hold"] == "--set hold=40s"
    wider = written(tmp_path, FACTORS, "factors.servers=[1, 2, 3]", "factors.app.SIZE=1,2", "think=0")
    assert [arm.label for arm in wider.arms][:3] == [
        "servers=1,app.SIZE=1",
        "servers=1,app.SIZE=2",
        "servers=2,app.SIZE=1",
    ]


def test_a_factor_of_users_takes_the_place_of_other_ways_to_say_it(tmp_path: Path) -> None:
    found = written(tmp_path, "processes: 2\nthreads: 5\nfactors: {vusers: [10, 100]}\n")
    assert [arm.load.users for arm in found.arms] == [10, 99]
    fixed = written(tmp_path, "factors: {vusers: [10, 100]}\n", processes="2", threads="4")
    assert [(arm.label, arm.load.users) for arm in fixed.arms] == [("servers=1", 8)]


def test_what_serves_may_be_a_factor(tmp_path: Path) -> None:
    found = written(
        tmp_path, "factors: {balance: [round_robin, least_conn], failover: [no, yes], keepalive: [yes]}\n"
    )
    serving = [arm.serving for arm in found.arms]
    assert [(one.balance, one.failover, one.keepalive) for one in serving] == [
        ("round_robin", False, True), ("round_robin", True, True), ("least_conn", False, True), ("least_conn", True, True),
    ]  # fmt: skip


def test_arms_that_are_alike(tmp_path: Path) -> None:
    one, other = written(tmp_path, "factors: {copy: [a, b]}\n").arms
    assert (one.label, other.label) == ("copy=a", "copy=b")
    assert (one.load, one.limit, one.serving, one.servers) == (
        other.load,
        other.limit,
        other.serving,
        other.servers,
    )


@pytest.mark.parametrize("name", questions.names(ROOT))
def test_what_is_shipped_is_planned_and_asks_something(name: str) -> None:
    found = experiment.named(name)
    assert found.name == name and found.question.endswith("?")
    assert found.blocks >= 4 and found.blocks % 2 == 0
    assert all(arm.load.hold_s >= 15 for arm in found.arms)


def test_all_problems_at_once_with_file_and_line(tmp_path: Path) -> None:
    text = """\
holdd: 3s
hold: soon
think: [0, 1]
factors:
  settle: [1, 2]
  servers: [1, 1]
  rows: 7
note:
app: {home: x, LOADPROOF_PORT: 1, SIZE: "a b"}
"""
    assert rejected(tmp_path, text, "vusers") == [
        "asked.yml:3: think has no value; its levels belong under factors",
        "asked.yml:7: rows: a factor has a list of levels, as in [1, 2]",
        "asked.yml:8: note has no value",
        "--set: 'vusers' is no setting: write key=value",
        "asked.yml:1: there is no holdd; did you mean hold?",
        "asked.yml:5: settle is one for all arms, and no factor: arms that differ in it are not compared",
        "asked.yml:6: each level of servers once",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("- a\n", "asked.yml:1: an experiment is a mapping: name: value in each line"),
        ("hold: 1s\nhold: 2s\n", "asked.yml:2: hold stands twice, first at asked.yml:1"),
        ("servers: 2\nfactors: {servers: [1, 2]}\n", "asked.yml:2: servers has one value, and levels as a factor"),
        ("factors: 3\n", "asked.yml:1: factors is a mapping of names"),
        ("factors: {servers: [1, zwei]}\n", "asked.yml:1: 'zwei' is no whole number from 1 to 1000"),
        ("app: {home: x}\n", "asked.yml:1: 'home' is no name of a setting of the app: capital letters, digits and '_', and not one of ours (LOADPROOF_…)"),
        ("app: {SIZE: 'a b'}\n", "asked.yml:1: 'a b' is no value of a setting of the app: letters, digits and _ . , : / + = @ -, at most 200"),
        ("primary: speed\n", "asked.yml:1: there is no 'speed': tps, mtt_ms, p50_ms, p95_ms, p99_ms, answer_or_give_up_ms, failed_share, knee"),
        ("primary: knee\nvusers: 30\n", "asked.yml:1: a knee is looked for in a ramp of at least 5 levels of 10s, and this load has 1: a longer --interval or a smaller --step"),
        ("calibrate: yes\nfactors: {cpu-limit: [5, 10]}\n", "asked.yml:1: a calibration finds what one limit is set to: limiter and cpu-limit are no factors with it"),
    ],
)  # fmt: skip
def test_one_problem(tmp_path: Path, text: str, said: str) -> None:
    assert rejected(tmp_path, text) == [said]


def test_a_knee_may_be_asked_of_a_ramp_that_can_have_one() -> None:
    assert experiment.named("ninety-nine", {}, ["primary=knee"]).primary == "knee"


def test_names_of_nothing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no experiment 'quik'.*did you mean quick"):
        experiment.named("quik")
    with pytest.raises(BadInput, match="there is no such file"):
        experiment.named(str(tmp_path / "none.yml"))
    with pytest.raises(BadInput, match="65 arms are more than 64"):
        experiment.named("quick", settings=["factors.servers=" + ",".join(map(str, range(1, 66)))])
