"""Ratios of arms and what may be said of them, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analysis import statistics
from analysis.statistics import Ratio, paired

T95 = {2: 12.706205, 3: 4.302653, 4: 3.182446, 5: 2.776445, 20: 2.093024}  # tables of Student's t, by n


@pytest.mark.parametrize("n", [3, 4, 5, 20])
def test_the_interval_is_students_on_logs(n: int) -> None:
    logs = np.log(np.linspace(1.8, 2.3, n))
    below = np.linspace(50, 70, n)
    found = paired(below * np.exp(logs), below)
    half = T95[n] * logs.std(ddof=1) / math.sqrt(n)
    assert found.ratio == pytest.approx(math.exp(logs.mean()))
    assert (found.low, found.high) == pytest.approx(
        (math.exp(logs.mean() - half), math.exp(logs.mean() + half)), rel=1e-6
    )
    assert found.n == n and found.method == "paired ratios, t interval of their logarithms, 95 %"


def test_a_ratio_and_its_inverse_are_one_fact() -> None:
    one, other = paired([2, 2.2, 1.9], [1, 1, 1]), paired([1, 1, 1], [2, 2.2, 1.9])
    assert other.ratio == pytest.approx(1 / one.ratio)
    assert one.low is not None and other.high == pytest.approx(1 / one.low)
    assert one.words == other.words


@pytest.mark.parametrize("n", [1, 2])
def test_below_three_pairs_there_is_no_interval(n: int) -> None:
    found = paired([2.0] * n, [1.0] * n)
    assert (found.ratio, found.low, found.high, found.n) == (pytest.approx(2.0), None, None, n)
    assert "an interval needs 3" in found.method and found.words == "not decided: an interval needs 3 pairs"


@pytest.mark.parametrize(
    ("above", "below"), [([], []), ([1.0], [1.0, 2.0]), ([0.0], [1.0]), ([1.0], [-1.0]), ([math.nan], [1.0])]
)
def test_what_has_no_ratio(above: list[float], below: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs are needed|a ratio needs values above 0"):
        paired(above, below)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (1.06, 1.4, "different by more than 5 %"),
        (0.7, 0.95, "different by more than 5 %"),
        (0.7, 0.953, "different, maybe by less than 5 %"),  # 1 / 1.05 = 0.952
        (1.01, 1.4, "different, maybe by less than 5 %"),
        (0.99, 1.03, "no difference larger than 3.0 %"),
        (0.92, 1.01, "no difference larger than 8.7 %"),
        (1 / 1.1, 1.1, "no difference larger than 10.0 %"),
        (0.99, 1.1, "no difference larger than 10.0 %"),
        (0.99, 1.1001, "not decided"),
        (0.95, 1.1024, "not decided"),  # within twice 5 %
        (0.9, 1.12, "not decided"),
        (0.5, 1.01, "not decided"),
    ],
)
def test_the_words_follow_the_interval(low: float, high: float, said: str) -> None:
    assert Ratio(math.sqrt(low * high), low, high, 4).words == said
    assert Ratio(1 / math.sqrt(low * high), 1 / high, 1 / low, 4).words == said


def test_from_five_pairs_it_says_how_many_more_would_decide() -> None:
    found = Ratio(1.02, 0.9, 1.156, 5)
    more = statistics.further(found)
    assert more is not None and 1 <= more[0] < more[1]
    assert found.words == f"not decided: about {more[0]} to {more[1]} more pairs would"
    assert statistics.further(Ratio(1.02, 0.9, 1.156, 4)) is None
    assert Ratio(1.02, 0.9, 1.156, 5, in_blocks=False).words == "not decided", (
        "trials of two runs are no pairs"
    )


@pytest.mark.parametrize(
    ("ratio", "wanted"), [(1.0, math.log(1.1) / 2), (0.97, math.log(1.1) / 2), (1.08, math.log(1.08))]
)
def test_what_is_forecast_would_decide(ratio: float, wanted: float) -> None:
    """Chi-square of 4 degrees of freedom: 10 % lie above 7.779, 90 % above 1.064."""
    half, n = 0.3, 5
    deviation = half * math.sqrt(n) / T95[n]
    least, most = (
        statistics.needed(deviation * math.sqrt((n - 1) / square), wanted) - n
        for square in (7.779440, 1.063623)
    )
    assert statistics.further(Ratio(ratio, ratio * math.exp(-half), ratio * math.exp(half), n)) == (
        least,
        most,
    )
    then = Ratio(ratio, ratio * math.exp(-0.999 * wanted), ratio * math.exp(0.999 * wanted), n + most)
    assert not then.words.startswith("not decided")


def test_pairs_that_a_spread_needs() -> None:
    """At noise of 12 % per trial: 10 % is seen with about 24 pairs at +- 10 %, 5 % with about 92."""
    deviation = 0.12 * math.sqrt(2)
    for half in (math.log(1.1), math.log(1.05)):
        n = statistics.needed(deviation, half)
        assert statistics.quantile(0.95, n) * deviation / math.sqrt(n) <= half
        assert n < 60 or statistics.quantile(0.95, n - 5) * deviation / math.sqrt(n - 5) > half
    assert statistics.needed(0.0, 0.01) == 3


def test_several_intervals_hold_together() -> None:
    assert statistics.shared_out(0.95, 5) == pytest.approx(0.99)
    assert statistics.shared_out(0.95, 0) == pytest.approx(0.95)
    narrow, wide = (paired([2, 2.2, 1.9], [1, 1, 1], level) for level in (0.95, 0.99))
    assert narrow.low is not None and wide.low is not None and wide.low < narrow.low
    assert wide.method.endswith("99 %")


def test_geometric_means() -> None:
    assert statistics.geometric([1, 4]) == pytest.approx(2)
    assert statistics.geometric([]) is None and statistics.geometric([1, 0]) is None


def test_pairs_that_are_all_alike_bound_nothing() -> None:
    assert paired([36.0] * 4, [36.0] * 4).words == "alike in every pair"
    assert paired([36.0, 36.0, 36.0, 36.1], [36.0] * 4).words.startswith("no difference larger than 0.")
    assert paired([72.0] * 4, [36.0] * 4).words == "different by more than 5 %"
