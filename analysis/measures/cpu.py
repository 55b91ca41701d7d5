"""CPU that an app really got, from the cumulative clocks of its processes."""

from __future__ import annotations

import numpy as np

from analysis.load import Tables
from analysis.measures import shares
from analysis.measures.columns import Ints, ints, is_text
from analysis.measures.window import Window
from analysis.readers.outcome import plural

SAMPLE_S = 0.5  # samples come every 0.5 s
GAP_US = 2_000_000
UNSEEN = 0.05  # share of a window after last samples of processes that is worth a word
# cpulimit stops an app for up to a third of a second at a time, and the shorter a busy stretch the likelier it is one
# in which the app stood still: only stretches that are long against that say what an app gets that wants CPU
BUSY_RUN_US = 2_000_000
ENOUGH_US = 5_000_000  # of such stretches together; with less there is nothing to tell from


def series(tables: Tables, host: str, column: str = "app_ns") -> tuple[Ints, Ints]:
    """(µs, ns used since the first sample) of one host, in order of time; or another column of its samples."""
    mine = is_text(tables.cpu, "host", host)
    at, used = ints(tables.cpu, "at_us")[mine], ints(tables.cpu, column)[mine]
    order = np.argsort(at, kind="stable")
    return at[order], used[order]


def seconds(
    tables: Tables, host: str, window: Window | None, requests: int | None
) -> tuple[float | None, tuple[str, ...]]:
    """CPU-seconds of the app's process tree on a host in a window, and what is odd about them, in words: cumulative CPU at
    its two edges, each interpolated linearly between the samples around it. None when samples do not reach over both
    edges or are too far apart there, and when no process was ever seen although the server had requests (None: unknown)."""
    if window is None or host not in tables.present["cpu"]:
        return None, ()
    at, used = series(tables, host)
    if len(at) < 2 or at[0] > window.from_us or at[-1] < window.to_us:
        return None, (f"{host}: its samples do not reach over the window; its CPU is unknown",)
    inside = [(begin, end) for begin, end in gaps(at) if begin < window.to_us and end > window.from_us]
    if any(begin < edge < end for begin, end in inside for edge in (window.from_us, window.to_us)):
        return None, (f"{host}: its samples have a gap at an edge of the window; its CPU is unknown",)
    if requests != 0 and not seen(tables, host, window.from_us, window.to_us):
        return None, (f"{host}: no process of the app in any sample of the window; its CPU is unknown",)
    edges = np.interp([window.from_us - at[0], window.to_us - at[0]], at - at[0], used)
    said = []
    if inside:
        longest = max(end - begin for begin, end in inside) / 1e6
        said.append(
            f"{host}: its samples have a gap of {longest:.1f} s in the window; processes that came and went in it are not seen"
        )
    ended = _ended(tables, host, window)
    if ended * SAMPLE_S > UNSEEN * window.length_s:
        said.append(
            f"{host}: {plural(ended, 'process', 'processes')} of the app ended in the window; what they used after their last sample, up to {SAMPLE_S} s each, is not in its CPU"
        )
    return float(edges[1] - edges[0]) / 1e9, tuple(said)


def _ended(tables: Tables, host: str, window: Window) -> int:
    at, ended = series(tables, host, "app_ended")
    return int(ended[(at > window.from_us) & (at <= window.to_us)].sum())


def unseen(at: Ints, ended: Ints) -> Ints:
    """A cumulative clock, ns, of what processes of the app that ended may have used after the samples that saw them last:
    of each one CPU at most, until the sample that missed it."""
    since = np.diff(at, prepend=at[:1])
    found: Ints = np.cumsum(ended * since) * 1000
    return found


def gaps(at: Ints) -> list[tuple[int, int]]:
    """Where samples in order of time are more than 2 s apart: what happened in between is not known."""
    wide = np.flatnonzero(np.diff(at) > GAP_US)
    return [(int(at[index]), int(at[index + 1])) for index in wide]


def seen(tables: Tables, host: str, from_us: int, to_us: int) -> bool:
    """Whether any sample of a host in a stretch holds a process of the app."""
    at, count = series(tables, host, "app_processes")
    return bool((count[(at >= from_us) & (at <= to_us)] > 0).any())


def percent(cpu_s: float | None, window: Window | None) -> float | None:
    """Achieved CPU in % of one CPU."""
    return None if cpu_s is None or window is None else 100 * cpu_s / window.length_s


def busy_share(tables: Tables, host: str, window: Window, waited: Ints) -> tuple[float | None, int]:
    """CPU of the app in % of one CPU over the sample intervals of the window that lie in long stretches with requests
    waiting (shape (n, 2), µs), and how long those are together, µs; None where that is too short to tell."""
    at, used = series(tables, host)
    inside = (at >= window.from_us) & (at <= window.to_us)
    at, used = at[inside], used[inside]
    stretches = shares.merged(waited)
    long = stretches[stretches[:, 1] - stretches[:, 0] >= BUSY_RUN_US] if len(stretches) else stretches
    mask = shares.within(at, long)
    length = int(np.diff(at)[mask].sum())
    return (100 * float(np.diff(used)[mask].sum()) / (length * 1000) if length >= ENOUGH_US else None), length


def saturated(tables: Tables, host: str, window: Window, waited: Ints) -> float | None:
    """`busy_share` of a host whose CPU in the window is known; None also where its samples have a gap."""
    at, _ = series(tables, host)
    if any(begin < window.to_us and end > window.from_us for begin, end in gaps(at)):
        return None
    return busy_share(tables, host, window, waited)[0]
