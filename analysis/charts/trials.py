"""The trials in the order in which they were run: whether hosts drifted, and what was withheld."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from analysis.charts import _parts as parts
from analysis.series import Series

TITLE = "Trials in order"
CAPTION = "Primary figure of each trial, in the order in which they were run; the axis does not begin at 0. Filled: VALID. A cross: withheld, or its conditions are not known. Grey lines part blocks."
ORDER = 14
PLACE = "trials"

MOST_TICKS = 30


def draw(series: Series) -> Any:
    """One mark per trial, in the colour of its arm; None for fewer than two trials."""
    frame = series.trials[series.trials["value"].notna()]
    if len(frame) < 2:
        return None
    most = int(series.trials["order"].max())
    x = alt.X(
        "order:Q",
        title="trial, in order of execution",
        scale=alt.Scale(domain=[0.5, most + 0.5], nice=False),
        axis=alt.Axis(grid=False, values=list(range(1, most + 1, -(-most // MOST_TICKS))), format="d"),
    )
    y = alt.Y(
        "value:Q",
        title=series.primary,
        scale=alt.Scale(zero=False, padding=14),
        axis=alt.Axis(gridOpacity=0.25),
    )
    arms = list(dict.fromkeys([*series.arms, *frame["arm"]]))
    base = alt.Chart(frame).encode(x=x, y=y, color=parts.colour(arms))
    tips = [
        parts.tip("trial:N", "trial"), parts.tip("arm:N", "arm"), parts.tip("block:Q", "block"), parts.tip("began:N", "began"),
        parts.tip("verdict:N", "verdict"), parts.tip("value:Q", series.primary, ",.4~r"),
    ]  # fmt: skip
    shape = alt.Shape(
        "verdict:N",
        scale=alt.Scale(domain=["VALID", "INVALID", "UNKNOWN"], range=["circle", "cross", "cross"]),
        legend=None,
    )
    marks = base.mark_point(filled=True, size=110, opacity=1).encode(shape=shape, tooltip=tips)
    held = frame[frame["verdict"] == "VALID"]
    drawn = [marks]
    if len(held):
        line = alt.Chart(held).mark_line(strokeWidth=1, opacity=0.45)
        drawn.insert(0, line.encode(x=x, y=y, color=parts.colour(arms)))
    edges = _edges(series)
    if edges:
        rules = alt.Chart(pd.DataFrame({"at": edges}))
        drawn.insert(0, rules.mark_rule(color=parts.GREY, opacity=0.35).encode(x="at:Q"))
    return parts.Stack(*drawn, width=parts.WIDTH, height=parts.HEIGHT)


def _edges(series: Series) -> list[float]:
    """Where another block begins."""
    blocks = series.trials.sort_values("order")["block"].tolist()
    orders = series.trials.sort_values("order")["order"].tolist()
    return [orders[at] - 0.5 for at in range(1, len(blocks)) if blocks[at] != blocks[at - 1]]
