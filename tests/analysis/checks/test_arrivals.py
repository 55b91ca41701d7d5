"""arrivals_made: what of an open load's plan may be missing, and what may not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.analysis import synthetic
from tests.analysis.checks.made import Made


@pytest.mark.parametrize(
    ("found", "verdict", "value", "words"),
    [
        ((1000, 1000, 0, 0), "VALID", 0.0, "0 were not made"),
        ((1000, 990, 0, 10), "VALID", 1.0, "10 were not made"),
        ((1000, 989, 0, 11), "INVALID", 1.1, "11 were not made"),
        ((1000, 1000, 11, 0), "INVALID", 1.1, "11 were more than 0.1 s late"),
        ((1000, 994, 6, 6), "INVALID", 1.2, "6 were not made, 6 were more"),
        ((10, 7, 0, 0), "VALID", 0.0, "of 10 planned"),  # one of each of 3 workers may fall behind an edge
        ((100, 96, 0, 0), "INVALID", 4.0, "4 left no row"),
        ((100, 102, 0, 0), "VALID", 0.0, "of 100 planned"),
        ((0, 0, 0, 0), "VALID", 0.0, "no request was planned"),
    ],
)
def test_what_was_not_made_in_time(
    tmp_path: Path, found: tuple[int, ...], verdict: str, value: float, words: str
) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, load=synthetic.OPEN))
    made.figures["arrivals"] = dict(zip(("planned", "made", "late", "not_made"), found, strict=True))
    one = made.judge("arrivals_made")
    assert (one.verdict, one.value) == (verdict, pytest.approx(value)), one.said
    assert words in one.said and "--vusers" in one.remedy
