"""How long answers took: the share of requests that had a good one after so long."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from analysis.charts import _parts as parts
from analysis.series import Series

TITLE = "Distribution of times"
CAPTION = "Share of the hold's requests that had a good answer after so many ms, on a logarithmic axis, counted from sending (in an open load from when it was to be sent); requests of several trials together. A curve that ends below 100 %: the rest failed. Dotted: 50, 95 and 99 % of all requests, failed ones too."
ORDER = 3

LEAST = 0.0005  # of all requests: steps smaller than that are left out of the drawing
TAIL = 0.99  # but beyond that share every step is kept


def draw(series: Series) -> Any:
    """One line per arm; None where no request of a hold succeeded."""
    frames = [found for arm in series.arms if not (found := _curve(series.times, arm)).empty]
    if not frames:
        return None
    frame = pd.concat(frames, ignore_index=True)
    ends = [float(frame["ms"].min()) * 0.95, float(frame["ms"].max()) * 1.05]
    x = alt.X(
        "ms:Q",
        title="ms to the last byte",
        scale=alt.Scale(type="log", domain=ends, nice=False),
        axis=alt.Axis(grid=False, tickCount=8, format="~g"),
    )
    y = alt.Y(
        "share:Q", title="% of requests", scale=alt.Scale(domain=[0, 100]), axis=alt.Axis(gridOpacity=0.25)
    )
    tips = [
        parts.tip("arm:N", "arm"), parts.tip("ms:Q", "within ms", ".4~g"), parts.tip("share:Q", "% of requests", ".2f"),
        parts.tip("good:Q", "% of successes", ".2f"),
    ]  # fmt: skip
    near = alt.selection_point(on="pointerover", nearest=True, clear="pointerout", empty=False)
    base = alt.Chart(frame).encode(x=x, y=y, color=parts.colour(series.arms))
    points = (
        base.mark_point(filled=True, size=45, clip=True)
        .encode(opacity=alt.condition(near, alt.value(1), alt.value(0)), tooltip=tips)
        .add_params(near)
    )
    levels = alt.Chart(pd.DataFrame({"share": [50, 95, 99], "name": ["50 %", "95 %", "99 %"]}))
    rules = levels.mark_rule(strokeDash=[2, 3], color=parts.GREY, opacity=0.8).encode(y="share:Q")
    names = levels.mark_text(align="left", dx=4, fontSize=9, color=parts.GREY, baseline="middle").encode(
        x=alt.datum(ends[0]), y="share:Q", text="name:N"
    )
    zoom = alt.selection_interval(name="zoom", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey]")
    line = base.mark_line(strokeWidth=2, clip=True).add_params(zoom)
    return parts.Stack(rules, names, line, points, width=parts.WIDTH, height=parts.HEIGHT)


def _curve(times: pd.DataFrame, arm: str) -> pd.DataFrame:
    """arm, ms, share (of all requests, in %), good (of the successes), from the last edge without any to the first one
    with all."""
    mine = times[times["arm"] == arm]
    within = mine["within"].to_numpy(float)
    if not len(within) or not within[-1]:
        return pd.DataFrame()
    share, good = within / float(mine["requests"].iloc[0]), within / within[-1]
    first, last = int(np.argmax(within > 0)), int(np.argmax(within >= within[-1]))
    kept, known = [], -1.0
    for at in range(max(0, first - 1), last + 1):
        if at == last or share[at] - known >= LEAST or (good[at] >= TAIL and share[at] > known):
            kept.append(at)
            known = share[at]
    ms = mine["ms"].to_numpy(float)[kept]
    return pd.DataFrame({"arm": arm, "ms": ms, "share": 100 * share[kept], "good": 100 * good[kept]})
