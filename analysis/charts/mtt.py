"""MTT over time with users on the second axis."""

from __future__ import annotations

from typing import Any

from analysis.charts import _parts as parts
from analysis.series import Series

TITLE = "MTT over time"
CAPTION = "Mean test time of successful requests, by the second in which they started; a gap: none of them succeeded, or some were cut by the end of the load."
ORDER = 2


def draw(series: Series) -> Any:
    """One line per arm: of several trials their mean, in the band in which they lie."""
    if series.rates.empty or series.rates["mtt_ms"].isna().all():
        return None
    tips = [
        parts.tip("arm:N", "arm"),
        parts.tip("second:Q", "second", ".1f"),
        parts.tip("mtt_ms:Q", "MTT ms", ".1f"),
    ]
    lines = parts.lines(series, series.rates, "mtt_ms", "MTT, ms", {"color": parts.colour(series.arms)}, tips)
    return parts.over_users(series, parts.banded(series, "mtt_ms", "MTT, ms", lines))
