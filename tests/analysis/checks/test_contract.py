"""What holds for every check, and how checks make a verdict."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from analysis import checks, verdicts
from analysis.checks import Check, Measured
from analysis.load import SCHEMAS, Tables
from loadproof.plan.values import Limit, TrialPlan
from tests.analysis import synthetic
from tests.analysis.checks.made import Made

FIGURES = ("failures", "short_window", "percentiles", "steady", "tail_drained")
CONDITIONS = (
    "app_alive", "arrivals_made", "disk_room", "drift", "every_backend", "generator_cpu", "generator_lag", "generator_rate", "hosts_up",
    "ledger_requests", "ledger_time", "limit_held", "limiter_attached", "logs_readable", "quiet_hosts", "rows_complete",
    "users_planned", "workers_kept",
)  # fmt: skip


def test_all_are_found() -> None:
    assert checks.names() == tuple(sorted((*CONDITIONS, *FIGURES)))


@pytest.mark.parametrize("name", checks.names())
def test_every_check_keeps_the_contract(name: str, tmp_path: Path) -> None:
    module = checks.load(name)
    for sentence in (module.ASKS, module.REMEDY):
        assert len(sentence) > 20 and "\n" not in sentence
    assert module.ASKS.endswith("?") and not module.REMEDY.endswith("?")
    if name in FIGURES:
        assert module.WITHHOLDS and set(module.WITHHOLDS) <= set(synthetic_names())
    else:
        assert module.WITHHOLDS == "trial"
    assert isinstance(module.applies(synthetic.plan()), bool)
    sound = Made.sound(tmp_path, planned_for(name)).judge(name)
    assert (sound.verdict, sound.withholds) == ("VALID", ""), sound.said
    assert sound.said and sound.remedy == module.REMEDY


def planned_for(name: str) -> TrialPlan:
    """A trial in which that check is asked."""
    closed = synthetic.plan(servers=2)
    return closed if checks.load(name).applies(closed) else synthetic.plan(servers=2, load=synthetic.OPEN)


def synthetic_names() -> tuple[str, ...]:
    from analysis.measures.figures import NAMES
    from analysis.trial import WHOLE_NAMES

    return (*NAMES, *(f"whole_run.{name}" for name in WHOLE_NAMES))


@pytest.mark.parametrize("name", checks.names())
def test_without_any_evidence_what_was_asked_is_unknown(name: str, tmp_path: Path) -> None:
    made = Made(
        tmp_path, planned_for(name), present=dict.fromkeys(SCHEMAS, ()), journal=None, lost=None, zero=None
    )
    made.requests = made.time = made.seconds = None
    one = made.judge(name)
    assert one.verdict == "UNKNOWN" and one.withholds != "", one.said
    assert one.remedy == checks.MISSING


@pytest.mark.parametrize("name", checks.names())
def test_what_only_one_model_of_load_has_is_asked_of_that_alone(name: str, tmp_path: Path) -> None:
    verdicts = [
        Made.sound(tmp_path / load.arrivals, synthetic.plan(servers=2, load=load)).judge(name)
        for load in (synthetic.LOAD, synthetic.OPEN)
    ]
    closed_only = name in ("users_planned", "ledger_time")
    wanted = "NOT ASKED" if name == "arrivals_made" else "VALID", "NOT ASKED" if closed_only else "VALID"
    assert tuple(one.verdict for one in verdicts) == wanted
    said = [one.said for one in verdicts if one.verdict == "NOT ASKED"]
    assert said == ([checks.load(name).NOT_ASKED] if said else [])


@pytest.mark.parametrize("name", ["limit_held", "limiter_attached"])
def test_what_the_plan_excludes_is_not_asked(name: str, tmp_path: Path) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, limit=Limit("none", 0.0)))
    one = made.judge(name)
    assert (one.verdict, one.withholds, one.value) == ("NOT ASKED", "", None)
    assert checks.verdict([one]) == "VALID"


def test_one_server_is_asked_as_many_are(tmp_path: Path) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=1))
    assert made.judge("every_backend").verdict == "VALID"
    made.attempts = {"app1": 0}
    assert made.judge("every_backend").verdict == "INVALID"


def check(name: str, verdict: checks.Verdict, withholds: str | tuple[str, ...] = "trial") -> Check:
    return Check(name, verdict, 1.0, 2.0, "s", withholds if verdict != "VALID" else "", "do so", "it was so")


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ([], "VALID"),
        ([check("a", "VALID"), check("b", "NOT ASKED", "")], "VALID"),
        ([check("a", "VALID"), check("b", "UNKNOWN")], "UNKNOWN"),
        ([check("a", "INVALID"), check("b", "UNKNOWN")], "INVALID"),
        ([check("a", "VALID"), check("b", "INVALID", ("p99_ms",))], "VALID"),
        ([check("a", "UNKNOWN", ("p99_ms",)), check("b", "UNKNOWN")], "UNKNOWN"),
    ],
)
def test_the_verdict_is_that_of_the_worst_condition(found: list[Check], verdict: str) -> None:
    assert checks.verdict(found) == verdict


def test_hosts_say_together_what_the_worst_of_them_say() -> None:
    one, two = Measured("VALID", "a is fine", 1.0), Measured("VALID", "b too", 3.0)
    bad = Measured("INVALID", "c is not", 9.0, 8.0, "%")
    assert checks.together([one, bad, two]) == bad
    assert (checks.together([one, two]).value, checks.together([one, two], least=True).value) == (3.0, 1.0)
    assert checks.together([one, two]).said == "a is fine; b too"
    assert checks.together([]).verdict == "UNKNOWN"
    hosts = [checks.invalid(one) for one in ("app1: 3 %", "app2: 2 %", "load1: 3 %", "app1: 3 %", "all went")]
    assert checks.together(hosts).said == "app1, load1: 3 %; app2: 2 %; all went"


def test_a_run_says_the_worst_of_its_trials() -> None:
    good, bad = check("a", "VALID"), replace(check("a", "INVALID"), value=7.0, said="it broke")
    few = check("b", "INVALID", ("p99_ms", "p95_ms"))
    parts = [
        ("one", verdicts.of_trial([good, few])), ("two", verdicts.of_trial([bad, few])),
        ("three", verdicts.of_trial([good, check("b", "VALID")])),
    ]  # fmt: skip
    made = verdicts.joined(parts)
    assert made["verdict"] == "INVALID"
    first, second = made["checks"]
    assert (first["verdict"], first["value"], first["withholds"], first["said"]) == (
        "INVALID",
        7.0,
        "trial",
        "two: it broke",
    )
    assert second["withholds"] == ["p99_ms", "p95_ms"] and second["said"] == "one: it was so; two: it was so"
    assert verdicts.joined(parts[2:]) == {"verdict": "VALID", "checks": parts[2][1]["checks"]}


def test_conditions_never_look_at_requests_one_by_one(tmp_path: Path) -> None:
    """The tables of requests, nginx and apps may not be in memory."""
    for load, unasked in ((synthetic.LOAD, 1), (synthetic.OPEN, 2)):
        made = Made.sound(tmp_path / load.arrivals, synthetic.plan(servers=2, load=load))
        evidence = made.evidence()
        kept = {
            name: getattr(evidence.tables, name) for name in ("users", "workers", "cpu", "present", "notes")
        }
        blind = replace(evidence, tables=Tables(**kept, requests=None, proxy=None, app=None))
        found = [one.verdict for one in checks.judge_all(blind)]
        assert (set(found), found.count("NOT ASKED")) == ({"VALID", "NOT ASKED"}, unasked)


@pytest.mark.parametrize("name", [one for one in CONDITIONS if one not in ("generator_lag", "generator_rate", "every_backend")])  # fmt: skip
def test_conditions_do_not_look_at_the_outcome(name: str, tmp_path: Path) -> None:
    """generator_lag is measured by the p50, generator_rate by the peak, as stated; every_backend counts nginx's attempts."""
    made = Made.sound(tmp_path, planned_for(name))
    made.figures = {**made.figures, "failures": 799, "mtt_ms": 1e6, "p50_ms": 1e6, "tps": 0.0, "servers": []}
    assert made.judge(name).verdict == "VALID"
