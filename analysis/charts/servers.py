"""A panel for each server: what it answered, what failed there, and the CPU that it got."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from analysis.charts import _parts as parts
from analysis.series import Series

TITLE = "Server"
CAPTION = "Requests per second that ended well and that failed, at this server; grey, on the right axis: CPU of its app in % of one CPU."
ORDER = 13

MOST = 12  # panels; the tables have every server
NAMES = ("answered", "failed")
COLOURS = (parts.COLOURS[0], "#c0392b")


def draw(series: Series) -> Any:
    """(label, chart) of each server and arm; None for none."""
    pairs = list(dict.fromkeys(zip(series.servers["arm"], series.servers["server"], strict=True)))
    return [(f"{server}, {arm}", _panel(series, arm, server)) for arm, server in pairs[:MOST]] or None


def _panel(series: Series, arm: str, server: str) -> Any:
    mine = series.servers[(series.servers["arm"] == arm) & (series.servers["server"] == server)]
    long = mine.melt(["arm", "server", "second"], list(NAMES), "outcome", "per_second")
    marks = {
        "color": alt.Color(
            "outcome:N",
            scale=alt.Scale(domain=list(NAMES), range=list(COLOURS)),
            legend=alt.Legend(orient="top", title=None, symbolType="stroke"),
        )
    }
    tips = [
        parts.tip("outcome:N", ""), parts.tip("second:Q", "second", ".1f"), parts.tip("per_second:Q", "per second", ".2f"),
    ]  # fmt: skip
    drawn = parts.lines(series, long, "per_second", "requests per second", marks, tips)
    cpu = series.cpu[(series.cpu["arm"] == arm) & (series.cpu["server"] == server)]
    return parts.beside(series, drawn, _cpu(series, cpu))


def _cpu(series: Series, cpu: pd.DataFrame) -> Any:
    return (
        alt.Chart(cpu)
        .mark_line(strokeWidth=1.5, color=parts.GREY, opacity=0.9)
        .encode(
            x=parts.seconds(series),
            y=alt.Y(
                "percent:Q",
                title="CPU %",
                axis=alt.Axis(grid=False, orient="right"),
                scale=alt.Scale(zero=True),
            ),
        )
    )
