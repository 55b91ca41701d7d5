"""Spikes on series made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import compare, sentences, statistics
from analysis.measures import spikes as room
from tests.analysis.test_compare import two


def test_a_second_above_twice_the_median_around_it() -> None:
    seconds = np.full(60, 100.0)
    seconds[[10, 40]] = 500.0
    seconds[20] = 199.0
    found = room.spikes(seconds, room.common([seconds]))
    assert found is not None
    assert (found.seconds, found.share, found.threshold_ms) == (60, pytest.approx(2 / 60), 200.0)
    assert found.excess_ms == pytest.approx(2 * 400 / 60) and found.common_share == pytest.approx(2 / 60)


def test_who_is_slow_throughout_has_none_of_its_own_and_many_of_the_common_ones() -> None:
    calm, slow = np.full(40, 100.0), np.full(40, 300.0)
    threshold = room.common([calm, calm, slow])
    found = room.spikes(slow, threshold)
    assert threshold == 200.0 and found is not None
    assert (found.share, found.common_share) == (0.0, 1.0)


def test_a_level_that_moves_is_no_spike() -> None:
    found = room.spikes(np.linspace(100, 400, 120), None)
    assert found is not None and found.share == 0.0 and found.common_share is None


def test_seconds_without_a_mean_are_left_out_and_too_few_tell_nothing() -> None:
    seconds = np.full(30, 100.0)
    seconds[5:10] = np.nan
    seconds[20] = 900
    found = room.spikes(seconds, None)
    assert found is not None and (found.seconds, found.share) == (25, pytest.approx(1 / 25))
    assert room.spikes(np.full(9, 100.0), None) is None
    assert room.common([]) is None


def test_shares_are_compared_as_paired_differences() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    for arm, shares in zip(arms, ([0.0, 0.1, 0.2], [0.3, 0.5, 0.4]), strict=True):
        for trial, share in zip(arm["trials"], shares, strict=True):
            trial["spikes"] = {"share": share, "common_share": share}
    found = compare.spikes(arms)
    assert [one["what"] for one in found] == ["share", "common_share"]
    assert found[0]["n"] == 3 and found[0]["difference"] == pytest.approx(0.3)
    half = 4.302653 * np.std([0.3, 0.4, 0.2], ddof=1) / np.sqrt(3)
    assert (found[0]["low"], found[0]["high"]) == pytest.approx((0.3 - half, 0.3 + half), rel=1e-5)
    assert compare.spikes(arms, "a short window") == []
    assert statistics.differing([1], [0]).low is None
    with pytest.raises(ValueError, match="pairs"):
        statistics.differing([], [])


def test_a_trial_without_spikes_that_can_be_told_is_not_left_out_without_a_word() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    for arm in arms:
        for trial in arm["trials"]:
            trial["spikes"] = {"share": 0.1, "common_share": 0.1}
    arms[0]["trials"][1]["spikes"] = None
    assert compare.spikes(arms) == []
    said = [text for _, text in sentences.sentences(arms)]
    assert (
        f"Spikes of {arms[0]['label']} are not told: in 1 of its 3 trials too few seconds of the hold had an answer."
        in said
    )
    assert not [text for text in said if text.startswith(f"Spikes of {arms[1]['label']}")]
    # a withheld one is no trial that counts
    arms[0]["trials"][1]["verdict"] = "INVALID"
    assert [one["n"] for one in compare.spikes(arms)] == [2, 2]


def test_spikes_are_not_compared_where_times_are_not() -> None:
    arms = two([10, 20, 30], [20, 40, 60])
    for arm in arms:
        for trial in arm["trials"]:
            trial["spikes"] = {"share": 0.1, "common_share": 0.1}
    assert compare.spikes(arms)
    arms[1]["failures"] = 100
    assert compare.spikes(arms) == []


def test_differences_that_do_not_vary_have_no_interval() -> None:
    found = statistics.differing([0.0] * 4, [0.0] * 4)
    assert (found.difference, found.low, found.high, found.n) == (0.0, None, None, 4)
