"""limiter.jsonl of every app host: what a reader of the figures has to know of the limit, in words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from analysis.readers import lines
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.paths import TrialPaths

EXPECTED_END = ("SIGTERM",)  # our own `lift`


def notes(paths: TrialPaths, plan: TrialPlan) -> tuple[str, ...]:
    """Sentences on limits that were not in force, were lost on the way, or ended before the load did."""
    if plan.limit.kind == "none":
        return ()
    return tuple(note for host in plan.apps for note in _host(host, paths.raw(host) / "limiter.jsonl"))


def _host(host: str, path: Path) -> Iterator[str]:
    malformed = lines.Malformed()
    try:
        events = list(_events(path, malformed))
    except OSError as error:
        yield f"{host}: limiter.jsonl: {error.strerror}; whether the limit held is unknown"
        return
    yield from malformed.note(f"{host}: limiter.jsonl")
    if not any(event.get("event") == "started" for event in events):
        yield f"{host}: the limiter never started"
    for why in _distinct(
        event.get("why") for event in events if event.get("event") == "in_force" and not event.get("ok")
    ):
        yield f"{host}: the limit was {why}"
    # "forked" is no loss: the limiter begins anew to watch the app's children too
    lost = Counter(
        str(event.get("what")).partition(":")[0] for event in events if event.get("event") == "gone"
    )
    lost.pop("forked", None)
    if lost:
        what = ", ".join(name if count == 1 else f"{name} {count} times" for name, count in lost.items())
        back = "and put back" if _ends_attached(events) else "and not put back"
        yield f"{host}: the limit was lost ({what} gone) {back}; limiter.jsonl has the times"
    for why in _distinct(event.get("why") for event in events if event.get("event") == "ended"):
        if why not in EXPECTED_END:
            yield f"{host}: the limiter ended by itself: {why}"


def _events(path: Path, malformed: lines.Malformed) -> Iterator[dict[str, Any]]:
    for piece in lines.pieces(path, malformed):
        for line in lines.split(piece):
            try:
                event = json.loads(line)
            except ValueError:
                event = None
            if isinstance(event, dict):
                yield event
            else:
                malformed.add(line)


def _ends_attached(events: list[dict[str, Any]]) -> bool:
    """Whether a limit was attached after the last one was lost."""
    order = [event.get("event") for event in events if event.get("event") in ("attached", "gone")]
    return order[-1:] == ["attached"]


def _distinct(texts: Iterable[Any]) -> list[str]:
    return list(dict.fromkeys(str(text) for text in texts))
