"""Bounds of a closed load against exact values of one server with exponential times (S = 50 ms, Z = 1 s)."""

from __future__ import annotations

import pytest

from analysis.bounds import bounds
from analysis.measures.levels import Level
from tests.analysis import ramps

SERVICE_S, THINK_S, LIMIT = 0.05, 1.0, 5.0
# users: (X per second, R in ms, utilisation)
KNOWN = {
    1: (0.9524, 50.0, 0.0476),
    5: (4.7128, 60.9, 0.2356),
    10: (9.2407, 82.2, 0.4620),
    21: (17.3713, 208.9, 0.8686),
    30: (19.8309, 512.8, 0.9915),
    60: (20.0, 2000.0, 1.0),
}


def closed(users: int) -> tuple[float, float]:
    """X per second and R in seconds."""
    return ramps.exact(users, SERVICE_S, THINK_S)


def level(users: int, **changes: float | None) -> Level:
    """A level of that server, under a limit of 5 % of one CPU."""
    rate, answer = closed(users)
    used = {"cpu_percent": LIMIT * rate * SERVICE_S, "failed_share": 0.0, "mtt_ms": answer * 1000, **changes}
    return Level(users, 0, 10, rate, used["mtt_ms"], rate * answer, used["failed_share"], used["cpu_percent"])


@pytest.mark.parametrize("users", KNOWN)
def test_the_server_is_the_one_of_the_known_answers(users: int) -> None:
    rate, answer = closed(users)
    assert (rate, 1000 * answer, rate * SERVICE_S) == (
        pytest.approx(KNOWN[users][0], abs=6e-5),
        pytest.approx(KNOWN[users][1], abs=0.06),
        pytest.approx(KNOWN[users][2], abs=6e-5),
    )


def test_bounds_of_that_server() -> None:
    levels = [level(users) for users in KNOWN]
    found = bounds(levels, THINK_S, 1, LIMIT)
    assert found.demand_s == pytest.approx(SERVICE_S) and found.most_tps == pytest.approx(20)
    assert found.alone_s == pytest.approx(1.05) and found.users == pytest.approx(21) and not found.why
    for one in levels:
        most = found.tps(one.users)
        assert most is not None and one.tps <= most * (1 + 1e-9)
    assert found.tps(10) == pytest.approx(10 / 1.05) and found.tps(60) == pytest.approx(20)
    # two servers that together do twice as much with the CPU that each one had
    double = [
        Level(2 * one.users, 0, 10, 2 * one.tps, one.mtt_ms, 0.0, 0.0, one.cpu_percent) for one in levels
    ]
    assert bounds(double, THINK_S, 2, LIMIT).users == pytest.approx(42)


@pytest.mark.parametrize(
    ("levels", "limit", "why", "known"),
    [
        ([level(1), level(60)], None, "no CPU limit was asked", "alone_s"),
        ([level(1), level(60, cpu_percent=None)], LIMIT, "the CPU of a level is unknown", "alone_s"),
        (
            [level(1, failed_share=0.02), level(60, failed_share=0.5)],
            LIMIT,
            "every level had failures",
            "alone_s",
        ),
        ([level(21), level(60)], LIMIT, "at 21 users the servers are used to 87 % already", "demand_s"),
        ([level(1, mtt_ms=None), level(60)], LIMIT, "no time of the lowest level", "demand_s"),
    ],
)
def test_what_is_unknown_has_a_reason(levels: list[Level], limit: float | None, why: str, known: str) -> None:
    found = bounds(levels, THINK_S, 1, limit)
    assert found.why == why and found.users is None
    assert [name for name in ("alone_s", "demand_s") if getattr(found, name) is not None] == [known]


def test_levels_that_failed_do_not_count_for_the_demand() -> None:
    wasted = level(60, failed_share=0.4, cpu_percent=50.0)
    assert bounds([level(1), level(10), wasted], THINK_S, 1, LIMIT).demand_s == pytest.approx(SERVICE_S)


def test_what_a_request_takes_alone_is_the_mean_over_trials() -> None:
    levels = [level(1, mtt_ms=55.0), level(5), level(1, mtt_ms=90.0), level(5), level(1, mtt_ms=80.0)]
    assert bounds(levels, 0.25, 1, LIMIT).alone_s == pytest.approx(0.25 + 0.075)
    unknown = bounds([*levels, level(1, mtt_ms=None)], 0.25, 1, LIMIT)
    assert unknown.alone_s is None and unknown.why == "no time of the lowest level"
