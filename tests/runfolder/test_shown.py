from __future__ import annotations

import pytest

from loadproof.runfolder import shown


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 3389, "0.0 %"),
        (1, 3389, "< 0.1 %"),
        (4, 3389, "0.1 %"),
        (50, 1000, "5.0 %"),
        (3388, 3389, "> 99.9 %"),
        (3389, 3389, "100.0 %"),
        (0, 0, ""),
        (None, 5, ""),
    ],
)
def test_share(part: int | None, whole: int, text: str) -> None:
    assert shown.share(part, whole) == text


@pytest.mark.parametrize(("value", "requests", "text"), [(1.0, 60, "n < 59"), (1.0, 61, ""), (None, 0, "")])
def test_percentiles_need_their_number_of_successes(value: float | None, requests: int, text: str) -> None:
    assert shown.too_few({"p95_ms": value, "requests": requests, "failures": 2}, "p95_ms") == text


@pytest.mark.parametrize(
    ("window", "whole", "known", "most"),
    [
        ({"timeout": 1}, {"timeout": 2, "cut": 1}, True, {"timeout": 2, "cut": 1}),
        (None, {"timeout": 2}, True, {"timeout": 2}),
        ({"timeout": 1}, None, False, {"timeout": 1}),
        ({}, {}, True, {}),
        (None, None, False, {}),
    ],
)
def test_errors_as_far_as_they_are_known(
    window: dict[str, int] | None, whole: dict[str, int] | None, known: bool, most: dict[str, int]
) -> None:
    arm = {"errors": window, "whole_run": {"errors": whole}}
    assert shown.errors_known(arm) is known
    assert shown.most_errors(arm) == most


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.95, 1.052, "0.950 to 1.052"),
        (0.0000003, 3_428_744.6, "below 0.01 to above 100"),
        (0.01, 100.0, "0.010 to 100.000"),
        (2.0, 241.9, "2.000 to above 100"),
    ],
)
def test_an_interval_is_told_as_far_as_a_hundred_times(low: float, high: float, said: str) -> None:
    assert shown.between(low, high) == said


def test_only_valid_trials_stand_behind_the_figures_of_an_arm() -> None:
    verdicts = ("VALID", "INVALID", "VALID", "UNKNOWN")
    assert shown.held({"trials": [{"verdict": one} for one in verdicts]}) == 2
