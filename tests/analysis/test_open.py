"""Open loads: known answers of queues and of a frozen server, through the code that measures; rows to results.json."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import against, models, report, results, sentences
from analysis.journeys import NO_ROWS, NONE, Block, Texts
from analysis.measures import figures as figured
from analysis.measures import ngrinder
from analysis.measures.figures import Figures
from analysis.measures.window import Window
from analysis.readers import live
from loadproof.plan import openload
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import formats, record
from loadproof.runfolder.paths import RunFolder
from loadtests import autostop
from loadtests.profiles import arrivals
from loadtests.profiles.arrivals import Share
from tests.analysis import recompute, synthetic
from tests.analysis.test_attribution import NOTHING

TEXTS = Texts(("", "cut", "timeout"), (), (), ("",), ("app1",))


def measured(due_s: Sequence[float], sent_s: Sequence[float], end_s: Sequence[float]) -> dict[str, Any]:
    """The figures of successes, all of them in the window."""
    columns = {name: np.full(len(due_s), value) for name, value in NOTHING.items()}
    for name, seconds in (("intended", due_s), ("start", sent_s), ("end", end_s)):
        columns[name] = np.round(np.asarray(seconds) * 1e6).astype(np.int64)
    ids, tries = np.arange(len(due_s), dtype=np.uint64), np.full((len(due_s), 4), NONE)
    figures = Figures(Window("hold", 1, 0, 0, 1 + int(columns["end"].max())), TEXTS)
    figures.add(Block(id=ids, app=NO_ROWS, tries=tries, **columns), np.ones(len(due_s), bool))
    return figures.figures()


def served(due: Sequence[float], servers: int, mean_s: float, seed: int) -> list[float]:
    """When each of these is done: first come, first served, exponential service."""
    taken = np.random.default_rng(seed).exponential(mean_s, len(due))
    free = [0.0] * servers
    done = []
    for at, service in zip(due, taken.tolist(), strict=True):
        begin = max(at, heapq.heappop(free))
        heapq.heappush(free, begin + service)
        done.append(begin + service)
    return done


@pytest.mark.parametrize(
    ("rate", "servers", "service_s", "mtt", "p95", "p99", "within"),
    [
        (8.0, 1, 0.1, 500.0, 1498.0, 2303.0, 0.02),
        (12.0, 3, 0.2, 415.7, None, None, 0.02),
        (14.0, 3, 0.2, 1076.7, None, None, 0.04),
    ],
)
def test_queues_with_poisson_arrivals_have_the_times_of_theory(
    rate: float,
    servers: int,
    service_s: float,
    mtt: float,
    p95: float | None,
    p99: float | None,
    within: float,
) -> None:
    """M/M/1 and M/M/3; arrivals of four Locust workers together, four times 300,000: a mean of one time has an error of 2 %."""
    found = []
    for seed in range(1, 5):
        shares = [
            Share(rate, index, 4, 300_000 / rate, arrivals.seed(seed, "01", index + 1)) for index in range(4)
        ]
        due = list(heapq.merge(*(arrivals.times("poisson", share) for share in shares)))
        found.append(measured(due, due, served(due, servers, service_s, seed)))
    for name, wanted in (("mtt_ms", mtt), ("service_ms", mtt), ("p95_ms", p95), ("p99_ms", p99)):
        assert wanted is None or np.mean([one[name] for one in found]) == pytest.approx(wanted, rel=within)


def test_a_frozen_server_is_not_hidden_by_who_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """100/s, 1 ms each; then 100 s in which nothing is answered. Sent late, they count from when they were due."""
    monkeypatch.setattr(figured, "PERCENTILES", (50, 75, 95, 99))
    before, during = np.arange(10_000) / 100, 100 + np.arange(10_000) / 100
    due = np.concatenate([before, during])
    found = measured(
        due,
        np.concatenate([before, np.full(10_000, 200.0)]),
        np.concatenate([before + 0.001, np.full(10_000, 200.001)]),
    )
    assert found["mtt_ms"] == pytest.approx(25_000, rel=0.001)
    assert found["p50_ms"] == pytest.approx(1.0) and found["service_ms"] == pytest.approx(1.0)
    assert found["p75_ms"] == pytest.approx(50_000, rel=0.001)
    assert found["p99_ms"] == pytest.approx(98_000, rel=0.001)
    naive = measured([*before, 100.0], [*before, 100.0], [*(before + 0.001), 200.0])
    assert (naive["mtt_ms"], naive["p99_ms"]) == (pytest.approx(11.0, rel=0.01), pytest.approx(1.0))


# --- nGrinder's rule ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "bad", "second"),
    [
        ([], [], None),
        ([5] * 60, [0] * 60, None),
        ([0] * 60, [5] * 60, 11),
        ([0] * 10, [5] * 10, None),  # not long enough
        ([5] * 60, [5] * 60, None),  # half is not more than half
        ([5] * 4 + [0] * 40, [0] * 4 + [5] * 40, 19),
        ([0] * 5 + [50] + [0] * 40, [5] * 46, 21),  # it recovers before 10 s, and fails again
        ([0, 0, 0, 5, 0] * 12, [9, 0, 0, 0, 0] * 12, 11),  # seconds in which nothing ends change nothing
    ],
)
def test_ngrinder_would_have_stopped(good: list[int], bad: list[int], second: int | None) -> None:
    assert ngrinder.stop(np.array(good, np.int64), np.array(bad, np.int64)) == second
    rule, requests, failures = autostop.NGrinder(), 0, 0
    live_at = None
    for at, (well, ill) in enumerate(zip(good, bad, strict=True), start=1):
        requests, failures = requests + well + ill, failures + ill
        if live_at is None and rule.ends(at, requests, failures):
            live_at = at
    assert live_at == second, "the Locust master, which has the same rule on its own counts"


# --- rows to results ------------------------------------------------------------------------------------------------


def open_run(
    folder: Path, run: str = "20261124T031500Z-open", miss: int = 0, stall_s: float = 0.0, more: bool = False
) -> RunFolder:
    """50/s evenly by 3 workers over 22 s, 20 ms each; the first `miss` requests after second 8 are not made, and one second
    of them is sent `stall_s` late. `more`: each task sends a second request when the first one is answered."""
    plan = synthetic.plan(run, load=synthetic.OPEN)
    raw = synthetic.Raw(plan)
    for user in range(9):
        raw.user(user % 3 + 1, user + 1, 0.001 * user)
    for _, worker in plan.workers:
        share = Share(50.0, worker - 1, 3, 22.0, arrivals.seed(plan.seed, plan.id, worker))
        for number, due in enumerate(arrivals.times("even", share)):
            first = 2 * number if more else number
            answered(raw, worker, first, due, miss > (due - 8) * 50 >= 0, stall_s if 12 <= due < 13 else 0.0)
            if more:
                answered(raw, worker, first + 1, due + 0.03, False, 0.0, planned=False)
    for user in range(9):
        raw.user(user % 3 + 1, user + 1, 22.0, formats.KIND_USER_STOPPED)
    for at, (_, worker) in itertools.product(range(1, 23), plan.workers):
        raw.second(worker, at, 3)
    synthetic.quiet_samples(raw, {"app1": 0.05})
    return synthetic.write_run(folder, [raw])


def answered(
    raw: synthetic.Raw,
    worker: int,
    number: int,
    due: float,
    missed: bool,
    late_s: float,
    planned: bool = True,
) -> None:
    """One request and what its witnesses say; `missed`: no user was free for the 2 s of the timeout."""
    if missed:
        raw.request(worker, number, due + 2.0, due + 2.0, "not_made", 0, user=0, due=due)
        return
    sent = due + late_s + 0.0005
    id = raw.request(worker, number, sent, sent + 0.02, due=due if planned else sent)
    raw.read("app1", id, sent + 0.001, sent + 0.018)
    raw.logged(id, sent, sent + 0.02)


def checks_of(made: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in made["arms"][0]["trials"][0]["checks"]}


def test_an_open_trial(tmp_path: Path) -> None:
    folder = open_run(tmp_path)
    made = results.analyse(folder.path)
    (arm,) = made["arms"]
    assert arm["arrivals"] == {"planned": 800, "made": 800, "late": 0, "not_made": 0}
    assert arm["tps"] == pytest.approx(50, abs=0.5) and arm["failures"] == 0
    assert arm["mtt_ms"] == pytest.approx(20.5, abs=0.01)
    assert arm["service_ms"] == pytest.approx(20.0, abs=0.01)
    assert (
        arm["whole_run"]["ledgers"]["time"] is None
        and arm["whole_run"]["ledgers"]["requests"]["differences"] == 0
    )
    found = checks_of(made)
    assert {name: found[name]["verdict"] for name in ("arrivals_made", "users_planned", "ledger_time")} == {
        "arrivals_made": "VALID", "users_planned": "NOT ASKED", "ledger_time": "NOT ASKED",
    }  # fmt: skip
    assert "closed" not in json.dumps(made["sentences"])
    assert "Load: open, 50/s, even: times count from when a request was to be sent" in json.dumps(
        made["sentences"]
    )
    assert recompute.compare(folder.path)[0] == []


def test_what_a_task_sends_after_its_first_request_is_no_arrival(tmp_path: Path) -> None:
    (arm,) = results.analyse(open_run(tmp_path, more=True).path)["arms"]
    assert arm["arrivals"] == {"planned": 800, "made": 800, "late": 0, "not_made": 0}
    assert arm["requests"] == pytest.approx(1600, abs=5)


def test_requests_that_were_not_made_are_failures_of_the_generator(tmp_path: Path) -> None:
    made = results.analyse(open_run(tmp_path, miss=20).path)
    (arm,) = made["arms"]
    assert arm["arrivals"] == {"planned": 800, "made": 780, "late": 0, "not_made": 20}
    assert (arm["failures"], arm["errors"], arm["attribution"]) == (
        20,
        {"not_made": 20},
        {"client/not_made": 20},
    )
    assert arm["mtt_ms"] == pytest.approx(20.5, abs=0.01)
    assert arm["answer_or_give_up_ms"] == pytest.approx((780 * 20.5 + 20 * 2000) / 800, rel=0.01)
    one = checks_of(made)["arrivals_made"]
    assert (one["verdict"], one["value"], made["verdict"]) == ("INVALID", pytest.approx(2.5), "INVALID")
    assert checks_of(made)["ledger_requests"]["verdict"] == "VALID"


def test_requests_that_were_sent_late_count_from_when_they_were_due(tmp_path: Path) -> None:
    made = results.analyse(open_run(tmp_path, stall_s=1.5).path)
    (arm,) = made["arms"]
    assert arm["arrivals"] == {"planned": 800, "made": 800, "late": 50, "not_made": 0}
    assert arm["mtt_ms"] == pytest.approx(20.5 + 1500 * 50 / 800, rel=0.01)
    assert arm["service_ms"] == pytest.approx(20.0, abs=0.01)
    assert checks_of(made)["arrivals_made"]["verdict"] == "INVALID"


def test_open_and_closed_loads_are_not_compared(tmp_path: Path) -> None:
    one = open_run(tmp_path)
    plan = synthetic.plan("20261124T031600Z-closed")
    other = synthetic.write_run(tmp_path, [synthetic.simulate(plan, 2, 0.05)])
    made, _ = report.together([one.path, other.path], tmp_path)
    text = " ".join(said for _, said in made["sentences"])
    assert (
        "Some loads are open and some closed (servers=1 (open): open, 50/s, even; servers=1 (closed): closed, 9 users"
        in text
    )
    assert "times that of" not in text
    assert "Load: closed, 9 users, think time 0 s: a user waits for its answer" in text
    both = [results.analyse(folder.path) for folder in (one, other)]
    beside = against.runs(*both, (record.read_run(one), record.read_run(other)))
    assert beside["arms"] == []
    assert "open and closed loads are not compared" in " ".join(beside["warnings"])


def test_a_plan_of_arrivals_is_counted_as_the_workers_are_told() -> None:
    plan = synthetic.plan(load=dataclasses.replace(synthetic.OPEN, arrivals="poisson"))
    moments = sorted(openload.moments(plan))
    assert len(moments) == pytest.approx(21 * 50, abs=130)
    assert openload.planned(plan, 6.0, 22.0) == sum(at >= 6 for at in moments)
    assert openload.planned(synthetic.plan(), 6.0, 22.0) == 0


# --- autostop -------------------------------------------------------------------------------------------------------


def failing(folder: Path, autostopped: bool) -> RunFolder:
    """Every request fails from second 0 on."""
    load = dataclasses.replace(synthetic.LOAD, autostop="ngrinder" if autostopped else "none")
    plan = synthetic.plan(load=load)
    end = 12.0 if autostopped else 22.0
    raw = synthetic.Raw(plan)
    for user in range(9):
        raw.user(user % 3 + 1, user + 1, (0.0, 2.0, 4.0)[user // 3])
    for worker, number in itertools.product((1, 2, 3), range(int(end * 2) - 1)):
        id = raw.request(worker, number, number / 2, number / 2 + 0.4, "http", 500)
        raw.read("app1", id, number / 2 + 0.1, number / 2 + 0.3, status=500)
        raw.logged(id, number / 2, number / 2 + 0.4, status=500)
    for user in range(9):
        raw.user(user % 3 + 1, user + 1, end + 0.01, formats.KIND_USER_STOPPED)
    for at, worker in itertools.product(range(1, int(end) + 1), (1, 2, 3)):
        raw.second(worker, at, 3)
    synthetic.quiet_samples(raw, {"app1": 0.05})
    made = synthetic.write_run(folder, [raw])
    if autostopped:
        lines = [
            {"elapsed_s": 12.0, "lost": []},
            {
                "event": "autostop",
                "rule": "ngrinder",
                "elapsed_s": 12,
                "users": float("inf"),
            },  # no number of users
            {"event": "autostop", "rule": "ngrinder", "elapsed_s": 12, "users": 9},
        ]
        path = made.trials[0].raw("load1") / live.NAME
        path.write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"cut')
        synthetic.seal(path.parent, "load1", plan)
    return made


def test_when_ngrinder_would_have_stopped(tmp_path: Path) -> None:
    made = results.analyse(failing(tmp_path, False).path)
    (arm,) = made["arms"]
    assert arm["trials"][0]["ngrinder_stop"] == {"second": 11, "users": 9, "stopped": False}
    text = " ".join(said for _, said in made["sentences"])
    assert "nGrinder's rule would have stopped servers=1 at second 11, with 9 users" in text


def test_a_load_that_the_rule_ended(tmp_path: Path) -> None:
    made = results.analyse(failing(tmp_path, True).path)
    (arm,) = made["arms"]
    assert arm["ngrinder_stop"] == {"second": 12.0, "users": 9, "stopped": True}
    assert any(
        "autostop (ngrinder) ended the load at second 12, with 9 users" in one for one in made["incomplete"]
    )
    assert checks_of(made)["users_planned"]["verdict"] == "INVALID"
    assert "nGrinder's rule stopped servers=1 at second 12" in json.dumps(made["sentences"])
    assert arm["setup"]["autostop"] == "ngrinder"


def test_the_moment_is_marked_in_the_charts(tmp_path: Path) -> None:
    folder = failing(tmp_path, False)
    report.render(folder.path)
    page = (folder.path / "report.html").read_text()
    assert page.count("nGrinder would have stopped here") >= 2


def test_a_sound_trial_has_no_such_moment(two_arms: RunFolder) -> None:
    arms = json.loads(two_arms.results.read_text())["arms"]
    assert "ngrinder_stop" in arms[0] and models.of(arms[0]) == "closed"
    told = sentences.sentences(arms)
    assert any(text.startswith("Load: closed, 9 users, think time 0 s: a user waits") for _, text in told)


def test_a_plan_of_an_open_load_comes_back(tmp_path: Path) -> None:
    plan: TrialPlan = synthetic.plan(load=synthetic.OPEN)
    record.write_plan(tmp_path / "plan.json", plan)
    assert record.read_plan(tmp_path / "plan.json") == plan
    old = json.loads((tmp_path / "plan.json").read_text())
    for name in ("rate", "arrivals", "autostop"):
        del old["load"][name]
    (tmp_path / "plan.json").write_text(json.dumps(old))
    assert record.read_plan(tmp_path / "plan.json").load.rate is None
