"""CPU that an app really got, from the cumulative clocks of its processes."""

from __future__ import annotations

import numpy as np

from analysis.load import Tables
from analysis.measures.columns import Ints, ints, is_text
from analysis.measures.window import Window


def series(tables: Tables, host: str, column: str = "app_ns") -> tuple[Ints, Ints]:
    """(µs, ns used since the first sample) of one host, in order of time."""
    mine = is_text(tables.cpu, "host", host)
    at, used = ints(tables.cpu, "at_us")[mine], ints(tables.cpu, column)[mine]
    order = np.argsort(at, kind="stable")
    return at[order], used[order]


def seconds(tables: Tables, host: str, window: Window | None) -> float | None:
    """CPU-seconds of the app's process tree on a host in a window: cumulative CPU at its two edges, each interpolated
    linearly between the samples around it. None when samples do not reach over both edges."""
    if window is None:
        return None
    at, used = series(tables, host)
    if len(at) < 2 or at[0] > window.from_us or at[-1] < window.to_us:
        return None
    edges = np.interp([window.from_us - at[0], window.to_us - at[0]], at - at[0], used)
    return float(edges[1] - edges[0]) / 1e9


def percent(cpu_s: float | None, window: Window | None) -> float | None:
    """Achieved CPU in % of one CPU."""
    return None if cpu_s is None or window is None else 100 * cpu_s / window.length_s
