"""What charts share: colours, axes, the shaded window, the second axis of users, exact values on hover."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt
import pandas as pd

from analysis.series import Series

# told apart on white and on near-black, whatever colours a person sees (tests/analysis/test_colours.py)
COLOURS = ("#3f7fd0", "#e0802f", "#2aa584", "#7525ed", "#c12947", "#d490c7", "#b30e92", "#8d590b")
GREY = "#8b93a1"
STOP_COLOUR = "#c0392b"
DASHES: tuple[Sequence[int], ...] = (
    (1, 0), (6, 3), (2, 2), (8, 3, 2, 3), (12, 4), (4, 2, 1, 2), (10, 2, 2, 2, 2, 2), (1, 3),
)  # fmt: skip
WIDTH, HEIGHT = 760, 280
LETTER, SYMBOL = 6, 30  # width of a letter of a legend, and of what stands before a name


def seconds(series: Series) -> Any:
    """The axis of time."""
    title = "seconds since the first user started"
    # users are those of each arm's first trial, which may have ended before another one that is drawn
    frames = (series.users, series.rates, series.stops)
    end = max([1.0, *(float(one["second"].max()) for one in frames if len(one))])
    return alt.X(
        "second:Q",
        title=title,
        axis=alt.Axis(grid=False, tickCount=12),
        scale=alt.Scale(domain=[0, end], nice=False),
    )


def colour(domain: Sequence[str], title: str | None = None) -> Any:
    """One colour per name, in a fixed order."""
    colours = [COLOURS[index % len(COLOURS)] for index in range(len(domain))]
    return alt.Color(
        f"{title or 'arm'}:N", scale=alt.Scale(domain=list(domain), range=colours),
        legend=alt.Legend(orient="top", title=None, columns=columns(domain), symbolType="stroke", symbolOpacity=1),
    )  # fmt: skip


def columns(names: Sequence[str], most: int = 4) -> int:
    """How many names of a legend fit beside each other: what lies beyond the chart's edge is cut."""
    longest = max(map(len, names), default=0) * LETTER + SYMBOL
    return max(1, min(most, WIDTH // longest))


def dash(name: str, domain: Sequence[str]) -> Any:
    """One dash per name."""
    dashes = [list(DASHES[index % len(DASHES)]) for index in range(len(domain))]
    legend = None
    if len(domain) > 1:
        legend = alt.Legend(
            orient="top",
            title=None,
            columns=columns(domain),
            symbolType="stroke",
            symbolFillColor="transparent",
            symbolStrokeColor=GREY,
        )
    return alt.StrokeDash(f"{name}:N", scale=alt.Scale(domain=list(domain), range=dashes), legend=legend)


def holds(series: Series) -> Any:
    """The windows compared, shaded."""
    return (
        alt.Chart(series.holds.drop_duplicates(["from_s", "to_s"]))
        .mark_rect(opacity=0.10, color=GREY)
        .encode(x="from_s:Q", x2="to_s:Q")
    )


def faults(series: Series) -> list[Any]:
    """What a rehearsal broke, shaded in the fault's colour and named at its upper edge; nothing in any other trial."""
    if series.faults.empty:
        return []
    frame = series.faults.drop_duplicates(["fault", "from_s", "to_s"])
    base = alt.Chart(frame).encode(
        x="from_s:Q", color=alt.Color("colour:N", scale=None, legend=None), tooltip=[tip("label:N", "fault")]
    )
    return [
        base.mark_rect(opacity=0.22).encode(x2="to_s:Q"),
        base.mark_text(align="left", baseline="top", dx=4, dy=4, fontSize=11, fontWeight="bold").encode(
            text="label:N", y=alt.value(0)
        ),
    ]


def stops(series: Series, drawn: Any) -> Any:
    """A chart with the moments at which nGrinder stopped, or would have stopped, a trial."""
    if series.stops.empty:
        return drawn
    base = alt.Chart(series.stops).encode(
        x=seconds(series),
        tooltip=[
            tip("arm:N", "arm"),
            tip("label:N", ""),
            tip("second:Q", "second", ".0f"),
            tip("users:Q", "users"),
        ],
    )
    rule = base.mark_rule(color=STOP_COLOUR, strokeDash=[4, 3], strokeWidth=1.5)
    text = base.mark_text(
        align="right", baseline="bottom", dx=-5, dy=-4, fontSize=11, angle=270, color=STOP_COLOUR
    ).encode(text="label:N", y=alt.value(0))
    return drawn + rule + text


def users(series: Series) -> Any:
    """Users over time, on the second axis, with some room above them."""
    most = float(series.users["users"].max()) if len(series.users) else 1.0
    return (
        alt.Chart(series.users)
        .mark_line(interpolate="step-after", strokeDash=[2, 3], strokeWidth=1.5, opacity=0.75, color=GREY)
        .encode(
            x=seconds(series),
            y=alt.Y(
                "users:Q",
                title="users (dotted)",
                axis=alt.Axis(grid=False, orient="right", tickMinStep=1, tickCount=6),
                scale=alt.Scale(domain=[0, most * 1.12], nice=False),
            ),
            detail="arm:N",
        )
    )


class Stack:
    """Charts drawn over each other, the first one below; `more` stands in the spec beside them. As Altair's own layers, but
    that these copy all that is in them at each step, which took half of the time of a report."""

    def __init__(self, *charts: Any, **more: Any) -> None:
        self.charts, self.more = charts, more

    def __add__(self, other: Any) -> Stack:
        return Stack(*self.charts, other, **self.more)

    def to_dict(self, validate: bool = True) -> dict[str, Any]:
        """The Vega-Lite spec. What belongs to the whole of one chart (its data, its selections that name their views)
        belongs to the whole of all."""
        layers: list[dict[str, Any]] = []
        data: dict[str, Any] = {}
        params: list[dict[str, Any]] = []
        for one in self.charts:
            spec = {**one.to_dict(validate=validate)}
            data |= spec.pop("datasets", {})
            mine = spec.pop("params", [])
            params += [param for param in mine if "views" in param]
            if own := [param for param in mine if "views" not in param]:
                spec["params"] = own
            schema = spec.pop("$schema", None)
            spec.pop("config", None)
            layers.append(spec)
        made = {"$schema": schema, "layer": layers, "datasets": data, **self.more}
        return {**made, "params": params} if params else made


def lines(
    series: Series, frame: pd.DataFrame, field: str, title: str, marks: dict[str, Any], tooltip: list[Any]
) -> Any:
    """Lines of a field with its exact values on hover; where both neighbours are gaps, a dot: a line would not show it."""
    hover = alt.selection_point(
        on="pointerover", nearest=True, clear="pointerout", empty=False, fields=["second"]
    )
    base = alt.Chart(frame).encode(
        x=seconds(series),
        y=alt.Y(f"{field}:Q", title=title, scale=alt.Scale(zero=True), axis=alt.Axis(gridOpacity=0.25)),
        **marks,
    )
    drawn = base.mark_line(strokeWidth=2, clip=True)
    points = (
        base.mark_point(filled=True, size=45, clip=True)
        .encode(opacity=alt.condition(hover, alt.value(1), alt.value(0)), tooltip=tooltip)
        .add_params(hover)
    )
    lone = frame[alone(frame, field)]
    if lone.empty:
        return Stack(drawn, points)
    dots = (
        alt.Chart(lone)
        .mark_point(filled=True, size=20, opacity=1, clip=True)
        .encode(x=seconds(series), y=f"{field}:Q", **marks)
    )
    return Stack(drawn, dots, points)


def banded(series: Series, field: str, title: str, drawn: Any) -> Any:
    """Lines of means over the bands in which the trials of each arm lie; `title` is that of the lines."""
    if series.bands.empty:
        return drawn
    band = (
        alt.Chart(series.bands)
        .mark_area(opacity=0.16, clip=True)
        .encode(
            x=seconds(series),
            y=alt.Y(f"{field}_low:Q", title=title),
            y2=f"{field}_high:Q",
            color=colour(series.arms),
        )
    )
    return Stack(band, drawn)


def alone(frame: pd.DataFrame, field: str) -> Any:
    """Where a bin has a value and neither the bin before nor the one after has; lines are told apart by their texts."""
    names = [name for name in frame if name in ("arm", "server", "error", "reason", "outcome")]
    known = frame[field].notna()
    beside = known.groupby([frame[name] for name in names])
    return known & ~beside.shift(1, fill_value=False) & ~beside.shift(-1, fill_value=False)


def tip(field: str, title: str, form: str = "") -> Any:
    """A line of the box that hovering shows."""
    return alt.Tooltip(field, title=title, format=form) if form else alt.Tooltip(field, title=title)


def over_users(series: Series, drawn: Any) -> Any:
    """A whole chart with the users on its second axis."""
    return beside(series, drawn, users(series))


def beside(series: Series, drawn: Any, other: Any) -> Any:
    """A whole chart: windows shaded, lines, and what belongs to the second axis; the wheel with shift zooms, dragging
    moves. Every chart has one size; the page stretches it to its column."""
    # the zoom belongs to the layer of the second axis: in the nested one its signals would be made twice
    zoom = alt.selection_interval(name="zoom", bind="scales", encodings=["x"], zoom="wheel![event.shiftKey]")
    below, independent = Stack(holds(series), *faults(series), drawn), {"scale": {"y": "independent"}}
    return Stack(below, other.add_params(zoom), resolve=independent, width=WIDTH, height=HEIGHT)
