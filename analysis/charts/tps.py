"""TPS over time with users on the second axis."""

from __future__ import annotations

from typing import Any

from analysis.charts import _parts as parts
from analysis.series import Series

TITLE = "TPS over time"
CAPTION = "Successful requests per second, by the second in which they completed. Shaded: the window compared; of several trials the mean, in the band in which they lie. Dotted: users."
ORDER = 1


def draw(series: Series) -> Any:
    """One line per arm: of several trials their mean, in the band in which they lie."""
    if series.rates.empty:
        return None
    tips = [
        parts.tip("arm:N", "arm"),
        parts.tip("second:Q", "second", ".1f"),
        parts.tip("tps:Q", "TPS", ".2f"),
    ]
    lines = parts.lines(series, series.rates, "tps", "TPS", {"color": parts.colour(series.arms)}, tips)
    return parts.over_users(series, parts.stops(series, parts.banded(series, "tps", "TPS", lines)))
