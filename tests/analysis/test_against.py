"""Two runs against each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from analysis import against, statistics
from loadproof.console.against import against as shown
from loadproof.plan.values import Inventory
from loadproof.runfolder.record import RunRecord
from tests.analysis import synthetic
from tests.analysis.test_compare import two, with_a_silent_one
from tests.runfolder.test_record import EXPERIMENT

RECORD = RunRecord(
    "A",
    EXPERIMENT,
    Inventory("inventory/made.yml", synthetic.HOSTS),
    {"commit": "1", "versions": [["numpy", "2"]]},
    (),
    (),
)


def results(name: str, first: list[float], second: list[float], **setup: str) -> dict[str, Any]:
    arms = two(first, second)
    for arm in arms:
        arm["setup"] |= {"servers": "1", "think time": "0 s", **setup}
    return {"run": name, "verdict": "VALID", "arms": arms}


def test_welchs_interval_by_hand() -> None:
    """Satterthwaite's degrees of freedom for logs with variances 0.01 and 0.04 and 4 trials each: 4.41; t is 2.678."""
    one, other = (np.array([-1, -1, 1, 1]) * scale for scale in (0.1, 0.2))
    found = statistics.apart(np.exp(one + np.log(3)), np.exp(other))
    variances = [one.var(ddof=1), other.var(ddof=1)]
    error = sum(variances) / 4
    freedom = error**2 / sum((each / 4) ** 2 / 3 for each in variances)
    assert freedom == pytest.approx(4.4117, abs=1e-3)
    assert found.ratio == pytest.approx(3.0) and found.high is not None
    assert np.log(found.high / 3) / np.sqrt(error) == pytest.approx(2.678, abs=0.003)
    assert statistics.apart([1, 2], [1, 2, 3]).low is None
    still = statistics.apart([2, 2, 2], [1, 1, 1])
    assert (still.ratio, still.low, still.high) == (pytest.approx(2.0), None, None)
    assert still.words == "not decided: nothing varies, so that there is no interval"


def test_every_figure_of_arms_that_both_have() -> None:
    found = against.runs(
        results("A", [10, 11, 12], [20, 21, 22]), results("B", [20, 22, 24], [20, 21, 22]), (RECORD, RECORD)
    )
    mine = {(one["arm"], one["figure"]): one for one in found["arms"]}
    assert (
        mine["one", "TPS"]["ratio"] == pytest.approx(2.0)
        and mine["one", "TPS"]["words"] == "different by more than 5 %"
    )
    assert mine["two", "TPS"]["ratio"] == pytest.approx(1.0) and mine["two", "TPS"]["n"] == [3, 3]
    assert found["differences"] == [] and found["only"] == [[], []]
    assert "nothing that is recorded differs" in shown(found)


def test_what_was_different_stands_beside_and_more_than_one_thing_is_warned_of() -> None:
    moved = replace(synthetic.HOSTS[0], address="10.9.9.9")
    other = replace(
        RECORD, provenance={"commit": "2", "versions": [["numpy", "3"]]},
        inventory=Inventory("x", (moved, *synthetic.HOSTS[1:])),
    )  # fmt: skip
    second = results("B", [10, 11, 12], [20, 21, 22], **{"think time": "1 s"})
    second["arms"][1]["label"] = "three"
    second["verdict"] = "INVALID"
    found = against.runs(results("A", [10, 11, 12], [20, 21, 22]), second, (RECORD, other))
    names = [name for name, _, _ in found["differences"]]
    assert names == ["think time", "commit", "numpy", f"host {moved.name}"]
    assert found["only"] == [["two"], ["three"]]
    assert "B is INVALID" in found["warnings"][0] and "more than one thing differs" in found["warnings"][1]
    text = shown(found)
    assert "only in the first: two" in text and "10.9.9.9" in text


def test_windows_that_are_too_short_are_warned_of() -> None:
    first, second = results("A", [10, 11, 12], [20, 21, 22]), results("B", [10, 11, 12], [20, 21, 22])
    first["arms"][0]["window"] |= {"short_for_times": True}
    second["arms"][1]["window"] |= {"short": True, "short_for_times": True}
    one, other, *_ = against.runs(first, second, (RECORD, RECORD))["warnings"]
    assert one == "A: the window of one is below 20 times its MTT: its times are not to be compared"
    assert (
        other
        == "B: the window of two is below 15 s, or 20 times the think time: its figures are not to be compared"
    )


def test_what_may_not_be_compared_has_no_ratio_here_either() -> None:
    first, second = results("A", [10, 11, 12], [20, 21, 22]), results("B", [30, 31, 32], [20, 21, 22])
    second["arms"][0]["failures"] = 1200  # of 3000
    second["arms"][0]["trials"][2] |= {"tps": 0.0}
    second["arms"][1]["window"] = {"short": True}
    found = against.runs(first, second, (RECORD, RECORD))
    mine = {(one["arm"], one["figure"]): one for one in found["arms"]}
    assert mine["one", "TPS"]["words"] == "not compared: it is 0 in 1 trial of one"
    assert mine["one", "MTT"]["words"].startswith("not compared: the failed share differs by 40.0 points")
    assert mine["two", "TPS"]["words"] == "not compared: a window is below 15 s, or 20 times the think time"
    assert mine["one", "TPS"]["n"] == [3, 3] and mine["one", "TPS"]["second"] is None
    assert {one["ratio"] for one in found["arms"] if one["words"].startswith("not compared")} == {None}
    assert "not compared" in shown(found)


def test_another_time_to_settle_is_not_compared_between_runs_either() -> None:
    first = results("A", [10, 11, 12], [20, 21, 22])
    second = results("B", [30, 31, 32], [20, 21, 22], settle="2 s")
    found = against.runs(first, second, (RECORD, RECORD))
    why = "not compared: the time to settle differs between arms (5 s / 2 s)"
    assert {(one["words"], one["ratio"]) for one in found["arms"]} == {(why, None)}
    assert "not compared: the time to" in shown(found) and ("settle", "5 s", "2 s") in found["differences"]


def test_users_that_were_not_alive_are_not_compared_between_runs_either() -> None:
    first, second = results("A", [10, 11, 12], [20, 21, 22]), results("B", [30, 31, 32], [20, 21, 22])
    second["arms"][0]["window"] |= {"users": 8}
    found = against.runs(first, second, (RECORD, RECORD))
    mine = {(one["arm"], one["figure"]): one for one in found["arms"]}
    why = "not compared: not the planned users were alive in the window (B: 8 of 10)"
    assert {(one["words"], one["ratio"]) for (arm, _), one in mine.items() if arm == "one"} == {(why, None)}
    assert mine["two", "TPS"]["ratio"] == pytest.approx(1.0)


def test_what_either_run_tolerated_is_said() -> None:
    for first, second, told in (("2 %", "2 %", []), ("2 %", "8 %", ["B"]), ("8 %", "8 %", ["A", "B"])):
        both = [
            results(name, [10, 11, 12], [20, 21, 22], **{"steal tolerated": steal})
            for name, steal in (("A", first), ("B", second))
        ]
        text = shown(against.runs(*both, (RECORD, RECORD)))
        said = [name for name in "AB" if f"note: {name}: As asked, 8 % of the hosts' CPU may have" in text]
        assert said == told


def test_a_trial_that_answered_nobody_is_not_left_out_of_a_run() -> None:
    """Neither of the ratio, nor of the figure that stands beside it."""
    first, second = results("A", [10] * 4, [20] * 4), results("B", [10] * 4, [20] * 4)
    second["arms"] = [{**made, "setup": first["arms"][0]["setup"]} for made in with_a_silent_one()]
    found = against.runs(first, second, (RECORD, RECORD))
    mine = {(one["arm"], one["figure"]): one for one in found["arms"]}
    for name in ("MTT", "p95"):
        told = mine["one", name]
        assert (told["ratio"], told["low"], told["second"], told["n"]) == (None, None, None, [4, 3])
        assert told["words"] == "not compared: nobody was answered in 1 trial of one"
        assert told["first"] is not None and mine["two", name]["ratio"] is not None


def test_few_trials_have_a_ratio_and_no_interval() -> None:
    found = against.runs(results("A", [10], [20]), results("B", [11], [20]), (RECORD, RECORD))
    assert found["arms"][0]["low"] is None and "no interval" in found["arms"][0]["words"]
    nothing = against.runs(
        results("A", [10], [20]), {"run": "B", "verdict": "VALID", "arms": []}, (RECORD, RECORD)
    )
    assert "no arm is in both runs" in nothing["warnings"][0]


def test_two_runs_have_no_pairs_of_which_more_would_decide() -> None:
    values = [10.0, 12, 9, 13, 11, 10]
    found = against.runs(results("A", values, values), results("B", values[::-1], values), (RECORD, RECORD))
    assert {one["words"] for one in found["arms"]} == {"not decided"}


@pytest.mark.parametrize(
    ("primary", "figure"), [("mtt_ms", "MTT"), ("failed_share", "The failed share, %"), ("p50_ms", "p50")]
)
def test_what_either_run_asked_for_comes_first(primary: str, figure: str) -> None:
    both = [
        results("A", [10, 11, 12], [20, 21, 22]),
        results("B", [20, 22, 24], [20, 21, 22]) | {"primary": primary},
    ]
    for one in both:
        for arm in one["arms"]:
            arm["p50_ms"] = 100.0
            for at, trial in enumerate(arm["trials"]):
                trial |= {"p50_ms": 100.0 + at, "failures": 10 + at}
    found = against.runs(*both, (RECORD, RECORD))
    assert figure in [one["figure"] for one in found["arms"] if one["arm"] == "one"][:2]
    (told,) = [one for one in found["arms"] if (one["arm"], one["figure"]) == ("one", figure)]
    assert told["ratio"] is not None and told["first"] and told["second"]
    if primary == "failed_share":
        assert told["first"] == pytest.approx(1.1)


def test_a_failed_share_of_0_is_shown_and_has_no_ratio() -> None:
    both = [results(name, [10, 11, 12], [20, 21, 22]) | {"primary": "failed_share"} for name in "AB"]
    told = against.runs(*both, (RECORD, RECORD))["arms"][0]
    assert (told["figure"], told["first"], told["second"], told["ratio"]) == (
        "The failed share, %",
        0,
        0,
        None,
    )
    assert told["words"] == "not compared: it is 0 in 3 trials of one"


def test_uncommitted_changes_and_locks_are_told() -> None:
    dirty = RECORD.provenance | {"dirty": True, "changed": ["app/a.py"], "locks": [["run.lock", "1" * 64]]}
    other = dirty | {"changed": ["app/a.py", "app/b.py"], "locks": [["run.lock", "2" * 64]]}
    runs = results("A", [10, 11, 12], [20, 21, 22]), results("B", [10, 11, 12], [20, 21, 22])
    found = against.runs(*runs, (replace(RECORD, provenance=dirty), replace(RECORD, provenance=other)))
    assert found["differences"] == [
        ("uncommitted changes in", "app/a.py", "app/a.py, app/b.py"),
        ("run.lock", "1" * 12, "2" * 12),
    ]
    alike = against.runs(*runs, (replace(RECORD, provenance=dirty), replace(RECORD, provenance=dirty)))
    assert alike["differences"] == []
    assert (
        "both were run with uncommitted changes: whether with the same ones is not recorded"
        in alike["warnings"]
    )
