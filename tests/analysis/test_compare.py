"""Arms against each other: which pairs, over which blocks, on which basis; and the verdict of a run of several blocks."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from analysis import answer, bending, compare, joined, results, sentences, verdicts
from loadproof.plan.trials import CUT_SHORT
from loadproof.runfolder import shown
from tests.analysis import synthetic
from tests.analysis.synthetic import Raw


def trial(number: int, block: int, tps: float, verdict: str = "VALID", **more: Any) -> dict[str, Any]:
    server = {
        "host": "app1", "requests": 100, "cpu_percent": 5.0, "cpu_s": 0.5, "limit_percent": 5.0, "limit_set": 5.0,
        "undelivered": 0, "wasted": 0, "broken_pipe": 0, "errors": {}, "attribution": {},
    }  # fmt: skip
    figures = dict.fromkeys((*joined.MEANS, *joined.SUMS), None) | {
        "tps": tps, "mtt_ms": 1000 / tps, "p95_ms": 2000 / tps, "answer_or_give_up_ms": 1000 / tps, "efficiency": tps,
        "requests": 1000, "failures": 0, "cut": 3, "errors": {}, "attribution": {},
    }  # fmt: skip
    window = {
        "kind": "hold",
        "users": 10,
        "from_s": 1.0,
        "to_s": 21.0,
        "short": False,
        "short_for_times": False,
    }
    whole = {**figures, "peak_tps": tps}
    return {
        "id": f"{number:02d}", "run": "run", "block": block, "because": f"block {block}", "verdict": verdict, "checks": [],
        "window": window, "servers": [server], "whole_run": whole, **figures, **more,
    }  # fmt: skip


def arm(label: str, trials: list[dict[str, Any]], **factors: Any) -> dict[str, Any]:
    judged = verdicts.joined([(one["id"], one) for one in joined.counted(trials)])
    return {
        "label": label,
        "factors": factors or {"servers": label},
        "setup": {"users": "10", "settle": "5 s"},
        **judged,
        **joined.figures(trials),
        "trials": trials,
    }


def two(first: list[float], second: list[float]) -> list[dict[str, Any]]:
    return [
        arm("one", [trial(2 * at, at, tps) for at, tps in enumerate(first, start=1)]),
        arm("two", [trial(2 * at + 1, at, tps) for at, tps in enumerate(second, start=1)]),
    ]


def primary(arms: list[dict[str, Any]], basis: str = "as run") -> dict[str, Any]:
    (found,) = (
        one for one in compare.comparisons("tps", arms) if one["metric"] == "tps" and one["basis"] == basis
    )
    return found


def test_the_later_level_over_the_first_in_the_same_blocks() -> None:
    found = primary(two([10, 20, 30, 40], [20, 40, 60, 80]))
    assert (found["numerator"], found["denominator"], found["n"]) == ("two", "one", 4)
    assert found["ratio"] == pytest.approx(2.0) and found["low"] == pytest.approx(2.0)
    assert found["words"] == "different by more than 5 %" and found["primary"]


def test_at_equal_cpu_what_a_server_got_too_much_is_taken_off() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    for one in arms[1]["trials"]:
        one["servers"][0]["cpu_percent"] = 10.0
    assert primary(arms, "equal cpu")["ratio"] == pytest.approx(1.0)
    for one in arms[1]["trials"]:  # while requests waited, where that is known
        one["servers"][0]["cpu_saturated_percent"] = 5.0
    assert primary(arms, "equal cpu")["ratio"] == pytest.approx(2.0)
    for one in arms[1]["trials"]:
        one["servers"][0]["limit_percent"] = None
    assert not [one for one in compare.comparisons("tps", arms) if one["basis"] == "equal cpu"]


def test_other_figures_have_intervals_that_hold_together() -> None:
    found = compare.comparisons("tps", two([10, 20, 31], [20, 41, 60]))
    assert [(one["metric"], one["basis"], round(one["confidence"], 4)) for one in found] == [
        ("tps", "as run", 0.95), ("tps", "equal cpu", 0.95), ("mtt_ms", "as run", 0.9875), ("p95_ms", "as run", 0.9875),
        ("answer_or_give_up_ms", "as run", 0.9875), ("efficiency", "as run", 0.9875),
    ]  # fmt: skip
    assert [one["primary"] for one in found] == [True, False, False, False, False, False]


def test_other_figures_of_all_pairs_hold_together() -> None:
    arms = [arm(f"{at}", [trial(1, 1, 10)], servers=at) for at in (1, 2, 3)]
    others = [one for one in compare.comparisons("tps", arms) if not one["primary"]]
    assert len({(one["numerator"], one["denominator"]) for one in others}) == 2
    beside = [one for one in others if one["basis"] == "as run"]
    assert sum(1 - one["confidence"] for one in beside) == pytest.approx(0.05)


def test_pairs_differ_in_one_factor() -> None:
    arms = [
        arm(f"{servers}{think}", [trial(1, 1, 10)], servers=servers, think=think)
        for servers in (1, 2, 3)
        for think in ("0", "1s")
    ]
    assert [(above["label"], below["label"]) for above, below in compare.pairs(arms)] == [
        ("11s", "10"), ("20", "10"), ("30", "10"), ("21s", "11s"), ("31s", "11s"), ("21s", "20"), ("31s", "30"),
    ]  # fmt: skip


def test_a_withheld_trial_counts_by_its_repeat_and_the_answer_with_it_is_there_too() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    bad = arms[1]["trials"]
    bad[2] = {**bad[2], "verdict": "INVALID", "tps": 90.0}
    missing = [arms[0], arm("two", bad)]
    found = primary(missing)
    assert (found["n"], found["all_trials"]["n"]) == (2, 3)
    assert found["ratio"] == pytest.approx(2.0) and found["all_trials"]["ratio"] > 2.2
    assert verdicts.of_run(missing)["verdict"] == "INVALID"
    repeated = [arms[0], arm("two", [*bad, trial(9, 3, 60, because="repeat of 07: limit_held")])]
    found = primary(repeated)
    assert (found["n"], found["all_trials"]["n"]) == (3, 3)
    assert found["ratio"] == pytest.approx(2.0) and found["all_trials"]["ratio"] > 2.2
    assert verdicts.of_run(repeated)["verdict"] == "VALID"
    assert repeated[1]["tps"] == pytest.approx((20 * 40 * 60) ** (1 / 3))


def test_what_was_cut_short_is_no_measurement_whatever_its_checks_say() -> None:
    """It counts neither for the answer, nor for the one with what was withheld, nor as withheld."""
    for verdict in ("VALID", "INVALID"):
        arms = two([10, 20, 30], [20, 40, 60])
        for at, number in enumerate((7, 8), start=2):
            before = arms[1]["trials"]
            cut = trial(number, at, 900.0, verdict)
            again = trial(number + 10, at, before[at - 1]["tps"], because=f"repeat of 0{number}: {CUT_SHORT}")
            before[at - 1 : at] = [cut, again]
            before.sort(key=lambda one: one["id"])
        arms = [arms[0], arm("two", arms[1]["trials"])]
        found = primary(arms)
        assert (found["n"], found["all_trials"]["n"]) == (3, 3)
        assert found["ratio"] == pytest.approx(2.0) == found["all_trials"]["ratio"]
        said = verdicts.of_run(arms, {"run": (2, 3)})
        assert said["verdict"] == "VALID"
        assert said["checks"][-1]["said"] == (
            "3 of 3 blocks are complete; 0 of 6 trials were withheld; 2 more were ended before the load was over, and"
            " run again"
        )


def test_a_withheld_trial_that_answered_nobody_is_not_left_out_of_the_answer_with_it() -> None:
    arms = two([10, 20, 30, 40], [20, 40, 60, 80])
    arms[1]["trials"][0] |= {"tps": 0.0, "verdict": "INVALID"}
    found = primary([arms[0], arm("two", [*arms[1]["trials"], trial(12, 1, 20)])])
    assert found["n"] == 4 and found["all_trials"]["ratio"] is None


def test_too_many_withheld_trials_withhold_the_run() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    for one in arms:
        one["trials"] = [*({**old, "verdict": "INVALID"} for old in one["trials"][:1]), *one["trials"]]
    assert verdicts.of_run(arms)["verdict"] == "INVALID"  # 2 of 8 are more than a fifth


def test_what_is_unknown_in_one_block_is_unknown_of_the_run() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    arms[0]["trials"][1]["verdict"] = "UNKNOWN"
    again = [arm("one", arms[0]["trials"]), arms[1]]
    assert verdicts.of_run(again)["verdict"] == "UNKNOWN"


@pytest.mark.parametrize(
    ("gone", "verdict", "said"),
    [
        ((), "VALID", "3 of 3 blocks are complete; 0 of 6 trials were withheld"),
        (("05",), "UNKNOWN", "1 of 6 planned trials is not here; 0 of 5 trials were withheld"),
        (("06", "07"), "UNKNOWN", "2 of 6 planned trials are not here; 0 of 4 trials were withheld"),
        (("03", "05", "07"), "UNKNOWN", "3 of 6 planned trials are not here; 0 of 3 trials were withheld"),
    ],
)
def test_a_run_that_was_left_or_lost_trials_is_not_valid(
    gone: tuple[str, ...], verdict: str, said: str
) -> None:
    """What is here is VALID all the same; what was planned says that it is not all."""
    kept = [
        [one for one in made["trials"] if one["id"] not in gone] for made in two([10, 20, 30], [20, 40, 60])
    ]
    arms = [arm(label, trials) for label, trials in zip(("one", "two"), kept, strict=True) if trials]
    found = verdicts.of_run(arms, {"run": (2, 3)})
    assert (found["verdict"], found["checks"][-1]["said"]) == (verdict, said)
    assert shown.broken(found) == ("" if verdict == "VALID" else f"blocks_complete ({said})")


def test_too_many_withheld_trials_withhold_a_run_that_lacks_some_too_and_that_is_said() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    for one in arms:
        one["trials"] = [*({**old, "verdict": "INVALID"} for old in one["trials"][:1]), *one["trials"]]
    arms[1]["trials"].pop()
    found = verdicts.of_run([arm(one["label"], one["trials"]) for one in arms], {"run": (2, 3)})
    assert found["verdict"] == "INVALID"
    assert shown.verdict(found) == "INVALID: blocks_complete (2 of 7 trials were withheld)"


def test_trials_that_are_missing_may_yet_come_and_count_among_all() -> None:
    arms = two([10], [20])
    arms[0]["trials"] = [{**arms[0]["trials"][0], "verdict": "INVALID"}, *arms[0]["trials"]]
    found = verdicts.of_run([arm(one["label"], one["trials"]) for one in arms], {"run": (2, 4)})
    assert (found["verdict"], found["checks"][-1]["value"], found["checks"][-1]["limit"]) == ("UNKNOWN", 2, 8)


def test_what_broke_a_trial_is_what_the_first_line_says() -> None:
    check = {
        "name": "quiet_hosts",
        "verdict": "INVALID",
        "withholds": "trial",
        "said": "app1: 5 %",
        "value": 5.0,
    }
    arms = two([10.0] * 6, [20.0] * 6)
    arms[0]["trials"][3] |= {"verdict": "INVALID", "checks": [check]}
    found = verdicts.of_run([arm("one", arms[0]["trials"]), arms[1]], {"run": (2, 6)})
    assert shown.verdict(found) == "INVALID: quiet_hosts (one: 08: app1: 5 %)"
    assert found["checks"][-1]["said"] == "5 of 6 blocks are complete; 1 of 12 trials was withheld"


def test_another_run_beside_it_hides_nothing() -> None:
    bad, good = two([10, 20, 30], [20, 40, 60]), two([10], [20])
    for one in bad:
        one["trials"] = [*({**old, "verdict": "INVALID"} for old in one["trials"][:1]), *one["trials"]]
    for one in good[0]["trials"] + good[1]["trials"]:
        one["run"] = "other"
    found = verdicts.of_run([*bad, *good], {"run": (2, 3), "other": (2, 1)})
    assert (found["verdict"], found["checks"][-1]["said"]) == ("INVALID", "run: 2 of 8 trials were withheld")


def test_a_run_of_one_trial_has_no_blocks() -> None:
    (one, _) = two([10], [20])
    assert verdicts.of_run([one], {"run": (1, 1)}) == {"verdict": "VALID", "checks": []}


def withheld(made: dict[str, Any], check: str, *names: str) -> dict[str, Any]:
    entry = {"name": check, "verdict": "INVALID", "withholds": list(names), "said": "", "value": None}
    return made | {"checks": [entry]}


def test_what_is_withheld_of_an_arm_has_no_ratio() -> None:
    one, more = two([10, 20, 30], [20, 40, 60])
    arms = [withheld(one, "failures", "mtt_ms", "p95_ms"), withheld(more, "steady", "p95_ms")]
    found = {entry["metric"]: entry for entry in compare.comparisons("p95_ms", arms)}
    assert found["p95_ms"]["words"] == "not compared: withheld of two, one (steady, failures)"
    assert found["mtt_ms"]["words"] == "not compared: withheld of one (failures)"
    assert found["tps"]["ratio"] is not None and found["answer_or_give_up_ms"]["ratio"] is not None
    assert (
        answer.leads({"arms": arms, "primary": "p95_ms", "comparisons": [found["p95_ms"]]})[0]["ratio"] == ""
    )


def with_a_silent_one(**more: Any) -> list[dict[str, Any]]:
    """Two arms of 4 blocks; in the last one nobody was answered by the first arm, so few that failures hardly differ."""
    one, other = two([10, 10.1, 10.2], [20, 20.1, 20])
    nothing = {"tps": 0.0, "mtt_ms": None, "p95_ms": None, "efficiency": 0.0, "requests": 5, "failures": 5}
    silent = trial(9, 4, 10) | nothing | more
    return [arm("one", [*one["trials"], silent]), arm("two", [*other["trials"], trial(10, 4, 20)])]


def test_a_trial_that_answered_nobody_takes_the_ratio_away_and_is_no_untrusted_one() -> None:
    arms = with_a_silent_one()
    assert sentences.against(arms) == [] and arms[0]["tps"] is None
    found = {entry["metric"]: entry for entry in compare.comparisons("tps", arms)}
    assert found["tps"]["words"] == "not compared: it is 0 in 1 trial of one"
    for name in ("mtt_ms", "p95_ms"):
        assert (found[name]["ratio"], found[name]["low"], found[name]["n"]) == (None, None, 0)
        assert found[name]["words"] == "not compared: nobody was answered in 1 trial of one"
    assert found["answer_or_give_up_ms"]["n"] == 4
    (said,) = (text for kind, text in sentences.sentences(arms) if kind == "warn")
    assert said.startswith("In a trial of one no request was answered: its TPS is 0")


def test_times_are_no_lead_where_a_trial_answered_nobody() -> None:
    arms = with_a_silent_one()
    compared = compare.comparisons("mtt_ms", arms)
    (lead,) = answer.leads({"arms": arms, "primary": "mtt_ms", "comparisons": compared})
    assert (lead["ratio"], lead["interval"]) == ("", "")
    assert lead["words"] == "not compared: nobody was answered in 1 trial of one"
    assert sentences.answers(compared) == [
        ("note", "MTT of two over one, as run: not compared: nobody was answered in 1 trial of one.")
    ]
    assert sentences.answers(compared, forbidden=True) == []


def test_a_trial_that_counts_and_lacks_a_figure_takes_its_ratio_away_whatever_the_figure() -> None:
    idle = with_a_silent_one(efficiency=None, answer_or_give_up_ms=None, requests=0, failures=0)
    for name in ("efficiency", "answer_or_give_up_ms", "failed_share"):
        told = compare.one(idle[1], idle[0], name)
        assert (told["ratio"], told["words"]) == (None, "not compared: nobody was answered in 1 trial of one")
    arms = two([10, 20, 30], [20, 40, 60])
    arms[1]["trials"][1]["p95_ms"] = None
    found = {entry["metric"]: entry for entry in compare.comparisons("tps", arms)}
    assert found["p95_ms"]["words"] == "not compared: 1 trial of two lacked it" and found["mtt_ms"]["n"] == 3


def test_what_no_trial_has_and_cpu_that_nobody_saw_are_nothing_that_was_found() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    for one in arms[0]["trials"]:
        one["p95_ms"] = None
    arms[1]["trials"][1]["efficiency"] = None
    arms[1]["trials"][1]["servers"][0]["cpu_percent"] = None
    found = {(entry["metric"], entry["basis"]): entry for entry in compare.comparisons("tps", arms)}
    assert found["p95_ms", "as run"]["words"] == "not compared: no block in which both have it"
    assert found["efficiency", "as run"]["n"] == found["tps", "equal cpu"]["n"] == 2


def test_a_trial_that_answered_nobody_and_does_not_count_takes_nothing_away() -> None:
    one, other = with_a_silent_one()
    one["trials"][3]["verdict"] = "INVALID"
    arms = [arm("one", [*one["trials"], trial(11, 4, 10)]), other]
    assert compare.one(arms[1], arms[0], "mtt_ms")["n"] == 4


def test_failed_shares_of_which_some_are_0_differ_in_points() -> None:
    """Both failed 60 of 6000; without the blocks where one has none the other would look twice as bad."""
    arms = two([10.0] * 6, [10.0] * 6)
    for made, counts in zip(arms, ([10] * 6, [0, 0, 0, 20, 20, 20]), strict=True):
        for one, count in zip(made["trials"], counts, strict=True):
            one["failures"] = count
    compared = compare.comparisons("failed_share", arms)
    assert compared[0]["ratio"] is None
    assert compared[0]["words"].startswith("not compared: it is 0 in 3 trials of two")
    (found,) = compare.failures(arms)
    assert found["difference"] == pytest.approx(0) and found["n"] == 6 and found["low"] < 0 < found["high"]
    (said,) = (text for _, text in sentences.sentences(arms, compared, (), [found]) if "Failed share" in text)
    assert said.startswith(
        "Failed share: two has +0.00 points against one (6 pairs, 95 % interval -1.15 to +1.15"
    )
    assert not [text for _, text in sentences.sentences(arms, (), (), [found]) if "Failed share" in text]


def test_times_of_successes_are_not_compared_where_one_fails_more() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    arms[1]["failures"] = 100
    found = {one["metric"]: one for one in compare.comparisons("tps", arms) if one["basis"] == "as run"}
    assert found["mtt_ms"]["ratio"] is None and "fails more looks faster" in found["mtt_ms"]["words"]
    assert found["answer_or_give_up_ms"]["ratio"] is not None


def test_a_window_below_20_mtt_forbids_to_compare_times_and_nothing_else() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    last = arms[1]["trials"][2]
    last["window"] = {**last["window"], "short_for_times": True}
    arms = [arms[0], arm("two", arms[1]["trials"])]
    assert sentences.against(arms) == []
    found = {one["metric"]: one for one in compare.comparisons("tps", arms)}
    withheld = {name for name, one in found.items() if one["ratio"] is None}
    assert withheld == {"mtt_ms", "p95_ms", "answer_or_give_up_ms"}
    assert found["mtt_ms"]["words"] == "not compared: the window of two is below 20 times its MTT"
    assert found["mtt_ms"]["all_trials"]["n"] == 3
    (said,) = (text for kind, text in sentences.sentences(arms) if kind == "warn")
    assert said.startswith("The window of two is below 20 times its MTT: MTT,") and said.endswith("; TPS is.")


def test_what_may_not_be_compared_has_no_ratio() -> None:
    found = compare.comparisons("tps", two([10, 20, 30], [20, 40, 60]), "The window is short.")
    assert all(one["ratio"] is None and one["words"] == "not compared: The window is short." for one in found)
    assert all(one["all_trials"]["n"] == 3 for one in found)


def test_an_arm_of_several_trials_has_means_and_sums() -> None:
    (one, _) = two([10, 40], [20, 80])
    assert one["tps"] == pytest.approx(20) and one["requests"] == 2000 and one["cut"] == 6
    brief = {"short": False, "short_for_times": False}
    assert one["window"] == {"kind": "hold", "users": 10, "from_s": None, "to_s": None, **brief}
    assert one["servers"][0]["requests"] == 200 and one["servers"][0]["cpu_s"] == 1.0
    nothing = joined.figures([trial(1, 1, 10, "INVALID"), trial(2, 2, 10, "INVALID")])
    assert nothing["tps"] is None and nothing["servers"] == []


@pytest.mark.parametrize(
    ("used", "verdict", "told"), [(4.0, "VALID", True), (3.9, "VALID", False), (3.9, "INVALID", True)]
)
def test_servers_that_were_not_full_are_not_compared_at_equal_cpu(
    used: float, verdict: str, told: bool
) -> None:
    """What a withheld trial used, of an app that was frozen, say, takes nothing from the others."""
    arms = two([10.0] * 4, [10.0] * 4)
    arms[1]["trials"][0]["servers"][0]["cpu_percent"] = used
    arms[1]["trials"][0]["verdict"] = verdict
    assert any(one["basis"] == "equal cpu" for one in compare.comparisons("tps", arms)) is told


def test_beside_another_primary_figure_equal_cpu_is_one_more() -> None:
    found = compare.comparisons("mtt_ms", two([10, 20, 31], [20, 41, 60]))
    assert sum(1 - one["confidence"] for one in found[1:]) == pytest.approx(0.05)


def test_arms_are_divided_in_the_order_of_the_experiment_whichever_was_run_first(tmp_path: Path) -> None:
    one, two = (Raw(replace(synthetic.plan(servers=count), id=id)) for count, id in ((1, "02"), (2, "01")))
    folder = synthetic.write_run(tmp_path, [one, two])
    assert [paths.name for paths in folder.trials] == ["01-servers-2", "02-servers-1"]
    found = results.analyse(folder.path)
    assert [arm["label"] for arm in found["arms"]] == ["servers=1", "servers=2"]
    pairs = {(entry["numerator"], entry["denominator"]) for entry in found["comparisons"]}
    assert pairs == {("servers=2", "servers=1")}


def ramped(
    made: dict[str, Any], knees: dict[int, float], kind: str = "knee", after: float = 0.1
) -> dict[str, Any]:
    """The same arm with the knees of its ramps, by block."""
    each = [{"users": users, "tps": 2 * users, "before": 2.0, "after": after} for users in knees.values()]
    mean = sum(knees.values()) / len(knees) if kind == "knee" else None
    return made | {
        "knee": {
            "kind": kind,
            "users": mean,
            "each": each,
            "blocks": list(knees),
            "answer": "none up to 99 users",
        }
    }


def knee_of(arms: list[dict[str, Any]]) -> dict[str, Any] | None:
    found = [one for one in compare.comparisons("tps", arms) if one["metric"] == "knee"]
    assert len(found) < 2
    return found[0] if found else None


def test_knees_are_compared_in_the_same_blocks() -> None:
    one, more = two([10, 20, 30], [20, 40, 60])
    arms = [ramped(one, {1: 23, 2: 33, 3: 21}), ramped(more, {3: 52, 1: 53, 2: 72})]
    found = knee_of(arms)
    # logarithms of 53 / 23, 72 / 33 and 52 / 21; five other figures are compared beside the primary one, and they hold
    # together: t(0.995, 2) = 9.9248
    logs = [math.log(53 / 23), math.log(72 / 33), math.log(52 / 21)]
    mean, half = statistics.mean(logs), 9.9248 * statistics.stdev(logs) / math.sqrt(3)
    assert found is not None and found["n"] == 3 and not found["primary"]
    assert found["ratio"] == pytest.approx(math.exp(mean))
    assert found["low"] == pytest.approx(math.exp(mean - half), rel=1e-4)
    assert found["confidence"] == pytest.approx(0.99)
    said = [
        text for _, text in sentences.answers(compare.comparisons("tps", arms)) if text.startswith("Knee")
    ]
    assert said == [
        f"Knee of two over one, as run: 2.318 (3 pairs, 99 % interval {found['low']:.3f} to {found['high']:.3f}): {found['words']}."
    ]
    (table,) = answer.pairs({"arms": arms, "comparisons": compare.comparisons("tps", arms)})
    (row,) = [row for row in table["rows"] if row["name"] == "Knee"]
    assert (row["unit"], row["values"]) == ("users", ["59", "26"])


def test_a_knee_that_was_asked_for_is_answered_first() -> None:
    one, more = two([10, 20, 30], [20, 40, 60])
    arms = [ramped(one, {1: 23, 2: 33, 3: 21}), ramped(more, {3: 52, 1: 53, 2: 72})]
    first, *others = compare.comparisons("knee", arms)
    assert (first["metric"], first["primary"], first["confidence"], first["n"]) == ("knee", True, 0.95, 3)
    assert first["ratio"] == pytest.approx(2.318, abs=1e-3) and first["low"] > 1
    assert "knee" not in {entry["metric"] for entry in others} and {"tps", "mtt_ms"} <= {
        entry["metric"] for entry in others
    }
    # where neither bends that is the answer
    straight = [ramped(made, {1: 20, 2: 21, 3: 22}, "none") for made in (one, more)]
    first = compare.comparisons("knee", straight)[0]
    assert (first["metric"], first["ratio"]) == ("knee", None)
    assert first["words"] == "not compared: two has no knee (none up to 99 users)"


@pytest.mark.parametrize(
    ("kind", "after", "why"),
    [
        ("none", 0.1, "two has no knee (none up to 99 users)"),
        ("knee", 1.9, "not every trial of two bends"),
    ],
)
def test_what_does_not_bend_has_no_ratio(kind: str, after: float, why: str) -> None:
    one, more = two([10, 20, 30], [20, 40, 60])
    bent = {1: 20.0, 2: 21.0, 3: 22.0}
    found = knee_of([ramped(one, bent), ramped(more, bent, kind, after)])
    assert found is not None and (found["ratio"], found["words"]) == (None, f"not compared: {why}")


def test_a_ramp_with_too_few_levels_is_not_left_out() -> None:
    one, more = two([10, 20, 30, 40], [20, 40, 60, 80])
    bent = {1: 20.0, 2: 21.0, 3: 22.0, 4: 21.0}
    arms = [ramped(one, bent), ramped(more, {at: bent[at] for at in (1, 3, 4)})]
    told = "not compared: too few levels settled in 1 trial of two"
    for primary in ("tps", "knee"):
        (found,) = (entry for entry in compare.comparisons(primary, arms) if entry["metric"] == "knee")
        assert (found["ratio"], found["low"], found["n"], found["words"]) == (None, None, 0, told)
    withheld_one = [trial(9, 2, 40, "INVALID") if one["block"] == 2 else one for one in more["trials"]]
    found = knee_of([arms[0], arms[1] | {"trials": withheld_one}])
    assert found is not None and found["n"] == 3  # what does not count takes nothing away


def test_without_knees_nothing_is_said_of_them() -> None:
    one, more = two([10, 20, 30], [20, 40, 60])
    assert knee_of([one, more]) is None
    assert knee_of([ramped(one, {1: 5.0}, "few"), ramped(more, {1: 5.0}, "few")]) is None
    only = knee_of([one, ramped(more, {1: 5.0, 2: 5.0, 3: 5.0})])
    assert only is not None and only["words"] == "not compared: one has no ramp"


def levelled(made: dict[str, Any], ramps: dict[int, dict[int, float]], unsettled: int = 0) -> dict[str, Any]:
    """The same arm with TPS by users of the ramps of its blocks; levels of `unsettled` users are so in the first block."""
    trials = [
        one
        | {
            "levels": [
                {"users": users, "tps": tps, "why": "short" if (users, at) == (unsettled, 0) else ""}
                for users, tps in ramps[one["block"]].items()
            ]
        }
        for at, one in enumerate(made["trials"])
    ]
    return made | {"trials": trials}


def test_tps_is_compared_level_by_level_in_the_same_blocks() -> None:
    one, more = two([10, 20, 30], [20, 40, 60])
    slow = {at: {9: 10.0 * at, 18: 11.0 * at, 27: 12.0 * at} for at in (1, 2, 3)}
    fast = {at: {users: tps * (2 + at / 10) for users, tps in ramp.items()} for at, ramp in slow.items()}
    arms = [levelled(one, slow), levelled(more, fast, unsettled=27)]
    found = compare.levels(arms)
    assert [(entry["users"], entry["n"]) for entry in found] == [
        (9, 3),
        (18, 3),
    ]  # 27 did not settle each time
    ratio = math.exp(statistics.mean(map(math.log, (2.1, 2.2, 2.3))))
    half = 4.302653 * statistics.stdev(map(math.log, (2.1, 2.2, 2.3))) / math.sqrt(3)
    for entry in found:
        assert entry["ratio"] == pytest.approx(ratio) and entry["words"] == "different by more than 5 %"
        assert entry["low"] == pytest.approx(ratio / math.exp(half), rel=1e-5)
    assert found[0]["tps"] == [pytest.approx(ratio * 10 * 6 ** (1 / 3)), pytest.approx(10 * 6 ** (1 / 3))]
    rows = bending.pairs(found)
    assert rows[0][:2] == ("two / one", "9") and rows[0][-2:] == ("3", "different by more than 5 %")
    assert compare.levels(arms, "a short window") == []
    # a trial that does not count takes nothing away, and adds nothing
    arms[1]["trials"][0]["verdict"] = "INVALID"
    assert [(entry["users"], entry["n"]) for entry in compare.levels(arms)] == [(9, 2), (18, 2), (27, 2)]


def test_a_level_at_which_nobody_was_answered_has_no_ratio() -> None:
    one, more = two([10, 20, 30], [20, 40, 60])
    ramps = {at: {9: 10.0, 18: 11.0} for at in (1, 2, 3)}
    found = compare.levels([levelled(one, ramps), levelled(more, {**ramps, 2: {9: 0.0, 18: 11.0}})])
    assert [(entry["users"], entry["ratio"]) for entry in found] == [(9, None), (18, pytest.approx(1.0))]
    assert found[0]["words"] == "not compared: nobody was answered, or no block has both"
    assert bending.pairs(found)[0][2:6] == ("–", "10.00", "–", "–")


def test_a_hold_alone_has_no_levels_to_compare() -> None:
    one, more = two([10, 20, 30], [20, 40, 60])
    held = {at: {9: 10.0} for at in (1, 2, 3)}
    assert compare.levels([levelled(one, held), levelled(more, held)]) == compare.levels([one, more]) == []
