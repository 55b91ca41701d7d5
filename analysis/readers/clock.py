"""Clock offsets of hosts, from facts.jsonl: all times of a trial are put on the control machine's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from loadproof.errors import RecordUnreadable
from loadproof.runfolder import record
from loadproof.runfolder.paths import TrialPaths

MOVED_US = 50_000  # a clock that moved by more during a trial is named
VAGUE_US = 250_000  # one that is not known better is named; an emulated machine gives a tenth of a second
COARSE_US = 500_000  # a clock that is not known better places nothing in a window

UNPLACED = "its times cannot be put beside those of other hosts"


@dataclass(frozen=True)
class Clocks:
    """Microseconds to subtract from a host's times, by host; hosts without evidence have 0 and a note. `placed`: hosts
    whose offset is known well enough to say what fell into a window of the load. `halves`: half the round trip of each
    offset, and by how much the clock moved, µs: it is that far from the truth at most."""

    offsets: dict[str, int]
    notes: tuple[str, ...]
    placed: frozenset[str] = frozenset()
    halves: Mapping[str, int] = field(default_factory=dict)

    def beside(self, loads: Iterable[str], hosts: Iterable[str]) -> tuple[str, ...]:
        """Those of `hosts` of which can be said what they did in a window of the load that `loads` made."""
        made = set(loads)
        return tuple(host for host in hosts if made == {host} or {host, *made} <= self.placed)

    def apart(self, loads: Sequence[str], host: str) -> int | None:
        """How far, in µs, the order of events on `host` and on any of `loads` may be from what their times say; None when
        that is not known."""
        if set(loads) == {host}:
            return 0
        here, there = self.halves.get(host), [self.halves.get(one) for one in loads]
        known = [one for one in there if one is not None]
        return None if here is None or len(known) < len(there) else here + max(known, default=0)

    def of(self, host: str) -> int:
        """The offset of one host in µs."""
        return self.offsets.get(host, 0)


@dataclass(frozen=True)
class Measured:
    """One measurement of a clock: "before" or "after" the trial, half its round trip, the offset."""

    when: str
    half_us: int
    offset_us: int


def clocks(paths: TrialPaths, hosts: Iterable[str]) -> Clocks:
    """The offset of each host: of its measurements before and after, the one with the shortest half round trip
    (the first one where they are equal). It is not interpolated: a trial is minutes long. Of a clock that moved it is
    the one before: rows and samples count from the beginning of their file, whatever the clock does later."""
    try:
        found = record.read_facts(paths.facts)
        lines, notes = found.lines, [f"facts.jsonl: {found.cut} unreadable lines"] if found.cut else []
    except RecordUnreadable:
        lines, notes = (), []
    seen: dict[str, list[Measured]] = {}
    for line in lines:
        measured = _measured(line)
        if measured is not None and isinstance(line.get("host"), str):
            seen.setdefault(line["host"], []).append(measured)
    offsets: dict[str, int] = {}
    placed, halves = [], {}
    for host in dict.fromkeys(hosts):
        if host not in seen:
            notes.append(f"{host}: no clock offset was measured; {UNPLACED}")
            continue
        moved_us = _moved_us(seen[host])
        before = [one for one in seen[host] if one.when == "before"] if moved_us else []
        best = min(before or seen[host], key=lambda one: one.half_us)
        offsets[host] = best.offset_us
        if best.half_us <= COARSE_US:
            placed.append(host)
            halves[host] = best.half_us + _apart_us(seen[host])
        if best.half_us > VAGUE_US:
            follows = f"; {UNPLACED}" if best.half_us > COARSE_US else ""
            notes.append(f"{host}: its clock is only known to ± {best.half_us / 1e6:.2f} s{follows}")
        if moved_us:
            notes.append(
                f"{host}: its clock moved by {moved_us / 1000:.0f} ms during the trial; rows and samples of files begun "
                "before that are placed by the clock as it was, nginx's lines there may not be: order between hosts is "
                "not certain"
            )
    return Clocks(offsets, tuple(notes), frozenset(placed), halves)


def _moved_us(seen: list[Measured]) -> int:
    """By how much the measurements differ, if it is more than they are worth; else 0."""
    values = [one.offset_us for one in seen]
    moved = max(values) - min(values)
    return moved if moved > MOVED_US + sum(one.half_us for one in seen) else 0


def _apart_us(seen: list[Measured]) -> int:
    """How far apart the measurements are, if one clock that did not move cannot have given them; else 0."""
    lowest = max(one.offset_us - one.half_us for one in seen)
    highest = min(one.offset_us + one.half_us for one in seen)
    values = [one.offset_us for one in seen]
    return max(values) - min(values) if lowest > highest else 0


def _measured(line: Mapping[str, Any]) -> Measured | None:
    """The measurement in a line of facts.jsonl; None when it is not there."""
    offset = line.get("offset")
    if not isinstance(offset, dict):
        return None
    half, best = offset.get("half_trip_us"), offset.get("best_us")
    if not isinstance(half, (int, float)) or not isinstance(best, (int, float)):
        return None
    known = half >= 0 and half + abs(best) < 2**62
    return Measured(str(line.get("when")), int(half), int(best)) if known else None
