"""Levels of a ramp, counted again from the raw rows; when errors begin; what results.json, summary and page say of them."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from analysis import answer, bending, charts, order, report, results
from analysis.attribution import KEYS
from analysis.knee import Trial, knee
from analysis.measures.flight import Flight
from analysis.measures.levels import Level, Onset, Ramp, onsets, planned
from loadproof.console.summary import summary
from loadproof.runfolder import formats
from loadproof.runfolder.paths import RunFolder
from tests.analysis import ramps, synthetic


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, synthetic.Raw, dict[str, Any]]:
    """A run of one ramp, analysed; not to be changed."""
    raw = ramps.ramp()
    folder = synthetic.write_run(tmp_path_factory.mktemp("ramp"), [raw])
    return folder, raw, results.analyse(folder.path)


def requests(raw: synthetic.Raw) -> list[tuple[float, float, str]]:
    """(start, end, error class) of every request, in seconds since second 0."""
    found = []
    for worker, rows in raw.client.items():
        shift = synthetic.T0 + synthetic.OFFSETS[raw.host_of(worker)]
        for row in rows:
            if row[0] == formats.KIND_REQUEST:
                found.append(
                    ((row[10] - shift) / 1e6, (row[12] - shift) / 1e6, formats.ERROR_CLASSES[row[1]])
                )
    return found


def test_every_level_counted_again(made: tuple[RunFolder, synthetic.Raw, dict[str, Any]]) -> None:
    _, raw, found = made
    every = requests(raw)
    levels = found["arms"][0]["trials"][0]["levels"]
    assert [one["users"] for one in levels] == [users for _, users in ramps.STEPS]
    for one, (begin, _) in zip(levels, ramps.STEPS, strict=True):
        since, to = one["from_s"], one["to_s"]
        assert since == begin + 5  # half of ten seconds; of the hold, what settles
        assert to == (begin + 20 if begin == 90 else begin + 10)
        done = [(end - start) for start, end, error in every if since <= end < to and error == ""]
        bad = [1 for _, end, error in every if since <= end < to and error not in ("", "cut")]
        flight = sum(max(0.0, min(end, to) - max(start, since)) for start, end, _ in every) / (to - since)
        assert one["tps"] == pytest.approx(len(done) / (to - since))
        # clocks of the two load hosts are known to a microsecond or two
        assert one["mtt_ms"] == pytest.approx(1000 * sum(done) / len(done), abs=0.02)
        assert one["in_flight"] == pytest.approx(flight, abs=1e-3)
        assert one["failed_share"] == pytest.approx(len(bad) / (len(bad) + len(done)))
        assert one["cpu_percent"] == pytest.approx(5.2, rel=0.02)
        assert one["why"] == ""
    hold = found["arms"][0]
    assert levels[-1]["tps"] == pytest.approx(hold["tps"], rel=1e-3)
    assert levels[-1]["mtt_ms"] == pytest.approx(hold["mtt_ms"], rel=1e-3)


def test_its_knee_is_that_of_its_server(made: tuple[RunFolder, synthetic.Raw, dict[str, Any]]) -> None:
    folder, _, found = made
    (arm,) = found["arms"]
    users = [users for _, users in ramps.STEPS]
    known = knee([Trial(users, [ramps.exact(one)[0] for one in users])])
    assert known.kind == "knee" and known.users == pytest.approx(
        10.25 + 1, abs=1
    )  # it bends softly around N* = 10.25
    assert arm["knee"]["kind"] == "knee" and arm["knee"]["users"] == pytest.approx(known.users, abs=2.5)
    assert (arm["knee"]["low"], arm["knee"]["trials"]) == (None, 1)
    assert arm["errors_begin"]["answer"] == "never more than 1 % in 5 s up to 20 users"
    assert arm["errors_begin"]["users"] == [None]
    assert arm["bounds"]["alone_s"] == pytest.approx(0.09 + arm["trials"][0]["levels"][0]["mtt_ms"] / 1000)
    assert arm["usl"]["answer"]
    line = f"ramp of servers=1: {arm['knee']['answer']}; errors {arm['errors_begin']['answer']}"
    assert line in summary(found).splitlines()
    page = report.render(folder.path).read_text()
    assert "Where does it bend?" in page and arm["knee"]["answer"] in page
    assert {"levels_tps", "levels_mtt"} <= {path.stem for path in (folder.path / "charts").glob("*.svg")}
    assert {"levels_tps", "levels_mtt"} <= set(charts.charts())


def test_where_it_bends_may_be_what_was_asked(tmp_path: Path) -> None:
    folder = synthetic.write_run(tmp_path, [ramps.ramp()])
    folder.run.write_text(folder.run.read_text().replace('"primary": "tps"', '"primary": "knee"'))
    judgement = results.judge(folder)
    assert judgement.results["primary"] == "knee"
    (arm,) = judgement.results["arms"]
    users = arm["knee"]["users"]
    assert users > 1 and arm["trials"][0]["knee_users"] == users
    held = arm | {"verdict": "VALID"}  # of a made trial not every condition is known
    (lead,) = answer.leads(judgement.results | {"arms": [held]})
    assert (lead["ratio"], lead["what"]) == (f"{users:.0f}", "Knee of servers=1, users")
    (ran,) = order.ran(judgement)
    assert ran.value == users
    assert "Knee of servers=1" in report.render(folder.path).read_text()


def test_short_levels_have_no_knee(tmp_path: Path) -> None:
    found = results.analyse(synthetic.write_run(tmp_path, [ramps.ramp(load=ramps.shorter(4.0))]).path)
    (arm,) = found["arms"]
    why = [one["why"] for one in arm["trials"][0]["levels"]]
    assert why == ["too short: 4 s of 10.0 s"] * 9 + [""]
    assert arm["knee"]["answer"] == "levels too short: fewer than 5 settled (10 s and 5 times the MTT)"
    assert arm["usl"]["why"] == "1 of at least 6 levels"


def test_users_that_never_came_keep_a_level_from_counting(tmp_path: Path) -> None:
    raw = ramps.ramp()
    for worker, rows in raw.client.items():  # the last of the 14 users of the seventh level
        raw.client[worker] = [row for row in rows if row[0] != formats.KIND_USER_STARTED or row[6] != 13]
    (arm,) = results.analyse(synthetic.write_run(tmp_path, [raw]).path)["arms"]
    why = [one["why"] for one in arm["trials"][0]["levels"]]
    assert why[:6] == [""] * 6 and why[6] == "13 users were alive in it, 14 were planned"


def test_a_steady_load_has_no_levels(tmp_path: Path) -> None:
    load = dataclasses.replace(
        synthetic.LOAD, table=((0.0, 9),), ramp_end_s=0.0, settle_s=2.0, hold_s=16.0, end_s=18.0
    )
    folder = synthetic.write_run(tmp_path, [synthetic.simulate(synthetic.plan(load=load), 2, 0.05)])
    found = results.analyse(folder.path)
    (arm,) = found["arms"]
    assert {arm[name] for name in ("knee", "bounds", "usl", "errors_begin")} == {None}
    assert arm["trials"][0]["levels"] is None
    assert (
        "ramp of" not in summary(found)
        and "Where does it bend?" not in report.render(folder.path).read_text()
    )


def test_without_the_rows_of_a_worker_there_are_no_levels(tmp_path: Path) -> None:
    folder = synthetic.write_run(tmp_path, [ramps.ramp()])
    (folder.trials[0].raw("load1") / "requests-1.rows").unlink()
    (arm,) = results.analyse(folder.path)["arms"]
    assert arm["knee"] is None and arm["trials"][0]["levels"] is None


def test_requests_in_flight() -> None:
    """Seconds 0 to 3; (start, end) in seconds, the first one a blink before second 0, the last one of no client."""
    times = [(-0.002, 0.5), (0.25, 3.0), (2.0, 2.001), (2.5, 2.75), (1.9, 2.1), (-5000.0, -5000.0)]
    zero = 5_000_000_000
    start, end = (np.array([zero + round(one[at] * 1e6) for one in times]) for at in (0, 1))
    started, ended = (np.where(one < zero, -1, (one - zero) // 1_000_000) for one in (start, end))
    flight = Flight(zero, 4)
    for part in (slice(0, 3), slice(3, None)):
        sent = started[part] >= 0
        booked = np.bincount(started[part][sent], (end - start)[part][sent], 4)
        over = started[part] != ended[part]
        flight.add(booked, *(one[part][over] for one in (start, end, started, ended)))
    assert flight.in_flight() == pytest.approx([0.5 + 0.75, 1 + 0.1, 1 + 0.001 + 0.25 + 0.1, 0])


def of_arm(scale: float, servers: int = 1) -> Ramp:
    """A ramp of a closed load of 3 to 60 users on one server of 50 ms, thinking 1 s; `scale`: how fast this trial was."""
    levels = []
    for users in range(3, 61, 3):
        rate, taken = ramps.exact(users, 0.05 / scale, 1.0)
        levels.append(Level(users, 0, 10, rate, 1000 * taken, rate * taken, 0.0, 5 * rate * 0.05))
    onset = Onset(48, 3, 9, 100)
    return Ramp(
        tuple(levels),
        onset if scale > 1 else None,
        {"app": onset} if scale > 1 else {},
        servers,
        5.0,
        1.0,
        60,
    )


def test_an_arm_of_several_trials() -> None:
    scales = (0.96, 1.0, 1.04, 1.02)
    found = bending.of_arm({2 * at: of_arm(scale) for at, scale in enumerate(scales)})
    each = [one["users"] for one in found["knee"]["each"]]
    assert found["knee"]["blocks"] == [0, 2, 4, 6]
    assert found["knee"]["users"] == pytest.approx(sum(each) / 4) and found["knee"]["trials"] == 4
    # t(0.975, 3) = 3.1824
    half = 3.1824 * statistics.stdev(each) / 2
    assert found["knee"]["low"] == pytest.approx(found["knee"]["users"] - half, abs=1e-3)
    assert found["knee"]["high"] == pytest.approx(found["knee"]["users"] + half, abs=1e-3)
    assert 21 < each[1] < 23.5  # it bends softly: the knee lies a little behind N* = 21
    assert found["knee"]["answer"].endswith("4 trials)")
    assert found["errors_begin"] == {
        "users": [None, None, 48, 48],
        "layers": {"app": [None, None, 48, 48]},
        "answer": "begin at 48 users in 2 of 4 trials (app 48)",
    }
    # all of its CPU is used at 20 a second of a trial as fast as planned: 5 % / 0.0025 s
    assert found["bounds"]["most_tps"] == pytest.approx(20) and found["bounds"]["users"] == pytest.approx(
        21, abs=0.3
    )
    assert found["usl"]["levels"] == 20 and found["usl"]["peak"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    of_ramps = {**found, "trials": [{"levels": one} for one in ([], [1, 2])]}
    assert bending.sentences(of_ramps)[0] == f"Throughput over users: {found['knee']['answer']}."
    assert bending.sentences({**found, "trials": [{"levels": [1]}, {"levels": None}]}) == []
    assert bending.of_arm({1: None}) == dict.fromkeys(("knee", "bounds", "usl", "errors_begin"))


def timeline(failed: dict[int, tuple[str, int]], each: int = 100) -> Any:
    """Counts of 30 seconds: `each` successes a second, and failures by second."""
    seconds = 30
    keys = [*KEYS, "unexplained"]
    reasons = np.zeros((len(keys), seconds), np.int64)
    for second, (key, count) in failed.items():
        reasons[keys.index(key), second] = count
    return SimpleNamespace(ended=np.full(seconds, each), errors=reasons.sum(axis=0)[None, :], reasons=reasons)


STRETCHES = [(10, 0.0, 10.0), (20, 10.0, 20.0), (30, 20.0, 30.0)]
APP, CLIENT = (next(key for key in KEYS if key.startswith(layer)) for layer in ("app/", "client/"))


@pytest.mark.parametrize(
    ("failed", "begins", "layers"),
    [
        ({}, None, {}),
        ({12: (APP, 5)}, None, {}),  # 5 of 505: just below 1 %
        ({12: (APP, 6)}, (20, 10, 6, 506), {"app": 20}),
        ({9: (APP, 3), 10: (APP, 3)}, None, {}),  # never 1 % within one level
        ({18: (APP, 4), 19: (CLIENT, 4), 25: (CLIENT, 9)}, (20, 15, 8, 508), {"client": 30}),
        ({3: ("unexplained", 50)}, (10, 0, 50, 550), {"unexplained": 10}),
    ],
)
def test_when_errors_begin(
    failed: dict[int, tuple[str, int]], begins: tuple[int, ...] | None, layers: dict[str, int]
) -> None:
    found, by_layer = onsets(timeline(failed), STRETCHES)
    assert (None if found is None else dataclasses.astuple(found)) == begins
    assert {layer: one.users for layer, one in by_layer.items()} == layers


def test_a_level_shorter_than_five_seconds_is_one_stretch() -> None:
    found, _ = onsets(timeline({4: (APP, 3)}), [(10, 0.0, 3.0), (20, 3.0, 5.5), (30, 5.5, 30.0)])
    assert found is not None and dataclasses.astuple(found) == (20, 3, 3, 203)


def test_planned_levels() -> None:
    assert planned(synthetic.LOAD) == [(3, 0.0, 2.0), (6, 2.0, 4.0), (9, 4.0, 22.0)]


def test_ramps_in_which_too_few_levels_settled_are_told_beside_the_knee() -> None:
    brief = of_arm(1.0)
    levels = [
        dataclasses.replace(one, why="too short" if at > 3 else "") for at, one in enumerate(brief.levels)
    ]
    ramp = dataclasses.replace(brief, levels=tuple(levels))
    found = bending.of_arm({1: of_arm(0.98), 2: of_arm(1.0), 3: ramp, 4: of_arm(1.02)})["knee"]
    assert (found["kind"], found["trials"], found["blocks"]) == ("knee", 3, [1, 2, 4])
    assert found["answer"].endswith(", 3 trials); in 1 of 4 ramps fewer than 5 levels settled")
    alone = bending.of_arm({1: ramp})["knee"]["answer"]
    assert alone == "levels too short: fewer than 5 settled (10 s and 5 times the MTT)"
