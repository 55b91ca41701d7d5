"""Clock offsets of hosts, from facts.jsonl: all times of a trial are put on the control machine's clock."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from loadproof.errors import RecordUnreadable
from loadproof.runfolder import record
from loadproof.runfolder.paths import TrialPaths

MOVED_US = 50_000  # a clock that moved by more during a trial is named


@dataclass(frozen=True)
class Clocks:
    """Microseconds to subtract from a host's times, by host; hosts without evidence have 0 and a note."""

    offsets: dict[str, int]
    notes: tuple[str, ...]

    def of(self, host: str) -> int:
        """The offset of one host in µs."""
        return self.offsets.get(host, 0)


def clocks(paths: TrialPaths, hosts: Iterable[str]) -> Clocks:
    """The offset of each host: of its measurements before and after, the one with the shortest half round trip
    (the first one where they are equal). It is not interpolated: a trial is minutes long."""
    try:
        found = record.read_facts(paths.facts)
        lines, notes = found.lines, [f"facts.jsonl: {found.cut} unreadable lines"] if found.cut else []
    except RecordUnreadable:
        lines, notes = (), []
    seen: dict[str, list[tuple[int, int]]] = {}
    for line in lines:
        measured = _measured(line.get("offset"))
        if measured is not None and isinstance(line.get("host"), str):
            seen.setdefault(line["host"], []).append(measured)
    offsets: dict[str, int] = {}
    for host in dict.fromkeys(hosts):
        if host not in seen:
            notes.append(f"{host}: no clock offset was measured; its times are taken as they are")
            continue
        offsets[host] = min(seen[host], key=lambda one: one[0])[1]
        values = [offset for _, offset in seen[host]]
        slack = MOVED_US + sum(half for half, _ in seen[host])
        if max(values) - min(values) > slack:
            moved = (max(values) - min(values)) / 1000
            notes.append(
                f"{host}: its clock moved by {moved:.0f} ms during the trial; order between hosts is not certain"
            )
    return Clocks(offsets, tuple(notes))


def _measured(offset: Any) -> tuple[int, int] | None:
    """(half round trip, offset), both in µs; None when it is not there."""
    if not isinstance(offset, dict):
        return None
    half, best = offset.get("half_trip_us"), offset.get("best_us")
    if not isinstance(half, (int, float)) or not isinstance(best, (int, float)):
        return None
    return (int(half), int(best)) if abs(half) + abs(best) < 2**62 else None
