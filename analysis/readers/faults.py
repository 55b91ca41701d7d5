"""What a rehearsal did to the hosts and when, from the journal; the control machine's clock, as all times of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from loadproof.errors import RecordUnreadable
from loadproof.runfolder import journal
from loadproof.runfolder.paths import TrialPaths


@dataclass(frozen=True)
class Stretch:
    """One fault on one host, in µs since the epoch; `to_us` None: nobody saw its end."""

    fault: str
    host: str
    from_us: int
    to_us: int | None


def stretches(paths: TrialPaths) -> tuple[Stretch, ...]:
    """The faults of a trial, in the order of their beginning; without a journal none are known."""
    try:
        lines = journal.read(paths.journal).lines
    except RecordUnreadable:
        return ()
    open_, found = dict[tuple[str, str], int](), list[Stretch]()
    for line in lines:
        if line.get("stage") != "fault" or line.get("event") not in ("begin", "end"):
            continue
        name, at_us = (str(line.get("fault")), str(line.get("host"))), _at(line)
        if at_us is None:
            continue
        if line["event"] == "begin":
            open_.setdefault(name, at_us)
        elif name in open_:
            found.append(Stretch(*name, open_.pop(name), at_us))
    found += [Stretch(*name, at_us, None) for name, at_us in open_.items()]
    return tuple(sorted(found, key=lambda one: one.from_us))


def _at(line: Mapping[str, Any]) -> int | None:
    at = line.get("realtime_us")
    return at if isinstance(at, int) else None
