"""Trials in the order in which they were run, and whether they drifted."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from analysis import executed, order, results
from analysis.order import Ran
from analysis.results import Judgement
from tests.analysis import blocks, synthetic


def ran(at: int, arm: str, value: float | None, counts: bool = True) -> Ran:
    return Ran(at, f"{at:02d}", "r", arm, (at + 1) // 2, "", None, "VALID", counts, value, "", None, ())


def test_a_known_drift_is_found_whatever_the_arms_are() -> None:
    """By hand: each trial 1 % above the one before; b is 3 times a."""
    trials = [ran(at, "ab"[at % 2], (3 if at % 2 else 1) * 10 * 1.01**at) for at in range(1, 9)]
    found = order.drift(trials)
    assert found is not None and found.n == 8
    assert (found.per_trial, found.low, found.high) == pytest.approx((1.01, 1.01, 1.01), abs=1e-9)


def test_the_interval_of_a_drift_is_that_of_least_squares() -> None:
    """Against the normal equations with one column per arm."""
    chance = np.random.default_rng(7)
    trials = [ran(at, "abc"[at % 3], math.exp(chance.normal(0, 0.1) + at * 0.02)) for at in range(1, 13)]
    found = order.drift(trials)
    assert found is not None
    columns = np.array([[one.order, *(one.arm == arm for arm in "abc")] for one in trials], float)
    logs = np.log([one.value or 0 for one in trials])
    solved, left, _, _ = np.linalg.lstsq(columns, logs, rcond=None)
    error = math.sqrt(float(left[0]) / 8 * np.linalg.inv(columns.T @ columns)[0, 0])
    assert math.log(found.per_trial) == pytest.approx(solved[0])
    assert math.log(found.high) == pytest.approx(
        solved[0] + 2.306004 * error, rel=1e-5
    )  # t of 8 degrees, 97.5 %


def test_no_drift_of_noise_is_claimed_too_often() -> None:
    """Of 2000 runs without any drift about 5 % are called one."""
    chance = np.random.default_rng(20261126)
    called = 0
    for _ in range(2000):
        trials = [ran(at, "ab"[at % 2], math.exp(chance.normal(0, 0.12))) for at in range(1, 9)]
        found = order.drift(trials)
        assert found is not None
        called += not found.low <= 1 <= found.high
    assert 0.035 <= called / 2000 <= 0.065


@pytest.mark.parametrize("count", [0, 1, 4])
def test_too_few_trials_have_no_drift(count: int) -> None:
    assert order.drift([ran(at, "ab"[at % 2], 10.0 + at) for at in range(1, count + 1)]) is None


def test_what_does_not_count_is_in_no_drift() -> None:
    trials = [ran(at, "ab"[at % 2], 10.0) for at in range(1, 9)]
    odd = [
        dataclasses.replace(trials[0], value=None),
        dataclasses.replace(trials[7], counts=False, value=99.0),
    ]
    found = order.drift([odd[0], *trials[1:7], odd[1]])
    assert found is not None and found.n == 6 and found.per_trial == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("zeros", "expected"),
    [
        ({"02": 1_000_000, "10": 3_000_000, "09": 2_000_000}, ["02", "09", "10"]),
        (
            {"02": 9_000_000, "10": 3_000_000, "09": 5_000_000},
            ["10", "09", "02"],
        ),  # a repeat is numbered last, and run next
        ({"02": 9_000_000, "10": None, "09": 5_000_000}, ["02", "09", "10"]),  # one of them never began
    ],
)
def test_order_is_that_of_time_where_it_is_known(zeros: dict[str, int | None], expected: list[str]) -> None:
    trials = [
        {"id": id, "run": "r", "block": 1, "because": "", "verdict": "VALID", "tps": 1.0, "checks": [], "requests": 1, "failures": 0}
        for id in zeros
    ]  # fmt: skip
    members = [
        SimpleNamespace(
            run=SimpleNamespace(id="r"),
            judged=SimpleNamespace(
                plan=SimpleNamespace(id=id), run=None if zero is None else SimpleNamespace(zero_us=zero)
            ),
        )
        for id, zero in zeros.items()
    ]
    made = SimpleNamespace(
        results={"primary": "tps", "arms": [{"label": "a", "trials": trials}]}, members=members
    )
    found = order.ran(cast(Judgement, made))
    assert [one.id for one in found] == expected and [one.order for one in found] == [1, 2, 3]


@pytest.mark.parametrize(
    ("arms", "count", "withheld", "said"),
    [
        ("ab", 4, (), "more than chance; blocks are balanced against it."),
        ("abc", 3, (), "more than chance; blocks are balanced against it."),
        ("ab", 5, (), "it may be in the ratios: 5 blocks of 2 arms are not balanced against it; take a multiple of 2."),
        ("abc", 4, (), "it may be in the ratios: 4 blocks of 3 arms are not balanced against it; take a multiple of 3."),
        ("ab", 6, (3, 5), "only 4 of 6 blocks count for every arm, and these need not be balanced against it."),
        ("a", 5, (), "5 trials, arms apart): more than chance."),
    ],
)  # fmt: skip
def test_a_drift_is_called_balanced_where_blocks_are(
    arms: str, count: int, withheld: tuple[int, ...], said: str
) -> None:
    """Each trial 1 % above the one before; `withheld`: trials that do not count."""
    made = made_of(arms, count, withheld)
    made.results["comparisons"] = [{}] if len(arms) > 1 else []
    assert executed.listed(cast(Judgement, made))["drifted"].endswith(said)
    made.results["comparisons"] = []  # loads of a search: several arms, and no ratio
    assert executed.listed(cast(Judgement, made))["drifted"].endswith("arms apart): more than chance.")


def made_of(arms: str, count: int, withheld: tuple[int, ...]) -> SimpleNamespace:
    """A judgement of so many blocks of arms, whose TPS drifts by 1 % per trial."""
    trials: dict[str, list[dict[str, Any]]] = {arm: [] for arm in arms}
    for at in range(len(arms) * count):
        trials[arms[at % len(arms)]].append(
            {
                "id": f"{at + 1:02d}", "run": "r", "block": at // len(arms) + 1, "because": "", "checks": [],
                "verdict": "INVALID" if at + 1 in withheld else "VALID", "tps": 10 * 1.01**at * (1 + 1e-4 * (at % 3)),
            }
        )  # fmt: skip
    found = {"primary": "tps", "arms": [{"label": arm, "trials": each} for arm, each in trials.items()]}
    plan = synthetic.plan()
    members = [
        SimpleNamespace(
            run=SimpleNamespace(id="r"),
            judged=SimpleNamespace(plan=dataclasses.replace(plan, id=one["id"]), run=None),
        )
        for each in trials.values()
        for one in each
    ]
    return SimpleNamespace(results=found, members=members, sources=("r",))


def test_trials_of_a_run_in_order(tmp_path: Path) -> None:
    folder = blocks.run(tmp_path, 4, spoiled=("03",))
    judgement = results.judge(folder)
    found = order.ran(judgement)
    assert [one.id for one in found] == [f"{at:02d}" for at in range(1, 10)]
    assert [one.arm for one in found[:4]] == ["servers=1", "servers=2", "servers=2", "servers=1"]
    assert all(one.began for one in found)
    (spoiled,) = [one for one in found if not one.counts]
    assert (
        spoiled.id == "03" and spoiled.verdict == "INVALID" and "the app answers another" in spoiled.broken[0]
    )
    assert spoiled.value is not None and spoiled.of_arm is not None
    for arm in judgement.results["arms"]:
        mine = [one.of_arm for one in found if one.arm == arm["label"] and one.counts]
        assert math.prod(one or 0 for one in mine) == pytest.approx(1.0)
    rows = executed.listed(judgement)["trials"]
    assert [row["verdict"] for row in rows] == [one.verdict for one in found]
    assert ("servers=2", folder.id, "03") not in executed.that_count(judgement)
    assert len(executed.that_count(judgement)) == 8
    frame = executed.frame(judgement)
    assert frame["order"].tolist() == list(range(1, 10)) and frame["value"].notna().all()
