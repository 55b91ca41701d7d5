"""nGrinder's rules, ramps, windows, durations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadproof.errors import BadInput
from loadproof.plan import durations
from loadproof.plan.load import Asked, plan_load, vusers


@pytest.mark.parametrize(
    ("number", "processes", "threads"),
    [(1, 1, 1), (2, 2, 1), (3, 2, 1), (80, 2, 40), (81, 3, 27), (99, 3, 33), (100, 3, 33), (120, 4, 30), (399, 10, 39),
     (400, 10, 40), (1000, 10, 100), (5000, 10, 500)],
)  # fmt: skip
def test_ngrinders_rule(number: int, processes: int, threads: int) -> None:
    found = vusers(number)
    assert found[:2] == (processes, threads)
    assert f"{number} vusers became" in found[2]
    assert f"= {processes * threads} users" in found[2]


def test_the_default_reaches_all_users_in_eleven_steps() -> None:
    load = plan_load(Asked(3, 33))
    assert [users for _, users in load.table] == [9 * step for step in range(1, 12)]
    assert load.table[-1] == (50.0, 99)
    assert (load.ramp_end_s, load.settle_s, load.hold_s, load.end_s) == (50.0, 5.0, 30.0, 85.0)
    thousand = plan_load(Asked(10, 100))
    assert len(thousand.table) == 11
    assert thousand.table[-2:] == ((45.0, 910), (50.0, 1000))  # the last step is cut


@pytest.mark.parametrize(
    ("asked", "users"),
    [
        (Asked(3, 33, ramp="thread"), [9, 18, 27, 36, 45, 54, 63, 72, 81, 90, 99]),
        (Asked(3, 33, ramp="thread", initial=1, step=16), [3, 51, 99]),
        (Asked(3, 33, ramp="process"), [33, 66, 99]),
        (Asked(10, 10, ramp="process", step=4), [40, 80, 100]),
        (Asked(3, 33, initial=50), [50, 59, 68, 77, 86, 95, 99]),
        (Asked(3, 33, step=50), [50, 99]),
        (Asked(3, 33, initial=200), [99]),
        (Asked(1, 1), [1]),
    ],
)
def test_units_change_the_total_over_time(asked: Asked, users: list[int]) -> None:
    assert [row[1] for row in plan_load(asked).table] == users


def test_duration_replaces_hold() -> None:
    load = plan_load(Asked(3, 33, duration_s=600.0))
    assert (load.hold_s, load.end_s) == (545.0, 600.0)
    assert plan_load(Asked(3, 33, duration_s=70.0)).hold_s == 15.0


def refused(**asked: Any) -> list[str]:
    with pytest.raises(BadInput) as caught:
        plan_load(Asked(**({"processes": 3, "threads": 33} | asked)))
    return [str(problem) for problem in caught.value.problems]


def test_what_never_reaches_its_users_is_refused() -> None:
    assert refused(step=0) == ["--step: 0: a load with it never reaches its users"]
    assert "never reaches its users" in refused(interval_s=0.0)[0]
    assert refused(duration_s=69.9) == [
        "--duration: 1m9.9s is too short: the ramp takes 50s, settling 5s, and a window that can be compared 15s: at least 1m10s"
    ]
    assert "at least 1" in refused(initial=0)[0]


def test_all_problems_at_once() -> None:
    found = refused(
        step=0, interval_s=0.0, hold_s=1.0, duration_s=600.0, timeout_s=0.0, processes=0, threads=0
    )
    assert [problem.partition(":")[0] for problem in found] == [
        "--processes", "--threads", "--step", "--interval", "--timeout", "--duration",
    ]  # fmt: skip
    assert refused(processes=10, threads=1000) == [
        "--processes and --threads: 10000 users are more than 4096, which nginx is set up for"
    ]
    assert refused(processes=1000, threads=1) == ["--processes: 1000 Locust workers are more than 512"]
    assert refused(processes=4, threads=1000, step=1)[0].startswith("--step: a ramp of more than 1000 steps")
    assert refused(hold_s=0.0) == ["--hold: 0s is no hold: the window would be empty"]


def test_a_short_hold_is_said() -> None:
    assert plan_load(Asked(3, 33, hold_s=15.0)).said == ()
    assert "short: a hold of 14s" in plan_load(Asked(3, 33, hold_s=14.0)).said[0]
    assert plan_load(Asked(3, 33, hold_s=20.0, think_s=1.0)).said == ()
    assert "below 20 times the think time" in plan_load(Asked(3, 33, hold_s=19.0, think_s=1.0)).said[0]


@given(
    processes=st.integers(1, 40), threads=st.integers(1, 100), ramp=st.sampled_from(["users", "thread", "process"]),
    initial=st.none() | st.integers(1, 300), step=st.none() | st.integers(10, 300), interval=st.floats(0.1, 60),
)  # fmt: skip
def test_every_accepted_load_rises_to_its_users(
    processes: int, threads: int, ramp: Any, initial: int | None, step: int | None, interval: float
) -> None:
    load = plan_load(Asked(processes, threads, ramp, initial, step, interval))
    seconds, users = zip(*load.table, strict=True)
    assert seconds[0] == 0
    assert users[-1] == load.users == processes * threads
    assert all(a < b for a, b in zip(users, users[1:], strict=False))
    assert all(a < b for a, b in zip(seconds, seconds[1:], strict=False))
    assert load.end_s == pytest.approx(seconds[-1] + load.settle_s + load.hold_s)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("300s", 300), ("20m", 1200), ("1h30m", 5400), ("500ms", 0.5), ("7", 7), ("0.8", 0.8), ("1h", 3600), ("1m500ms", 60.5),
     ("1.5m", 90), ("0", 0), ("2s250ms", 2.25), (" 5s ", 5)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert durations.parse(text) == seconds
    assert durations.parse(durations.spell(seconds)) == seconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1", "1d", "5 s", "1s1m", "nan", "inf", "1e3", "１s", "5S", "9" * 50, "200h", "."]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="length of time|longer"):
        durations.parse(text)


@pytest.mark.parametrize(
    ("asked", "flag"),
    [
        ({"think_s": 7200.0}, "--think"),
        ({"timeout_s": 0.0005}, "--timeout"),
        ({"hold_s": 0.0001}, "--hold"),
    ],
)
def test_what_load_hosts_would_reject_is_rejected_up_front(asked: dict[str, float], flag: str) -> None:
    with pytest.raises(BadInput) as caught:
        plan_load(Asked(1, 1, **asked))  # type: ignore[arg-type]
    assert [problem.where for problem in caught.value.problems] == [flag]
