"""What the charts over users share."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from analysis.charts import _parts as parts
from analysis.series import Series


def only(series: Series, kind: str, field: str = "users") -> pd.DataFrame:
    """Rows of one kind that have a value."""
    found = series.levels[series.levels["kind"] == kind]
    return pd.DataFrame(found[found[field].notna()])


def drawable(series: Series, field: str) -> bool:
    """Whether there is more than one level to draw: a hold alone is no ramp."""
    return only(series, "level", field)["users"].nunique() > 1


def users(series: Series) -> Any:
    """The axis of users, from 0."""
    most = float(series.levels["users"].max()) if len(series.levels) else 1.0
    return alt.X(
        "users:Q",
        title="users",
        axis=alt.Axis(grid=False, tickMinStep=1, tickCount=12),
        scale=alt.Scale(domain=[0, most * 1.03], nice=False),
    )


def points(series: Series, field: str, title: str) -> Any:
    """One point per settled level and trial, with its exact values."""
    tips = [
        parts.tip("arm:N", "arm"), parts.tip("users:Q", "users"), parts.tip("tps:Q", "TPS", ".2f"),
        parts.tip("mtt_ms:Q", "MTT ms", ".1f"), parts.tip("in_flight:Q", "in flight", ".2f"),
    ]  # fmt: skip
    return (
        alt.Chart(only(series, "level", field))
        .mark_point(filled=True, size=45, opacity=0.9)
        .encode(
            x=users(series),
            y=alt.Y(f"{field}:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(gridOpacity=0.25)),
            color=parts.colour(series.arms),
            tooltip=tips,
        )
    )


def knees(series: Series) -> list[Any]:
    """A vertical line at the knee of each arm, over its interval."""
    drawn: list[Any] = []
    interval, knee = only(series, "interval"), only(series, "knee")
    if len(interval):
        drawn.append(
            alt.Chart(interval)
            .mark_rect(opacity=0.14)
            .encode(x=users(series), x2="users_to:Q", color=parts.colour(series.arms))
        )
    if len(knee):
        drawn.append(
            alt.Chart(knee)
            .mark_rule(strokeWidth=1.5, strokeDash=[5, 3])
            .encode(
                x=users(series),
                color=parts.colour(series.arms),
                tooltip=[parts.tip("arm:N", "knee of"), parts.tip("users:Q", "users", ".0f")],
            )
        )
    return drawn


def whole(layers: list[Any]) -> Any:
    """A whole chart of these layers, in the size of all charts."""
    return alt.layer(*layers).properties(width=parts.WIDTH, height=parts.HEIGHT)
