"""Throughput against users: settled levels, the line through them, the knee with its interval, the bounds."""

from __future__ import annotations

from typing import Any

import altair as alt

from analysis.charts import _levels as levels
from analysis.charts import _parts as parts
from analysis.series import Series

TITLE = "TPS over users"
CAPTION = "One point per settled level of the ramp and trial. Line: two segments where there is a knee, else one. Dashed upright: the knee, shaded its interval. Dotted: the bounds, what users can ask for and what the servers' CPU allows."
ORDER = 3
PLACE = "bends"


def draw(series: Series) -> Any:
    """Points, line, knee and bounds of every arm with a ramp."""
    if not levels.drawable(series, "tps"):
        return None
    layers = levels.knees(series)
    for kind, marks in (
        ("bound", {"strokeDash": [2, 3], "strokeWidth": 1.5, "opacity": 0.8}),
        ("line", {"strokeWidth": 2}),
    ):
        found = levels.only(series, kind, "tps")
        if len(found):
            layers.append(
                alt.Chart(found)
                .mark_line(**marks, clip=True)
                .encode(
                    x=levels.users(series), y=alt.Y("tps:Q", title="TPS"), color=parts.colour(series.arms)
                )
            )
    return levels.whole([*layers, levels.points(series, "tps", "TPS")])
