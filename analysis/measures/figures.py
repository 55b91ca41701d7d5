"""Throughput, mean test time and errors of the requests that completed in a window."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from analysis.measures.columns import Clients, Ints, Mask
from analysis.measures.window import Window

PERCENTILES = (50, 95, 99)
PEAK_US = 2_000_000
NAMES = (
    "requests",
    "failures",
    "cut",
    "tps",
    "mtt_ms",
    "mtsd_ms",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "answer_or_give_up_ms",
    "errors",
)


def figures(requests: Clients, window: Window | None) -> dict[str, Any]:
    """The client's figures of a window; all None without one.

    requests   requests that ended in the window, cut ones not among them
    failures   those of them with an error class; the rest are successes
    cut        requests that our own stop cut off in the window
    tps        successes / length of the window, per second
    mtt_ms     mean of end - start over successes; None without any
    mtsd_ms    their standard deviation, divisor n, as The Grinder under nGrinder has it
    p50_ms …   nearest rank: the smallest time that at least q % of the successes do not exceed
    answer_or_give_up_ms   mean of end - start over all requests, failures too: what is compared where arms fail differently
    errors     failures by class, most frequent first, then by name
    """
    if window is None:
        return dict.fromkeys(NAMES)
    inside = requests.inside(window.from_us, window.to_us)
    done, good = inside & ~requests.cut, inside & requests.ok
    taken = requests.end_us[good] - requests.start_us[good]
    return {
        "requests": int(np.count_nonzero(done)),
        "failures": int(np.count_nonzero(done & ~good)),
        "cut": int(np.count_nonzero(inside & requests.cut)),
        "tps": len(taken) / window.length_s,
        **times(taken),
        "answer_or_give_up_ms": mean_ms(requests.end_us[done] - requests.start_us[done]),
        "errors": errors(requests, done & ~good),
    }


def times(taken_us: Ints) -> dict[str, float | None]:
    """MTT, MTSD and percentiles of times in µs, in ms; None for none."""
    if not len(taken_us):
        return dict.fromkeys(("mtt_ms", "mtsd_ms", *(f"p{q}_ms" for q in PERCENTILES)))
    ordered = np.sort(taken_us)
    mean = int(ordered.sum()) / len(ordered)
    return {
        "mtt_ms": mean_ms(ordered),
        "mtsd_ms": math.sqrt(float(np.square(ordered - mean).mean())) / 1000,
        **{f"p{q}_ms": float(ordered[-(-q * len(ordered) // 100) - 1]) / 1000 for q in PERCENTILES},
    }


def mean_ms(taken_us: Ints) -> float | None:
    """Mean of times in µs, in ms; None for none."""
    return int(taken_us.sum()) / len(taken_us) / 1000 if len(taken_us) else None


def errors(requests: Clients, failed: Mask) -> dict[str, int]:
    """Count of each error class among the requests of a mask."""
    counts = np.bincount(requests.error[failed], minlength=len(requests.classes))
    pairs = [(name, int(count)) for name, count in zip(requests.classes, counts, strict=True) if count]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))


def peak_tps(requests: Clients, window: Window | None) -> float | None:
    """The best of the 2 s stretches counted from second 0 (they do not overlap): its successes / 2 s. Descriptive."""
    if window is None:
        return None
    ends = requests.end_us[requests.ok & requests.inside(window.from_us, window.to_us)]
    if not len(ends):
        return 0.0
    _, counts = np.unique((ends - window.zero_us) // PEAK_US, return_counts=True)
    return int(counts.max()) / (PEAK_US / 1e6)
