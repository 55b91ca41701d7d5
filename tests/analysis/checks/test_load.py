"""Checks of the generator, its users and its rows, on evidence made by hand."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from analysis.checks import generator_lag
from analysis.ledgers import RequestLedger, TimeLedger
from analysis.measures.window import Window
from loadproof.plan.places import load_unit
from tests.analysis import synthetic
from tests.analysis.checks.made import T0, Made, us


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made.sound(tmp_path)


# --- generator_cpu --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shares", "host", "cpus", "verdict"),
    [
        ({1: 0.85, 2: 0.1, 3: 0.1}, 0.9, 2, "VALID"),
        ({1: 0.93, 2: 0.1, 3: 0.1}, 1.1, 2, "INVALID"),  # a worker is one thread
        (
            {1: 0.47, 2: 0.47, 3: 0.1},
            0.96,
            1,
            "INVALID",
        ),  # two on one CPU: neither is above 90 %, together they are
        ({1: 0.47, 2: 0.47, 3: 0.1}, 0.96, 2, "VALID"),
    ],
)
def test_cpu_of_workers_and_of_their_host(
    made: Made, shares: dict[int, float], host: float, cpus: int, verdict: str
) -> None:
    made.worker_cpu = shares
    made.used["load1", "load_ns"] = lambda at: host * max(0.0, at)
    made.before["load1"]["cpus"] = cpus
    one = made.judge("generator_cpu")
    assert one.verdict == verdict, one.said
    assert one.value == pytest.approx(100 * max(*shares.values(), host / cpus), abs=0.1)


def test_cpu_that_is_not_known_over_the_window(made: Made) -> None:
    made.silent[2] = (18, 99)
    one = made.judge("generator_cpu")
    assert one.verdict == "UNKNOWN" and "load1: Locust worker 2" in one.said
    made.silent.clear()
    for odd in (-1, 10**400, "2", None):
        made.before["load2"]["cpus"] = odd
        one = made.judge("generator_cpu")
        assert one.verdict == "UNKNOWN" and "load2: how many CPUs it has" in one.said


def test_a_window_in_which_a_worker_has_no_row(made: Made) -> None:
    """It ended when the first user stopped, half a second after it began; the worker's first row comes later."""
    made.hold = Window("hold", 9, T0, us(6), us(6.2))
    made.silent[2] = (0, 6)
    one = made.judge("generator_cpu")
    assert one.verdict == "UNKNOWN" and "load1: Locust worker 2: its CPU is not known" in one.said


# --- generator_lag --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("p50", "lag", "bad_seconds", "verdict"),
    [
        (170.0, 16.0, 16, "VALID"),  # 10 % of 170 ms
        (170.0, 18.0, 16, "INVALID"),
        (3.0, 4.9, 16, "VALID"),  # never below 5 ms
        (3.0, 5.1, 16, "INVALID"),
        (30.0, 60.0, 1, "VALID"),  # one bad second does not decide
        (30.0, 60.0, 5, "INVALID"),
        (None, 4.0, 16, "VALID"),
        (None, 6.0, 16, "UNKNOWN"),  # nothing to compare it with
    ],
)
def test_lag(made: Made, p50: float | None, lag: float, bad_seconds: int, verdict: str) -> None:
    made.figures["p50_ms"] = p50
    made.lag_ms[3] = lambda second: lag if 6 <= second < 6 + bad_seconds else 1.0
    one = made.judge("generator_lag")
    assert one.verdict == verdict, one.said
    if bad_seconds == 16:
        assert one.value == pytest.approx(lag) and f"Locust worker 3 was up to {lag:.1f} ms late" in one.said
        assert p50 is None or f"{100 * lag / p50:.1f} % of the p50" in one.said  # the added error


@pytest.mark.parametrize(
    ("stalls", "x"),
    [
        ([], 0.0),
        ([5_000] * 15, 0.0),  # 75 ms of 15 s are less than 1 %
        ([200_000], 50_000.0),  # 200 - x is 150 ms, 1 % of 15 s
        ([200_000, 100_000], 75_000.0),
        ([6_000_000], 5_850_000.0),
    ],
)
def test_what_stalls_come_to(stalls: list[int], x: float) -> None:
    assert generator_lag.stalled(np.array(stalls, np.int64), 15_000_000) == pytest.approx(x)


def test_a_worker_that_stood_still_was_late_though_it_looked_at_nothing_meanwhile(made: Made) -> None:
    made.silent[2], made.stall_ms[2] = (3, 8), (8, 5000.0)  # the window begins at 6
    one = made.judge("generator_lag")
    assert one.verdict == "INVALID" and "Locust worker 2" in one.said
    assert one.value == pytest.approx(2300 - 160)  # from 6 to 8.3, less 1 % of 16 s


def test_where_nothing_succeeds_lag_is_compared_with_the_time_to_giving_up(made: Made) -> None:
    made.figures |= {"p50_ms": None, "answer_or_give_up_ms": 2000.0}
    made.lag_ms[3] = lambda second: 50.0
    one = made.judge("generator_lag")
    assert (one.verdict, one.limit) == ("VALID", 200.0) and "2.5 % of the time to giving up" in one.said


def test_lag_of_a_worker_without_rows_is_unknown(made: Made) -> None:
    made.silent[2] = (0, 99)
    assert made.judge("generator_lag").verdict == "UNKNOWN"


# --- generator_rate -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "peak", "verdict", "value"),
    [
        ({"load1": 81.0, "load2": 41.0}, 60.0, "VALID", 2.025),  # load1 has two of three workers
        ({"load1": 79.0, "load2": 41.0}, 60.0, "INVALID", 1.975),
        ({"load1": 500.0, "load2": 39.0}, 60.0, "INVALID", 1.95),
        (
            {"load1": 500.0, "load2": 500.0},
            10.0,
            "VALID",
            15.0,
        ),  # failures are no part of the peak: 800 in 16 s
        ({"load1": 500.0}, 60.0, "UNKNOWN", None),
        ({"load1": 500.0, "load2": 500.0}, None, "UNKNOWN", None),
    ],
)
def test_the_generators_own_rate(
    made: Made, rates: dict[str, float], peak: float | None, verdict: str, value: float | None
) -> None:
    made.rates, made.figures["whole_run"] = rates, {"peak_tps": peak}
    if peak is None:
        made.figures["requests"] = None
    one = made.judge("generator_rate")
    assert one.verdict == verdict, one.said
    assert one.value == (value if value is None else pytest.approx(value))


def test_a_load_host_without_workers_has_nothing_to_prove(tmp_path: Path) -> None:
    load = dataclasses.replace(synthetic.LOAD, processes=1, threads=9)
    made = Made.sound(tmp_path, synthetic.plan(servers=2, load=load, workers=(("load1", 1),)))
    assert set(made.rates) == {"load1"}
    assert made.judge("generator_rate").verdict == "VALID"


# --- users_planned --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "verdict", "said"),
    [
        (lambda users: users, "VALID", "9 users started as planned"),
        (lambda users: [(at + 0.45 * (at > 1), kind) for at, kind in users], "VALID", "within 0.47 s"),
        (lambda users: [(at + 0.6 * (at > 3.9), kind) for at, kind in users], "INVALID", "0.6 s late"),
        (lambda users: [(at - 0.7 * (3.9 < at < 9), kind) for at, kind in users], "INVALID", "s early"),
        (lambda users: users[1:], "INVALID", "8 users started, 9 were planned to"),
        (lambda users: [(0.5, "user_started"), *users], "INVALID", "10 users started"),
        (lambda users: [*users, (12.0, "user_stopped")], "INVALID", "1 users stopped before the planned end"),
        (
            lambda users: [one for one in users if one[1] == "user_started"],
            "VALID",
            "",
        ),  # cut off with their worker
    ],
)
def test_users(made: Made, change: object, verdict: str, said: str) -> None:
    assert callable(change)
    made.users = change(made.users)
    one = made.judge("users_planned")
    assert one.verdict == verdict and said in one.said, one.said


def test_users_that_leave_by_the_plan_are_planned(tmp_path: Path) -> None:
    load = dataclasses.replace(synthetic.LOAD, table=((0.0, 9), (3.0, 5), (4.0, 9)))
    made = Made.sound(tmp_path, synthetic.plan(servers=2, load=load))
    ends = [(22.0, "user_stopped")] * 9
    made.users = (
        [(0.0, "user_started")] * 9 + [(3.1, "user_stopped")] * 4 + [(4.0, "user_started")] * 4 + ends
    )
    one = made.judge("users_planned")
    assert one.verdict == "VALID" and one.value == pytest.approx(0.1)


@pytest.mark.parametrize("spoil", ["rows", "zero"])
def test_users_without_rows_are_unknown(made: Made, spoil: str) -> None:
    if spoil == "rows":
        made.present["requests"], made.users = ("1", "2"), made.users[3:]
    else:
        made.zero = None
    assert made.judge("users_planned").verdict == "UNKNOWN"


def test_users_whose_rows_are_all_there_are_known_where_rows_of_requests_are_missing(made: Made) -> None:
    made.present["requests"] = ("1", "2")
    assert made.judge("users_planned").verdict == "VALID"


# --- workers_kept ---------------------------------------------------------------------------------------


def test_workers(made: Made) -> None:
    assert made.judge("workers_kept").said == "all 3 stayed"
    made.lost = [2]
    one = made.judge("workers_kept")
    assert (one.verdict, one.value, one.said) == ("INVALID", 1.0, "Locust worker 2 was lost by its master")


def test_a_worker_that_stood_still_is_no_kept_one(made: Made) -> None:
    made.silent[3] = (10, 14)  # stopped, then continued: nobody missed it
    one = made.judge("workers_kept")
    assert one.verdict == "INVALID" and "Locust worker 3 stood still for 5.0 s" in one.said
    made.silent[3] = (1, 5)  # before the window it is no better
    assert made.judge("workers_kept").verdict == "INVALID"
    made.silent[3] = (10, 11)
    assert made.judge("workers_kept").verdict == "VALID"


def test_a_worker_that_failed_is_lost(made: Made) -> None:
    made.after["load2"]["units"][load_unit(3)] = {"active": "failed", "result": "signal"}
    assert made.judge("workers_kept").said == "Locust worker 3 failed"


def test_without_the_masters_word_it_is_unknown(made: Made) -> None:
    made.lost = None
    assert made.judge("workers_kept").verdict == "UNKNOWN"
    made.silent[1] = (12, 99)
    assert made.judge("workers_kept").verdict == "INVALID"  # its own rows say enough


# --- rows_complete, logs_readable, tail_drained ---------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "whole", "gone", "verdict", "said"),
    [
        ("workers", ("1", "2"), (), "INVALID", "rows are missing: Locust worker 3 on load2"),
        ("app", ("app1",), (), "INVALID", "rows are missing: the app on app2"),
        ("app", ("app1",), ("app2/app-700-1.rows",), "UNKNOWN", "not here: the app on app2"),
        ("workers", ("1", "2"), ("load2/requests-3.rows",), "UNKNOWN", "not here: Locust worker 3 on load2"),
        (
            "workers",
            ("1",),
            ("load2/requests-3.rows",),
            "INVALID",
            "rows are missing: Locust worker 2 on load1",
        ),
    ],
)
def test_rows(made: Made, kind: str, whole: tuple[str, ...], gone: tuple[str, ...], verdict: str, said: str) -> None:  # fmt: skip
    made.present[kind] = whole
    for name in gone:
        made.files.pop(name)
        (made.folder / "raw" / name).parent.mkdir(parents=True, exist_ok=True)
    one = made.judge("rows_complete")
    assert (one.verdict, one.said) == (verdict, said)


@pytest.mark.parametrize(
    ("log", "counted", "verdict"),
    [
        ("proxy", (1, 1000), "VALID"),
        ("proxy", (2, 1000), "INVALID"),
        ("requests", (5, 100), "INVALID"),
        ("app", (0, 0), "UNKNOWN"),
        ("app", None, "UNKNOWN"),
    ],
)
def test_logs(made: Made, log: str, counted: tuple[int, int] | None, verdict: str) -> None:
    made.malformed.pop(log)
    if counted is not None:
        made.malformed[log] = counted
    one = made.judge("logs_readable")
    assert one.verdict == verdict, one.said
    if counted and counted[1]:
        assert one.value == pytest.approx(100 * counted[0] / counted[1])


def test_a_tail_that_did_not_drain(made: Made) -> None:
    assert made.journal is not None
    made.journal.insert(1, ("drain", "note", {"host": "app1", "detail": "3 requests were in flight"}))
    one = made.judge("tail_drained")
    assert (one.verdict, one.value) == ("INVALID", 1.0) and "app1: 3 requests were in flight" in one.said


def test_a_trial_that_never_drained_is_unknown(made: Made) -> None:
    made.journal = [("trial", "interrupted", {"detail": "Ctrl-C"})]
    assert made.judge("tail_drained").verdict == "UNKNOWN"


# --- ledgers --------------------------------------------------------------------------------------------


def test_ledgers(made: Made) -> None:
    made.requests = RequestLedger(
        3, 5000, said=("app1: 2 ids that no client wrote down", "nginx: 1 id is missing")
    )
    one = made.judge("ledger_requests")
    assert (one.verdict, one.value, one.limit) == ("INVALID", 3.0, 0.0)
    assert (
        one.said
        == "3 of 5,000 ids do not balance: app1: 2 ids that no client wrote down; nginx: 1 id is missing"
    )


@pytest.mark.parametrize(
    ("total", "strangers", "verdict"),
    [(5000, 1, "VALID"), (5000, 5, "VALID"), (5000, 6, "INVALID"), (50, 5, "VALID"), (50, 6, "INVALID"),
     (20_000, 20, "VALID"), (20_000, 21, "INVALID")],
)  # fmt: skip
def test_requests_of_somebody_else(made: Made, total: int, strangers: int, verdict: str) -> None:
    """A stray one turns nothing; more than five that are more than a thousandth of all do."""
    made.requests = RequestLedger(0, total, strangers=strangers)
    one = made.judge("ledger_requests")
    assert one.verdict == verdict and f"{strangers} request" in one.said and "of somebody else" in one.said
    if verdict == "INVALID":
        assert (one.value, one.unit) == (strangers, "requests") and one.limit == max(5, total / 1000)


@pytest.mark.parametrize(
    ("gap", "verdict"), [(0.019, "VALID"), (0.021, "INVALID"), (-0.021, "INVALID"), (-0.01, "VALID")]
)
def test_user_time(made: Made, gap: float, verdict: str) -> None:
    made.time = TimeLedger(144.0, 144.0 * (1 - gap))
    one = made.judge("ledger_time")
    assert one.verdict == verdict and one.value == pytest.approx(100 * abs(gap))
