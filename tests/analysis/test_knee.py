"""The knee: known bends are found, straight lines have none, and what cannot be told is not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest

from analysis.knee import Floats, Trial, knee

USERS = np.arange(9.0, 100.0, 9.0)
Shape = Callable[[Floats], Floats]


def made(shape: Shape, noise: float, seed: int, trials: int = 1, apart: float = 0.0) -> list[Trial]:
    """Trials of a shape with noise in proportion to its greatest value, and as a whole `apart` from each other."""
    chance = np.random.default_rng(seed)
    found = []
    for _ in range(trials):
        tps = shape(USERS) * (1 + apart * chance.standard_normal())
        found.append(Trial(USERS, tps + noise * shape(USERS).max() * chance.standard_normal(len(USERS))))
    return found


def bent(at: float, before: float = 2.0, after: float = 0.0) -> Shape:
    return lambda users: before * np.minimum(users, at) + after * np.maximum(users - at, 0.0)


@pytest.mark.parametrize("at", [27.0, 43.0, 50.5, 80.0])
@pytest.mark.parametrize("after", [0.0, 0.5, -0.3])
def test_a_bend_without_noise_is_found_where_it_is(at: float, after: float) -> None:
    found = knee([Trial(USERS, bent(at, after=after)(USERS))])
    assert found.kind == "knee" and found.users == pytest.approx(at, abs=0.05)
    assert found.each[0].before == pytest.approx(2, abs=0.01) and found.p is not None and found.p < 0.01
    assert (found.low, found.high) == (None, None)
    assert found.answer == f"knee at {found.users:.0f} users (1 trial: an interval needs 3)"


def test_a_bend_between_the_first_two_levels_lies_on_the_line_from_no_users() -> None:
    found = knee([Trial(USERS, bent(13.0)(USERS))])
    assert found.kind == "knee" and found.users == pytest.approx(13)


def test_the_interval_is_over_trials() -> None:
    trials = [Trial(USERS, bent(at)(USERS)) for at in (40.0, 42.0, 44.0, 46.0)]
    found = knee(trials)
    assert found.users == pytest.approx(43, abs=0.05)
    # t(0.975, 3) = 3.1824, standard deviation 2.582: +- 4.108
    assert (found.low, found.high) == (pytest.approx(43 - 4.108, abs=0.1), pytest.approx(43 + 4.108, abs=0.1))
    assert found.answer == "knee at 43 users (39 to 47, 4 trials)"
    assert knee(trials[:2]).low is None
    far = [Trial(USERS, bent(at)(USERS)) for at in (25, 80, 25)]
    assert knee(far).low == 0 and knee(far).high == pytest.approx(43.3 + 78.9, abs=0.1)  # not -36 users
    found = knee([*trials, Trial(USERS, 2 * USERS)])
    assert (found.users, found.low) == (pytest.approx(43, abs=0.05), None)
    assert found.answer == "knee at 43 users (5 trials, 4 of them bend)"


@pytest.mark.parametrize(
    ("shape", "kind", "answer"),
    [
        (lambda users: 2 * users, "none", "none up to 99 users"),
        (lambda users: 10 + 1.8 * users, "none", "none up to 99 users"),
        (lambda users: 2 * users + 0.005 * users**2, "none", "none up to 99 users"),  # bends up
        (bent(45.0, after=1.5), "none", "none up to 99 users"),  # a little slower is no knee
        (lambda users: 20 + 0 * users, "below", "below the first step"),
        (bent(4.0), "below", "below the first step"),
        (
            lambda users: 20 - 0.2 * np.maximum(users - 50, 0),
            "below",
            "below the first step",
        ),  # flat, then falls
    ],
)
def test_what_has_no_knee_in_its_range(shape: Shape, kind: str, answer: str) -> None:
    for noise in (0.0, 0.002):
        found = knee(made(shape, noise, 1))
        assert (found.kind, found.users) == (kind, None) and found.answer.startswith(answer)
        assert found.hides_from is None or found.hides_from >= 72


# two servers on the lab, 250 ms of think time: TPS of the levels of three trials
SOFT = (
    [34.6, 63.2, 80.2, 101.6, 115.8, 105.6, 123.2, 149.6, 144.6, 117.2, 130.5],
    [34.6, 64.6, 89.0, 106.0, 105.4, 116.0, 128.0, 159.6, 112.0, 126.4, 120.6],
    [34.4, 62.2, 82.4, 88.8, 104.4, 124.6, 125.6, 116.0, 99.8, 131.4, 121.1],
)


def test_a_queue_that_bends_softly_has_its_knee_behind_the_first_step() -> None:
    """Over all levels it is flatter than at its beginning; from 9 to 18 users it grows as from none to 9."""
    found = knee([Trial(USERS, tps) for tps in SOFT])
    assert found.kind == "knee" and found.users is not None and 36 < found.users < 72, found.answer
    assert found.low is not None and found.low > USERS[1]


def test_levels_that_say_nothing() -> None:
    few, flat = USERS[:4], np.full(4, 3.0)
    assert knee([]).answer == "too few levels (fewer than 5)"
    assert knee([Trial(few, flat)]).answer == "too few levels (fewer than 5)"
    assert (
        knee([Trial(few, flat, short=7)]).answer
        == "levels too short: fewer than 5 settled (10 s and 5 times the MTT)"
    )
    assert knee([Trial([], [], short=11)]).kind == "short"
    assert knee([Trial(few, flat, short=7), *made(bent(43.0), 0.0, 1)]).trials == 1
    assert knee([Trial(USERS, 0 * USERS)]).answer == "no request of a settled level succeeded"
    wild = knee(made(lambda users: 2 * users, 0.6, 5))
    assert wild.answer == "not decided: levels differ too much by chance"


def test_a_late_knee_that_noise_could_hide_is_not_denied() -> None:
    found = knee(made(lambda users: 2 * users, 0.03, 3))
    assert found.kind == "none" and found.hides_from is not None and found.hides_from >= 54
    assert found.answer == f"none up to 99 users; one from {found.hides_from:.0f} on would hide in the noise"


@pytest.mark.parametrize("proportional", [False, True])
def test_straight_lines_bend_no_more_often_than_they_may(proportional: bool) -> None:
    """Naive tests see a knee in 10 to 14 % of them; 300 here, at 3 and at 10 % of noise."""
    chance = np.random.default_rng(20261126)
    seen: Counter[str] = Counter()
    for index in range(300):
        noise = (0.03, 0.1)[index % 2] * chance.standard_normal(len(USERS))
        line = 2 * USERS
        seen[knee([Trial(USERS, line + noise * (line if proportional else line.max()))]).kind] += 1
    assert seen["knee"] + seen["below"] <= 0.08 * 300, seen


def test_trials_that_lie_apart_are_told_from_levels_that_do() -> None:
    kinds = Counter(knee(made(lambda users: 2 * users, 0.03, seed, 4, apart=0.1)).kind for seed in range(40))
    assert kinds["none"] >= 36, kinds
    found = [knee(made(bent(43.0), 0.03, seed, 4, apart=0.1)) for seed in range(40)]
    assert all(one.kind == "knee" for one in found)
    inside = [one.low is not None and one.high is not None and one.low <= 43 <= one.high for one in found]
    assert sum(inside) >= 34  # of 40 intervals of 95 %, 38 are expected
