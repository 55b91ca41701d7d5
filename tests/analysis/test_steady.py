"""Whether a level stays, on series whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis import steady
from analysis.steady import Cut, Seconds, Slope

FLAT = np.full(300, 100.0)
AT = np.arange(300.0)


def cuts(level: steady.Floats, deviation: float = 5.0, series: int = 1000) -> steady.Floats:
    """The 5th, 50th and 95th percentile of what MSER-5 cuts off, in seconds."""
    chance = np.random.default_rng(20261126)
    found = [steady.mser5(level + chance.normal(0, deviation, len(level))) for _ in range(series)]
    return np.percentile(found, [5, 50, 95])


def carried(chance: np.random.Generator, count: int, deviation: float, share: float) -> steady.Floats:
    """A flat series of 1 whose noise carries over from second to second, never below 0."""
    noise = [0.0]
    for fresh in chance.normal(0, deviation * math.sqrt(1 - share**2), count + 60):
        noise.append(share * noise[-1] + fresh)
    return np.maximum(0.0, 1 + np.array(noise[-count:]))


def test_mser5_cuts_a_ramp_and_nothing_else() -> None:
    """reliability.md, B3, within two batches of 5 s: a ramp of 80 exp(-t/15) over 60 s is cut at 40, 55, 95 s (5, 50,
    95 %), of a flat series nothing (median) to 30 s (95 %), and an endless drift to the limit, half of it."""
    ramp = np.where(AT < 60, 100 - 80 * np.exp(-AT / 15), 100.0)
    assert cuts(ramp) == pytest.approx([40, 55, 95], abs=10)
    low, median, high = cuts(FLAT)
    assert low == median == 0 and high == pytest.approx(30, abs=10)
    assert cuts(100 + 0.2 * AT)[1] == 150


def test_mser5_is_the_smallest_standard_error() -> None:
    """Worked out by hand: batch means 1, 5, 5, 5, 5.5, 5: without the first their errors are smallest."""
    means = np.repeat([1.0, 5.0, 5.0, 5.0, 5.5, 5.0], 5)
    assert steady.mser5(means) == 5
    assert steady.mser5(means[:9]) == 0  # one batch has nothing to be compared with


def test_mser5_is_not_asked_of_short_holds() -> None:
    """On 30 s it is pinned to its limit in a fifth of flat series and more."""
    chance = np.random.default_rng(1)
    pinned = np.mean([steady.mser5(100 + chance.normal(0, 5, 30)) == 15 for _ in range(2000)])
    assert 0.2 < pinned < 0.3
    both = Seconds(np.full(299, 5.0), np.full(299, 5.0))
    assert all(isinstance(one, Slope) for _, one in steady.found(both))
    assert all(isinstance(one, Cut) for _, one in steady.found(Seconds(FLAT, FLAT)))


@pytest.mark.parametrize("count", [12, 15, 30, 60, 300])
@pytest.mark.parametrize(("deviation", "share"), [(0.1, 0.0), (0.3, 0.0), (0.1, 0.6)])
def test_a_flat_hold_is_practically_never_called_unsteady(count: int, deviation: float, share: float) -> None:
    chance = np.random.default_rng(count)
    tell = steady.cut if count >= steady.LONG_S else steady.slope
    turned = 0
    for _ in range(1000):
        one = tell(carried(chance, count, deviation, share))
        assert one is not None
        turned += not one.steady
    assert turned <= 10, turned


@pytest.mark.parametrize(
    ("level", "steadily"),
    [
        (np.linspace(100, 60, 15), False),
        (np.linspace(100, 60, 60), False),
        (np.linspace(100, 93, 60), True),  # a change, and a small one
        (np.repeat([100.0, 20.0], 30), False),  # what a limiter does that is lowered in the middle
        (np.linspace(100, 130, 300), False),
        (np.linspace(100, 104, 300), True),  # MSER-5 cuts half of it, which lies 2 % beside the rest
        (100 - 80 * np.exp(-AT / 15), True),  # settled early enough
        (100 - 80 * np.exp(-AT / 150), False),
    ],
)
def test_levels_that_move(level: steady.Floats, steadily: bool) -> None:
    chance = np.random.default_rng(9)
    seconds = level + chance.normal(0, 1, len(level))
    found = steady.found(Seconds(seconds, seconds))
    assert [(what, one.steady) for what, one in found] == [("TPS", steadily), ("times", steadily)]


def test_a_fall_is_told_from_the_noise_of_a_limiter() -> None:
    """What the rehearsal weary_users does: from 4 to 1 request per second of a user in 60 s; noise of 30 % per second."""
    chance = np.random.default_rng(4)
    missed = 0
    for _ in range(300):
        one = steady.slope(np.linspace(150, 40, 60) * np.maximum(0, 1 + chance.normal(0, 0.3, 60)))
        assert one is not None
        missed += one.steady
    assert missed <= 3, missed


def test_the_slope_is_that_of_least_squares() -> None:
    """Five batches of 3 s on a line: the change is that of the line, without doubt."""
    found = steady.slope(np.repeat([8.0, 9.0, 10.0, 11.0, 12.0], 3))
    assert found is not None
    assert (found.change, found.low, found.high) == pytest.approx((0.5, 0.5, 0.5))
    bent = steady.slope(np.repeat([8.0, 9.0, 10.0, 11.0, 13.0], 3))
    assert bent is not None  # numpy's polyfit gives 1.2 a batch, with a standard error of 0.1155
    assert bent.change == pytest.approx(5 * 1.2 / 10.2)
    assert bent.high - bent.change == pytest.approx(7.4533 * 0.11547 * 5 / 10.2, rel=1e-3)


def test_what_has_no_level_tells_nothing() -> None:
    assert steady.slope(np.ones(11)) is None and steady.slope(np.zeros(60)) is None
    assert steady.cut(np.zeros(300)) is None and steady.cut(np.full(300, np.nan)) is None
    holes = np.where(np.arange(40) % 2, np.nan, 10.0)
    told = steady.slope(holes)
    assert told is not None and told.change == pytest.approx(0.0)
