"""Achieved CPU of each server against its limit."""

from __future__ import annotations

from typing import Any

import altair as alt

from analysis.charts import _parts as parts
from analysis.series import Series

TITLE = "CPU of the servers"
CAPTION = "CPU that the app's processes really got, in % of one CPU. Horizontal line: the limit."
ORDER = 12


def draw(series: Series) -> Any:
    """One line per server and arm, and the limit."""
    if series.cpu.empty or series.cpu["percent"].isna().all():
        return None
    servers = sorted(set(series.cpu["server"]))
    marks = {"color": parts.colour(series.arms), "strokeDash": parts.dash("server", servers)}
    tips = [
        parts.tip("arm:N", "arm"), parts.tip("server:N", "server"), parts.tip("second:Q", "second", ".1f"),
        parts.tip("percent:Q", "CPU %", ".2f"),
    ]  # fmt: skip
    chart = parts.lines(series, series.cpu, "percent", "% of one CPU", marks, tips)
    if len(series.limits):
        chart = chart + alt.Chart(series.limits).mark_rule(
            color="#c0392b", strokeWidth=1.2, opacity=0.8
        ).encode(y="percent:Q")
    return parts.over_users(series, chart)
