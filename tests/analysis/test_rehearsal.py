"""What a rehearsal finds in the checks of a trial, and in what its failures are put down to; what charts shade."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import drawing, rehearsal, report, results, series
from analysis.checks import limiter_attached
from analysis.checks.quiet_hosts import STEAL
from analysis.readers import faults as readers
from analysis.readers.faults import Stretch
from loadproof.plan import faults
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic

FAULT = faults.load("stop_limiter")  # turns limiter_attached and limit_held, may turn generator_lag


def made(verdicts: Mapping[str, str], withholds: str = "trial") -> dict[str, Any]:
    """results.json of one trial with these checks."""
    checks = [
        {
            "name": name,
            "verdict": verdict,
            "withholds": "" if verdict == "VALID" else withholds,
            "said": f"{name} said",
        }
        for name, verdict in verdicts.items()
    ]
    return {"arms": [{"trials": [{"checks": checks}]}]}


TURNED = {"limiter_attached": "INVALID", "limit_held": "INVALID"}


@pytest.mark.parametrize(
    ("verdicts", "withholds", "wrong"),
    [
        (TURNED | {"drift": "VALID", "failures": "NOT ASKED"}, "trial", []),
        (TURNED | {"generator_lag": "INVALID"}, "trial", []),
        (TURNED | {"drift": "UNKNOWN"}, "trial", ["drift"]),
        (TURNED | {"percentiles": "INVALID"}, "p99_ms", []),
        ({"limiter_attached": "INVALID", "limit_held": "VALID"}, "trial", ["limit_held"]),
        ({"limiter_attached": "UNKNOWN", "limit_held": "INVALID"}, "trial", ["limiter_attached"]),
        ({"limit_held": "INVALID"}, "trial", ["limiter_attached"]),
        ({}, "trial", ["limiter_attached", "limit_held", "all"]),
    ],
)
def test_what_has_to_turn_does_and_nothing_else(
    verdicts: dict[str, str], withholds: str, wrong: list[str]
) -> None:
    found = rehearsal.findings(FAULT, made(verdicts, withholds))
    assert [one.check for one in found if not one.ok] == wrong
    assert {one.check for one in found} >= set(FAULT.turns)


def test_evidence_that_a_fault_destroys_is_unknown() -> None:
    (one,) = rehearsal.findings(faults.load("stop_sampler"), made({"limit_held": "UNKNOWN"}))
    assert (one.expected, one.found, one.said, one.ok) == ("UNKNOWN", "UNKNOWN", "limit_held said", True)


@pytest.mark.parametrize(
    ("verdicts", "withholds", "wrong"),
    [
        ({"drift": "VALID", "limit_held": "NOT ASKED"}, "trial", []),
        ({"drift": "VALID", "short_window": "INVALID"}, ("mtt_ms",), []),
        ({"drift": "UNKNOWN"}, "trial", ["all", "drift"]),
        ({}, "trial", ["all"]),
    ],
)
def test_nothing_turns_in_a_clean_trial(verdicts: dict[str, str], withholds: Any, wrong: list[str]) -> None:
    found = rehearsal.findings(None, made(verdicts, withholds))
    assert [one.check for one in found if not one.ok] == wrong
    assert found[0].check == "all"


Row = tuple[int | None, str | None, str | None, str | None]  # start, error, layer, reason


@pytest.mark.parametrize(("limit", "disturbed"), [(STEAL, True), (10.0, False), (None, False)])
def test_a_trial_from_which_cpu_was_stolen_says_nothing(limit: float | None, disturbed: bool) -> None:
    results = made(TURNED | {"quiet_hosts": "INVALID"})
    results["arms"][0]["trials"][0]["checks"][-1]["limit"] = limit
    assert rehearsal.disturbed(rehearsal.findings(FAULT, results)) is disturbed


@pytest.mark.parametrize(
    ("events", "right"),
    [
        ([{"event": "started", "percent": 60}, {"event": "attached"}], True),
        ([], False),  # it turned, and for something else
    ],
)
def test_a_check_has_to_say_what_the_fault_did(events: list[dict[str, Any]], right: bool) -> None:
    results = made(TURNED)
    results["arms"][0]["trials"][0]["checks"][0]["said"] = f"app1: {limiter_attached.wrong(events, 5.0)}"
    found = rehearsal.findings(faults.load("loosen_limiter"), results)
    assert {one.check: one.ok for one in found} == {"limit_held": True, "limiter_attached": right}
    assert right or "never started; wanted: set to 60 %" in found[-1].said


LOST = "load1: 3.1 % of the CPU was stolen by the machine below"
USED = "load1: processes that are not ours used 40.0 % of one CPU, up to 40.0 % in 5 s"


@pytest.mark.parametrize(
    ("fault", "turned", "limit", "said", "left"),
    [
        ("steal_cpu", {}, 25.0, USED, None),
        ("steal_cpu", {}, 25.0, f"{USED}; {LOST}", None),  # it is what took more
        ("steal_cpu", {}, STEAL, LOST, ["quiet_hosts"]),
        ("starve_generator", {"generator_lag": "INVALID"}, 10.0, USED, None),
        ("starve_generator", {"generator_lag": "INVALID"}, STEAL, LOST, ["generator_lag"]),
        ("starve_generator", {"generator_lag": "INVALID"}, 10.0, f"{USED}; {LOST}", ["generator_lag"]),
        # no theft takes samples away, or a limiter
        ("stop_sampler", {"limit_held": "UNKNOWN"}, STEAL, LOST, []),
        ("stop_limiter", TURNED, STEAL, LOST, []),
    ],
)
def test_what_the_machine_below_turned_is_no_proof_of_a_fault(
    fault: str, turned: dict[str, str], limit: float, said: str, left: list[str] | None
) -> None:
    """`left`: what is not as expected where each trial was like that; None: nobody took anything that matters."""
    results = made(turned | {"quiet_hosts": "INVALID"})
    results["arms"][0]["trials"][0]["checks"][-1] |= {"limit": limit, "said": said}
    found = rehearsal.findings(faults.load(fault), results)
    assert rehearsal.disturbed(found) is (left is not None)
    assert [one.check for one in rehearsal.unplanned(found) if not one.ok] == (left or [])


def journeys(path: Path, rows: list[Row]) -> Path:
    """The columns of tables/journeys that a rehearsal reads."""
    columns = zip(("start_us", "error", "layer", "reason"), zip(*rows, strict=True), strict=True)
    pq.write_table(pa.table({name: pa.array(values) for name, values in columns}), path / "one.parquet")
    return path / "one.parquet"


STRETCHES = (Stretch("refuse_port", "app2", 1000, 2000),)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(1500, "http_502", "app", "refused"), (1600, "", None, None), (None, None, None, None)], "1 app/refused"),
        (
            [(1500, "http_502", "app", "refused"), (1501, "closed", "app", "reset"), (2000, "http_502", "app", "refused")],
            "2 app/refused, 1 app/reset",
        ),
        ([(1500, "cut", None, None)], "no request failed"),
        ([(1500, "http_504", "proxy", "timeout")], "1 proxy/timeout; wanted: app/refused app/reset"),
        ([(999, "http_504", "proxy", "timeout"), (2001, "http_504", "proxy", "timeout")], "no request failed"),
        ([(1500, "timeout", None, None)], "1 unexplained; wanted: app/refused app/reset"),
    ],
)  # fmt: skip
def test_failures_meanwhile_are_put_down_to_the_fault(tmp_path: Path, rows: list[Row], said: str) -> None:
    found = rehearsal.attributed(faults.load("refuse_port"), journeys(tmp_path, rows), STRETCHES)
    assert found is not None and (found.check, found.said) == ("attribution", said)
    assert found.ok is (found.found == "right") is ("wanted" not in said)


def test_a_fault_that_makes_nothing_fail_asks_for_no_attribution(tmp_path: Path) -> None:
    path = journeys(tmp_path, [(1500, "http_500", "app", "error")])
    assert rehearsal.attributed(faults.load("stop_sampler"), path, STRETCHES) is None
    assert rehearsal.attributed(faults.load("refuse_port"), tmp_path / "none", STRETCHES) is None


def event(at_us: int, name: str, fault: str = "freeze_app", host: str = "app1") -> dict[str, Any]:
    """A line of the journal."""
    return {"realtime_us": at_us, "stage": "fault", "event": name, "fault": fault, "host": host}


def hurt(folder: RunFolder, lines: list[dict[str, Any]]) -> RunFolder:
    """Adds lines to the journal of the only trial."""
    with folder.trials[0].journal.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return folder


def test_stretches_in_the_journal(tmp_path: Path) -> None:
    folder, _ = synthetic.one_arm(tmp_path)
    lines = [
        event(5, "end"),  # closing ends what was never begun
        event(10, "begin"),
        event(11, "begin", "steal_cpu", "app2"),
        {"realtime_us": 12, "stage": "fault", "event": "action", "action": "app.freeze", "host": "app1"},
        event(20, "end"),
        event(21, "end"),
    ]
    assert readers.stretches(hurt(folder, lines).trials[0]) == (
        Stretch("freeze_app", "app1", 10, 20),
        Stretch("steal_cpu", "app2", 11, None),
    )
    folder.trials[0].journal.unlink()
    assert readers.stretches(folder.trials[0]) == ()


def test_charts_shade_what_was_broken(tmp_path: Path) -> None:
    folder, _ = synthetic.one_arm(tmp_path)
    before = results.judge(folder)
    plain = report.write(before).read_text()
    hold = before.members[0].judged.hold
    assert hold is not None
    zero = hold.zero_us
    lines = [
        event(zero + 8_000_000, "begin"),
        event(zero + 12_000_000, "end"),
        event(zero + 20_000_000, "begin", "nobody_knows"),
        event(zero + 90_000_000, "begin", "damage_log"),
    ]
    judged = results.judge(hurt(folder, lines))
    member = judged.members[0]
    broken = {member.label: readers.stretches(folder.trials[0])}
    drawn = series.series([(member.label, member.judged)], broken)
    label, colour = faults.load("freeze_app").label, faults.load("freeze_app").colour
    (first, second) = drawn.faults.to_dict("records")  # what is done after the load is not drawn
    assert (first["label"], first["colour"]) == (label, colour)
    assert (first["from_s"], first["to_s"]) == pytest.approx((8, 12), abs=0.01)
    assert (second["label"], second["colour"]) == ("nobody_knows", series.FAULT_COLOUR)
    page = report.write(judged).read_text()
    assert label in page and label not in plain
    over_time = [one for one in drawing.draw(drawn) if one.name not in ("latency", "trials")]
    assert len(over_time) > 3
    for one in over_time:
        assert label in one.svg and colour in one.svg, one.name
