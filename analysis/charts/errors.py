"""Errors over time by class."""

from __future__ import annotations

from typing import Any

from analysis.charts import _parts as parts
from analysis.series import Series

TITLE = "Errors over time"
CAPTION = "Failed requests per second by class, by the second in which they were given up. Requests cut by the end of the load are not among them."
ORDER = 11


def draw(series: Series) -> Any:
    """One line per class and arm."""
    if series.errors.empty:
        return None
    classes = list(series.errors.groupby("error")["per_second"].sum().sort_values(ascending=False).index)
    marks = {"color": parts.colour(classes, "error"), "strokeDash": parts.dash("arm", series.arms)}
    tips = [
        parts.tip("arm:N", "arm"), parts.tip("error:N", "class"), parts.tip("second:Q", "second", ".1f"),
        parts.tip("per_second:Q", "per second", ".2f"),
    ]  # fmt: skip
    lines = parts.lines(series, series.errors, "per_second", "errors per second", marks, tips)
    return parts.over_users(series, parts.stops(series, lines))
