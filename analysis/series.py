"""What the charts draw: values over time, in bins counted from second 0, one line per trial."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.attribution import KEYS
from analysis.measures import cpu
from analysis.measures import window as windows
from analysis.measures.columns import Ints, coded, ints
from analysis.measures.figures import EDGES
from analysis.readers.faults import Stretch
from analysis.trial import Judged
from analysis.words import visible
from loadproof.errors import BadInput
from loadproof.plan import faults as plans

MOST_BINS = 300  # more are narrower than two points of a page, and make it heavy
WIDTHS = (1, 2, 5, 10, 20, 30, 60)
MOST_POINTS = 400  # of the users' staircase
LEVELS = ["arm", "kind", "users", "users_to", "tps", "mtt_ms", "in_flight"]
TIMES = ["arm", "ms", "within", "requests"]
TRIALS = ["order", "trial", "arm", "block", "began", "verdict", "value"]
STOPS = ["arm", "second", "users", "label"]
BANDS = ["arm", "second", "tps_low", "tps_high", "mtt_ms_low", "mtt_ms_high"]
FAULT_COLOUR = "#8b93a1"  # of a fault that is not described here


@dataclass(frozen=True)
class Series:
    """Frames in long form, one row per arm and bin. `width_s` is the length of a bin."""

    width_s: int
    arms: tuple[str, ...]
    rates: (
        pd.DataFrame
    )  # arm, second, tps (by completion), mtt_ms (by start; None where none succeeded or some were cut)
    users: pd.DataFrame  # arm, second, users
    errors: pd.DataFrame  # arm, second, error, per_second (by completion)
    reasons: pd.DataFrame  # arm, second, reason, per_second (by completion)
    servers: pd.DataFrame  # arm, server, second, answered, failed (per second, by completion)
    cpu: pd.DataFrame  # arm, server, second, percent (None where samples have a gap)
    limits: pd.DataFrame  # percent
    holds: pd.DataFrame  # arm, from_s, to_s
    faults: pd.DataFrame  # arm, fault, label, colour, from_s, to_s: what a rehearsal broke
    # arm, second, users, label: when nGrinder stopped, or would have stopped, a trial
    stops: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=STOPS))
    # arm, second, tps_low, tps_high, mtt_ms_low, mtt_ms_high: of arms with several trials
    bands: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=BANDS))
    # of ramps: arm, kind ("level", "line", "knee", "interval", "bound"), users, users_to, tps, mtt_ms, in_flight
    levels: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LEVELS))
    # arm, ms, within: successes of the hold that took at most so long, of how many requests
    times: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=TIMES))
    # in order of execution: order (from 1), trial, arm, block, began, verdict, value of the primary figure
    trials: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=TRIALS))
    primary: str = "TPS"


def series(
    members: Sequence[tuple[str, Judged]], broken: Mapping[str, Sequence[Stretch]] | None = None
) -> Series:
    """The series of labelled trials; those without a second 0, without requests, or without the rows of a Locust worker
    have none. Texts are spelled out as on the page: what draws them ends the process at a control character. `broken`: by
    label, what a rehearsal did to the hosts of that trial."""
    known = [
        (visible(label), judged, found)
        for label, judged in members
        if (found := _stretch(judged)) is not None
    ]
    longest = max((end - begin) / 1e6 for _, _, (begin, end) in known) if known else 1.0
    width = next((one for one in WIDTHS if longest / one <= MOST_BINS), WIDTHS[-1])

    def frame(make: Any, *columns: str) -> pd.DataFrame:
        rows = [row for label, judged, (zero, end) in known for row in make(label, judged, zero, end, width)]
        return pd.DataFrame(rows, columns=list(columns))

    faults = {visible(label): stretches for label, stretches in (broken or {}).items()}
    shades = [
        row for label, _, (zero, end) in known for row in _shades(label, faults.get(label, ()), zero, end)
    ]
    limits = {judged.plan.limit.percent for _, judged, _ in known if judged.plan.limit.kind != "none"}
    return Series(
        width,
        tuple(dict.fromkeys(label for label, _, _ in known)),
        frame(_rates, "arm", "second", "tps", "mtt_ms"),
        frame(_users, "arm", "second", "users"),
        frame(_errors, "arm", "second", "error", "per_second"),
        frame(_reasons, "arm", "second", "reason", "per_second"),
        frame(_servers, "arm", "server", "second", "answered", "failed"),
        frame(_cpu, "arm", "server", "second", "percent"),
        pd.DataFrame({"percent": sorted(limits)}),
        frame(_holds, "arm", "from_s", "to_s"),
        pd.DataFrame(shades, columns=["arm", "fault", "label", "colour", "from_s", "to_s"]),
        stops=frame(_stops, *STOPS),
        times=_times([(label, judged) for label, judged, _ in known]),
    )


def _times(members: Sequence[tuple[str, Judged]]) -> pd.DataFrame:
    """How many successes of each hold took at most so long, at times 2 % apart."""
    found = [
        pd.DataFrame(
            {
                "arm": label,
                "ms": EDGES / 1000,
                "within": judged.within,
                "requests": judged.figures["requests"],
            }
        )
        for label, judged in members
        if judged.figures["requests"]
    ]
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(columns=TIMES)


def _stretch(judged: Judged) -> tuple[int, int] | None:
    """Second 0 and the end of what is drawn, in µs: the hold's end, so that what our own stop does is not drawn."""
    run = judged.run
    if run is None or not windows.complete(judged.tables, judged.plan):
        return None
    return run.zero_us, judged.hold.to_us if judged.hold else run.to_us


def _edges(zero: int, end: int, width: int) -> Ints:
    """Edges of the whole bins between second 0 and the end."""
    count = max(0, math.floor((end - zero) / 1e6 / width + 0.05))  # a stop a blink early does not cost a bin
    return zero + np.arange(count + 1, dtype=np.int64) * width * 1_000_000


def _bins(counts: NDArray[Any], edges: Ints, width: int) -> NDArray[Any]:
    """Counts by second as counts by bin; shape (…, bins)."""
    bins = len(edges) - 1
    lacking = max(0, bins * width - counts.shape[-1])
    padded = np.concatenate([counts, np.zeros((*counts.shape[:-1], lacking), counts.dtype)], axis=-1)
    found: NDArray[Any] = padded[..., : bins * width].reshape(*counts.shape[:-1], bins, width).sum(axis=-1)
    return found


def _rates(label: str, judged: Judged, zero: int, end: int, width: int) -> Iterator[tuple[Any, ...]]:
    edges, seen = _edges(zero, end, width), judged.timeline
    ended, count, total = (_bins(one, edges, width) for one in (seen.ended, seen.began, seen.taken_us))
    # where some were cut only the quick ones have ended: their mean would fall for no reason but the end of the load
    partial = _bins(seen.cut, edges, width) > 0
    for index in range(len(ended)):
        mean = float(total[index] / count[index] / 1000) if count[index] and not partial[index] else None
        yield label, (index + 0.5) * width, float(ended[index]) / width, mean


def _users(label: str, judged: Judged, zero: int, end: int, width: int) -> Iterator[tuple[Any, ...]]:
    kind, labels = coded(judged.tables.users, "kind")
    at = ints(judged.tables.users, "at_us")
    order = np.argsort(at, kind="stable")
    sign = np.array([1 if name == "user_started" else -1 for name in labels])[kind]
    alive = np.cumsum(sign[order])
    second = np.round((at[order] - zero) / 1e6, 1)
    last = np.append(second[1:] != second[:-1], True)
    points = [
        (float(s), int(a))
        for s, a in zip(second[last], alive[last], strict=True)
        if zero + s * 1e6 <= end - 50_000
    ]
    thin = max(1, len(points) // MOST_POINTS)
    for moment, users in points[::thin]:
        yield label, max(0.0, moment), users
    if points:
        yield label, round((end - zero) / 1e6, 3), points[-1][1]


def _errors(label: str, judged: Judged, zero: int, end: int, width: int) -> Iterator[tuple[Any, ...]]:
    edges, seen = _edges(zero, end, width), judged.timeline
    for name, counts in zip(seen.texts.errors, _bins(seen.errors, edges, width), strict=True):
        if counts.any():
            for index, count in enumerate(counts):
                yield label, (index + 0.5) * width, visible(name), float(count) / width


def _reasons(label: str, judged: Judged, zero: int, end: int, width: int) -> Iterator[tuple[Any, ...]]:
    edges, seen = _edges(zero, end, width), judged.timeline
    for name, counts in zip([*KEYS, "unexplained"], _bins(seen.reasons, edges, width), strict=True):
        if counts.any():
            for index, count in enumerate(counts):
                yield label, (index + 0.5) * width, name, float(count) / width


def _servers(label: str, judged: Judged, zero: int, end: int, width: int) -> Iterator[tuple[Any, ...]]:
    """Of servers whose requests can be told."""
    edges, seen = _edges(zero, end, width), judged.timeline
    told = [one["requests"] is not None for one in judged.figures["servers"]]
    both = zip(_bins(seen.answered, edges, width), _bins(seen.failed, edges, width), strict=True)
    for host, known, (answered, failed) in zip(judged.plan.apps, told, both, strict=True):
        for index in range(len(answered) if known else 0):
            yield label, visible(host), (index + 0.5) * width, answered[index] / width, failed[index] / width


def _cpu(label: str, judged: Judged, zero: int, end: int, width: int) -> Iterator[tuple[Any, ...]]:
    edges = _edges(zero, end, width)
    for host in judged.plan.apps:
        at, used = cpu.series(judged.tables, host)
        if len(at) < 2 or host not in judged.placed or not cpu.seen(judged.tables, host, zero, end):
            continue
        gaps = cpu.gaps(at)
        curve = np.interp(edges - zero, at - zero, used)
        for index, (left, right) in enumerate(pairwise(edges)):
            known = left >= at[0] and right <= at[-1] and not any(a < right and b > left for a, b in gaps)
            percent = float(curve[index + 1] - curve[index]) / (width * 1e9) * 100 if known else None
            yield label, visible(host), (index + 0.5) * width, percent


def _holds(label: str, judged: Judged, zero: int, end: int, width: int) -> Iterator[tuple[Any, ...]]:
    if judged.hold is not None:
        yield label, judged.hold.from_s, judged.hold.to_s


def _stops(label: str, judged: Judged, zero: int, end: int, width: int) -> Iterator[tuple[Any, ...]]:
    found = judged.figures["ngrinder_stop"]
    if found is not None:
        verb = "stopped" if found["stopped"] else "would have stopped"
        yield label, min(float(found["second"]), (end - zero) / 1e6), found["users"], f"nGrinder {verb} here"


def _shades(label: str, broken: Sequence[Stretch], zero: int, end: int) -> Iterator[tuple[Any, ...]]:
    """What of each fault lies in what is drawn; one that no file describes any more is shaded all the same."""
    for name in dict.fromkeys(one.fault for one in broken):
        mine = [one for one in broken if one.fault == name]
        begin = max(zero, min(one.from_us for one in mine))
        until = min(end, max(end if one.to_us is None else one.to_us for one in mine))
        if until <= begin:
            continue
        try:
            fault = plans.load(name)
            words, colour = fault.label, fault.colour
        except BadInput:
            words, colour = name, FAULT_COLOUR
        yield label, visible(name), visible(words), colour, (begin - zero) / 1e6, (until - zero) / 1e6
