"""Whether thresholds were reached, and how that is told to machines."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from analysis import thresholds
from tests.analysis.test_compare import two, with_a_silent_one


def one(text: str, arms: list[dict[str, Any]]) -> dict[str, Any]:
    return thresholds.judged([text], arms)[-1]


@pytest.mark.parametrize(
    ("text", "passed", "said"),
    [
        ("tps > 35", True, "39.15"),
        ("tps > 45", False, "39.15"),
        ("failures < 1%", True, "0 %"),
        ("failures < 1", True, "0"),
        ("p99_ms < 3", False, "unknown"),
        ("ratio(two/one).tps > 1.5", True, "1.957, 95 % interval"),
        ("ratio(two/one).tps > 1.95", False, "not shown, it may be otherwise"),
        ("ratio(two/one).tps > 3", False, "1.957, 95 % interval"),
        ("ratio(two/three).tps > 3", False, "there are only one, two"),
    ],
)
def test_each_kind(text: str, passed: bool, said: str) -> None:
    arms = two([10, 20, 40], [20, 40, 75])
    found = one(text, arms)
    assert found["passed"] is passed and said in found["said"], found
    assert not passed or found["value"] is not None


def test_what_may_not_be_compared_has_no_ratio_that_passes() -> None:
    (found,) = thresholds.judged(
        ["ratio(two/one).tps > 1"], two([10, 20, 40], [20, 40, 75]), "a short window"
    )
    assert not found["passed"] and found["said"] == "not compared: a short window"


def test_a_figure_is_asked_of_every_arm() -> None:
    found = thresholds.judged(["tps > 30"], two([10, 20, 40], [20, 40, 75]))
    assert [(entry["arm"], entry["passed"]) for entry in found] == [("one", False), ("two", True)]


def test_without_an_interval_a_ratio_has_not_been_shown() -> None:
    found = one("ratio(two/one).tps > 1.5", two([10], [30]))
    assert not found["passed"] and found["value"] == pytest.approx(3.0) and "no interval" in found["said"]


def test_what_is_withheld_has_not_passed() -> None:
    arms = two([10, 20, 40], [20, 40, 75])
    for arm in arms:
        arm["requests"] = 30
    found = one("p95_ms < 5000", arms)
    assert not found["passed"] and found["said"] == "withheld: n < 59"


def test_what_a_check_withholds_has_not_passed_and_no_ratio_of_it_either() -> None:
    broken = {"name": "failures", "verdict": "INVALID", "withholds": ["mtt_ms", "p95_ms"]}
    arms = [{**arm, "checks": [broken]} for arm in two([10, 20, 40], [20, 40, 75])]
    found = one("mtt_ms < 500", arms)
    assert not found["passed"] and found["said"] == "withheld: failures"
    found = one("ratio(two/one).mtt_ms < 0.8", arms)
    assert not found["passed"] and found["said"] == "not compared: withheld of two, one (failures)"
    assert one("tps > 35", arms)["passed"]


@pytest.mark.parametrize("figure", ["mtt_ms", "p95_ms"])
def test_a_ratio_without_the_trial_that_answered_nobody_passes_nothing(figure: str) -> None:
    found = one(f"ratio(two/one).{figure} < 0.8", with_a_silent_one())
    assert (found["passed"], found["value"]) == (False, None)
    assert found["said"] == "not compared: nobody was answered in 1 trial of one"


def results(**more: Any) -> dict[str, Any]:
    asked = {"threshold": "tps > 3", "arm": "a|b", "value": 2.0, "passed": False, "said": "2"}
    return {
        "run": "20261126T100000Z-x", "question": "Is <b> better?", "verdict": "VALID", "checks": [], "comparisons": [],
        "sentences": [["note", "It is *not*."]], "thresholds": [asked, {**asked, "passed": True}], **more,
    }  # fmt: skip


def test_junit_has_the_verdict_and_every_threshold() -> None:
    suite = ElementTree.fromstring(thresholds.junit(results()))
    assert (suite.get("tests"), suite.get("failures")) == ("3", "1")
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["a|b: tps > 3"]
    broken = [{"name": "limit_held", "verdict": "INVALID", "withholds": "trial", "said": "9 %\x00"}]
    suite = ElementTree.fromstring(thresholds.junit(results(verdict="INVALID", checks=broken, thresholds=[])))
    failure = suite.find("testcase/failure")
    assert failure is not None and "limit_held" in str(failure.get("message"))


def test_markdown_is_text_whatever_is_in_it() -> None:
    text = thresholds.markdown(results())
    assert text.startswith("### Is \\<b\\> better?\n\n**VALID**\n\n- It is \\*not\\*.\n")
    assert "| `tps \\> 3` | a\\|b | 2 | **failed** |" in text


@pytest.mark.parametrize(
    ("window", "figure", "why"),
    [
        ({"short_for_times": True}, "mtt_ms < 5000", "the window is below 20 times its MTT"),
        ({"short_for_times": True}, "mtsd_ms < 5000", "the window is below 20 times its MTT"),
        ({"short_for_times": True}, "tps > 35", ""),
        ({"short": True}, "tps > 35", "the window is below 15 s, or 20 times the think time"),
        ({"short": True}, "failures < 1%", "the window is below 15 s, or 20 times the think time"),
    ],
)
def test_what_a_window_is_too_short_for_has_not_passed(
    window: dict[str, bool], figure: str, why: str
) -> None:
    arms = two([10, 20, 40], [20, 40, 75])
    for arm in arms:
        arm["window"] |= window
    found = one(figure, arms)
    assert found["passed"] is not bool(why)
    assert not why or (found["value"], found["said"]) == (None, f"withheld: {why}")
