"""Failures over time by layer and reason."""

from __future__ import annotations

from typing import Any

from analysis.charts import _parts as parts
from analysis.series import Series

TITLE = "Where failures began"
CAPTION = "Failed requests per second by the layer and the reason where they began to fail, by the second in which their client gave them up."
ORDER = 10


def draw(series: Series) -> Any:
    """One line per reason and arm."""
    if series.reasons.empty:
        return None
    reasons = list(series.reasons.groupby("reason")["per_second"].sum().sort_values(ascending=False).index)
    marks = {"color": parts.colour(reasons, "reason"), "strokeDash": parts.dash("arm", series.arms)}
    tips = [
        parts.tip("arm:N", "arm"), parts.tip("reason:N", "began at"), parts.tip("second:Q", "second", ".1f"),
        parts.tip("per_second:Q", "per second", ".2f"),
    ]  # fmt: skip
    return parts.over_users(
        series, parts.lines(series, series.reasons, "per_second", "failures per second", marks, tips)
    )
