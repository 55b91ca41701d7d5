"""What may be concluded of two arms: the sentences that the summary and the report print."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from analysis import page, report, results, sentences
from loadproof.console import summary
from loadproof.plan.values import Limit
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic


@pytest.fixture
def calm(two_arms: RunFolder) -> list[dict[str, Any]]:
    """Two arms that nothing speaks against comparing."""
    arms = json.loads(two_arms.results.read_text())["arms"]
    return [
        {**arm, "window": {**arm["window"], "short": False, "short_for_times": False}, "failures": 0}
        for arm in arms
    ]


def said(arms: list[dict[str, Any]]) -> str:
    return " ".join(text for _, text in sentences.sentences(arms))


def test_two_like_arms_have_a_ratio(calm: list[dict[str, Any]]) -> None:
    text = said(calm)
    assert "one trial per arm: an anecdote, no interval." in text
    assert "TPS of servers=2 is" in text and "times that of servers=1; the CPU" in text
    assert "differ" not in text


def test_a_ratio_of_arms_whose_conditions_are_not_known_is_no_plain_one(calm: list[dict[str, Any]]) -> None:
    words = "Whether all conditions of servers=1 held is not known"
    one, other = calm
    for verdict, told in (("VALID", False), ("UNKNOWN", True)):
        text = said([{**one, "verdict": verdict}, {**other, "verdict": "VALID"}])
        assert (words in text) == told and "times that of" in text


def test_what_was_tolerated_stands_beside_the_answer(calm: list[dict[str, Any]]) -> None:
    for tolerated, told in (("2 %", False), ("1 %", False), ("5 %", True)):
        text = said([{**arm, "setup": arm["setup"] | {"steal tolerated": tolerated}} for arm in calm])
        assert ("As asked, 5 % of the hosts' CPU may have been taken" in text) is told


NOTHING = {"tps": None, "id": "01", "because": "block 1", "block": 1, "verdict": "UNKNOWN"}
BROKEN = {"tps": 50.0, "id": "01", "because": "block 1", "block": 1, "verdict": "INVALID"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"window": {"from_s": 1, "short_for_times": True, "to_s": 2, "short": True, "users": 9}}, "short"),
        (
            {"window": {"from_s": 6, "short_for_times": False, "to_s": 22, "short": False, "users": 8}},
            "(servers=2: 8 of 9)",
        ),
        (
            {"tps": None, "window": None, "trials": [NOTHING]},
            "No figures for servers=2; what is incomplete",
        ),
        # without figures because of what its trials are, not because anything is missing
        (
            {"tps": None, "window": None, "verdict": "INVALID", "trials": [BROKEN, {**BROKEN, "block": 2}]},
            "No trial of servers=2 is VALID, so none counts: what each one gave is in the table of trials.",
        ),
    ],
)
def test_arms_that_may_not_be_compared_have_none(
    calm: list[dict[str, Any]], change: dict[str, Any], words: str
) -> None:
    text = said([calm[0], {**calm[1], **change}])
    assert words in text and "times that of" not in text and "neither trusted nor" not in text
    assert ("the list" in text or "what is incomplete" in text) == ("what is incomplete" in words)


def test_other_settling_has_no_ratio(calm: list[dict[str, Any]]) -> None:
    text = said([calm[0], {**calm[1], "setup": {**calm[1]["setup"], "settle": "0 s"}}])
    assert "The time to settle differs between arms (2 s / 0 s)" in text and "times that of" not in text


def test_what_else_differs_stands_beside_the_ratio(calm: list[dict[str, Any]]) -> None:
    other = {**calm[1]["setup"], "limit": "cpulimit 20 %", "variant": "local"}
    text = said([calm[0], {**calm[1], "setup": other}])
    assert "times that of" in text
    assert (
        "The arms differ besides servers: limit cpulimit 5 % / cpulimit 20 %; variant plain / local." in text
    )


def test_a_first_arm_without_successes_has_no_ratio(calm: list[dict[str, Any]]) -> None:
    assert "TPS of servers=1 is 0: there is no ratio." in said([{**calm[0], "tps": 0.0}, calm[1]])


def test_who_fails_more_looks_faster(calm: list[dict[str, Any]]) -> None:
    text = said([calm[0], {**calm[1], "failures": 50}])
    assert "failed share differs" in text and "times that of" in text


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        ((6.0,), (6.0, 6.5), ""),
        ((6.0,), (5.6, 6.4), "The servers of servers=2 got CPU more than a tenth apart: app1 5.60 %, app2 6.40 %."),
        ((5.0,), (6.0, 6.0), "in the arms, on the mean: servers=1 5.00 %, servers=2 6.00 %."),
        ((6.0,), (None, 6.4), ""),
        ((0.0,), (0.0, 0.0), ""),
    ],
)  # fmt: skip
def test_servers_that_got_cpu_far_apart_are_named_and_compared(
    calm: list[dict[str, Any]], one: tuple[float], other: tuple[float, float], words: str
) -> None:
    for arm, shares in zip(calm, (one, other), strict=True):
        names = ("app1", "app2")[: len(shares)]
        arm["servers"] = [
            {"host": name, "cpu_percent": share} for name, share in zip(names, shares, strict=True)
        ]
    text = said(calm)
    assert words in text and "times that of" in text
    assert words or "apart" not in text


def test_setups_of_two_runs_reach_the_sentences(tmp_path: Path) -> None:
    """Two runs of one arm, other limit, other settling: named, and not compared."""

    def run(name: str, settle: float, percent: float) -> Path:
        load = dataclasses.replace(synthetic.LOAD, settle_s=settle, hold_s=18 - settle)
        plan = synthetic.plan(
            f"20261124T03150{percent:g}Z-{name}", "01", 2, load, limit=Limit("quota", percent)
        )
        return synthetic.write_run(tmp_path, [synthetic.simulate(plan, 2, 0.05)]).path

    same, other, settled = run("a", 2.0, 5.0), run("b", 2.0, 6.0), run("c", 1.0, 7.0)
    made, _ = report.together([same, other], tmp_path)
    text = " ".join(text for _, text in made["sentences"])
    assert "times that of servers=2 (a)" in text and "The arms differ: limit quota 5 % / quota 6 %." in text
    made, _ = report.together([same, settled], tmp_path)
    text = " ".join(text for _, text in made["sentences"])
    assert "The time to settle differs" in text and "times that of" not in text


def test_the_summary_and_the_page_say_the_same(two_arms: RunFolder) -> None:
    judged = results.judge(two_arms)
    judged.results["arms"][1]["failures"] += 40
    judged.results["sentences"] = [list(one) for one in sentences.sentences(judged.results["arms"])]
    shown = summary.summary(judged.results)
    context = page.context(judged)
    assert context["sentences"] == judged.results["sentences"]
    assert all(text in shown for _, text in context["sentences"])
    assert "failed share differs" in shown and "answer or give up ms" in shown
    assert "anecdote" in shown
    few = [cell for name, _, cells in context["figures"] if name == "p99" for cell in cells]
    assert few == ["– (n < 299)"] * 2 and "n < 299" in shown
