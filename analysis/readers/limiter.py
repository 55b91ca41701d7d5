"""limiter.jsonl of every app host: what a reader of the figures has to know of the limit, in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.readers import lines
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.paths import TrialPaths

EXPECTED_END = ("SIGTERM",)  # our own `lift`
PUT_BACK_US = 2_000_000  # the supervisor is back on a new process within 1 s, within 2 s of its own death
LEAST_US = 50_000  # shorter lacks would read "0.0 s"
Stretch = tuple[int, int]  # [from, to) in µs


@dataclass(frozen=True)
class Cover:
    """For how much of a stretch there was no limit, and for how much of it nobody knows, in µs."""

    lacking_us: int
    unknown_us: int


def events(folder: Path) -> tuple[list[dict[str, Any]], lines.Malformed]:
    """The events of a host's limiter.jsonl, and the lines of it that cannot be read. Raises OSError."""
    malformed = lines.Malformed()
    return list(_events(folder / "limiter.jsonl", malformed)), malformed


def placed(found: Sequence[Mapping[str, Any]], offset: int) -> list[int | None]:
    """When each event came, in µs on the control machine's clock; None where it does not say. As in every file of a host
    its first pair of clocks counts, and the one after a boot: a step of the wall clock moves no later event."""
    times: list[int | None] = []
    anchor: tuple[int, int] | None = None
    last_ns = 0
    for event in found:
        at, ns = event.get("realtime_us"), event.get("monotonic_ns")
        if not isinstance(at, int) or not isinstance(ns, int):
            times.append(at - offset if isinstance(at, int) else None)
            continue
        if anchor is None or ns < last_ns:
            anchor = at, ns
        last_ns = ns
        times.append(anchor[0] + (ns - anchor[1]) // 1000 - offset)
    return times


def cover(
    found: Sequence[Mapping[str, Any]], kind: str, window: Stretch, offset: int, put_back_us: int
) -> Cover | None:
    """How a limit covered a stretch of time. One that was lost and put back within `put_back_us` held, and so did one
    that began `anew`. None when there are events without a time."""
    times = placed(found, offset)
    if any(at is None and _matters(event, kind) for at, event in zip(times, found, strict=True)):
        return None
    held, open_us = _held(found, times, kind, put_back_us)
    begin, end = window
    unknown = 0 if open_us is None else max(0, end - max(begin, open_us))
    covered = sum(max(0, min(end, to) - max(begin, since)) for since, to in held)
    return Cover(end - begin - covered - unknown, unknown)


def anew(found: Sequence[Mapping[str, Any]]) -> frozenset[int]:
    """Which events (their places) say that the limiter began anew for the first children of a process of the app, to watch
    them too. That is no loss; whoever does so again and again leaves the app free each time."""
    first: dict[Any, int] = {}
    pid: Any = None
    for place, event in enumerate(found):
        if event.get("event") == "attached":
            pid = str(event.get("pid"))
        elif event.get("event") == "gone" and str(event.get("what")).startswith("forked"):
            first.setdefault(pid, place)
    return frozenset(first.values())


def notes(
    paths: TrialPaths, plan: TrialPlan, windows: Mapping[str, Stretch | None], offset: Callable[[str], int]
) -> tuple[str, ...]:
    """Sentences on limits that were not in force, were lost on the way, or did not cover the window of a host (µs on the
    control machine's clock; none for a host whose clock is not known; `offset` gives the µs that a host's clock is ahead)."""
    if plan.limit.kind == "none":
        return ()
    found: list[str] = []
    for host in plan.apps:
        try:
            seen, malformed = events(paths.raw(host))
        except OSError as error:
            found.append(f"{host}: limiter.jsonl: {error.strerror}; whether the limit held is unknown")
            continue
        window = windows.get(host)
        found += malformed.note(f"{host}: limiter.jsonl")
        said = [
            *_told(seen, window, offset(host)),
            *_uncovered(seen, plan.limit.kind, window, offset(host)),
        ]
        found += [f"{host}: {text}" for text in said]
    return tuple(found)


def _told(events: Sequence[Mapping[str, Any]], window: Stretch | None, offset: int) -> Iterator[str]:
    """What the supervisor itself says went wrong. That it ended by itself when the window was over is no fault: so hosts
    end what nobody comes back for."""
    names = {event.get("event") for event in events}
    if "started" not in names:
        yield "the limiter never started"
    elif "attached" not in names:
        yield "the limit was never attached"
    for why in _distinct(
        event.get("why") for event in events if event.get("event") == "in_force" and not event.get("ok")
    ):
        yield f"the limit was {why}"
    begun = anew(events)
    lost = Counter(
        str(event.get("what")).partition(":")[0]
        for place, event in enumerate(events)
        if event.get("event") == "gone" and place not in begun
    )
    if lost:
        what = ", ".join(name if count == 1 else f"{name} {count} times" for name, count in lost.items())
        back = "and put back" if _ends_attached(events) else "and not put back"
        yield f"the limit was lost ({what} gone) {back}; limiter.jsonl has the times"
    ends = [
        event
        for event, at in zip(events, placed(events, offset), strict=True)
        if event.get("event") == "ended" and not _is_after(at, window)
    ]
    for why in _distinct(event.get("why") for event in ends):
        if why not in EXPECTED_END:
            yield f"the limiter ended by itself: {why}"


def _is_after(at: int | None, window: Stretch | None) -> bool:
    """Whether an event surely came when the window was over."""
    return window is not None and at is not None and at >= window[1]


def _uncovered(
    events: Sequence[Mapping[str, Any]], kind: str, window: Stretch | None, offset: int
) -> Iterator[str]:
    """How much of the window had no limit, and for how much of it nobody knows."""
    if window is None or "attached" not in {event.get("event") for event in events}:
        return
    found = cover(events, kind, window, offset, PUT_BACK_US)
    if found is None:
        yield "limiter.jsonl has events without a time; whether the limit held over the window is unknown"
        return
    if found.lacking_us >= LEAST_US:
        yield f"no limit for {found.lacking_us / 1e6:.1f} s of the window"
    if found.unknown_us >= LEAST_US:
        yield (
            f"whether the limit held is unknown for {found.unknown_us / 1e6:.1f} s of the window: its supervisor ended without a word"
        )


def _held(
    events: Sequence[Mapping[str, Any]], times: Sequence[int | None], kind: str, put_back_us: int
) -> tuple[list[Stretch], int | None]:
    """Stretches in which the limit held, those and while it was put back; and since when it was attached
    with nothing said of its end."""
    held: list[Stretch] = []
    begun: int | None = None
    patience, begins_anew = put_back_us, anew(events)
    for place, (event, at) in enumerate(zip(events, times, strict=True)):
        attaches = event.get("event") == "attached"
        if at is None or not _matters(event, kind):
            continue
        if attaches and begun is None:
            if held and at - held[-1][1] <= patience:
                held.append((held[-1][1], at))
            begun = at
        elif not attaches and begun is not None:
            held.append((begun, at))
            begun = None
            patience = PUT_BACK_US if place in begins_anew else put_back_us
    return held, begun


def _matters(event: Mapping[str, Any], kind: str) -> bool:
    """Whether a limit begins or ends with this event."""
    return event.get("event") == "attached" or _ends(event, kind)


def _ends(event: Mapping[str, Any], kind: str) -> bool:
    """Whether a limit that held is over: a quota stays on the unit whatever becomes of the app."""
    if kind == "quota":
        taken = event.get("event") == "gone" and str(event.get("what")).startswith("quota")
        return taken or event.get("event") in ("lifted", "ended")
    return event.get("event") in ("gone", "detached", "lifted", "ended")


def _events(path: Path, malformed: lines.Malformed) -> Iterator[dict[str, Any]]:
    for piece in lines.pieces(path, malformed):
        for line in lines.split(piece):
            try:
                event = json.loads(line)
            except (ValueError, RecursionError):
                event = None
            if isinstance(event, dict) and isinstance(event.get("event"), str):
                yield event
            else:
                malformed.add(line)


def _ends_attached(events: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a limit was attached after the last one was lost."""
    order = [event.get("event") for event in events if event.get("event") in ("attached", "gone")]
    return order[-1:] == ["attached"]


def _distinct(texts: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(text) for text in texts))
