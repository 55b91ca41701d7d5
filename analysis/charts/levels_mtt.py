"""Latency against users: settled levels, and the knee of throughput with its interval."""

from __future__ import annotations

from typing import Any

from analysis.charts import _levels as levels
from analysis.series import Series

TITLE = "MTT over users"
CAPTION = "Mean test time of the successes of each settled level of the ramp, one point per trial. Dashed upright: the knee of throughput, shaded its interval."
ORDER = 4
PLACE = "bends"


def draw(series: Series) -> Any:
    """Points of every arm with a ramp."""
    if not levels.drawable(series, "mtt_ms"):
        return None
    return levels.whole([*levels.knees(series), levels.points(series, "mtt_ms", "MTT, ms")])
