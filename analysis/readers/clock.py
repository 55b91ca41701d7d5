"""Clock offsets of hosts, from facts.jsonl: all times of a trial are put on the control machine's clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from analysis.readers.facts import whole
from loadproof.errors import RecordUnreadable
from loadproof.runfolder import record
from loadproof.runfolder.paths import TrialPaths

MOVED_US = 50_000  # a clock that moved by more during a trial is named
VAGUE_US = 250_000  # one that is not known better is named; an emulated machine gives a tenth of a second
COARSE_US = 500_000  # a clock that is not known better places nothing in a window
STEPPED_US = 20_000  # a step of the wall clock that is larger is named

MOST_US = 1 << 40  # more than a day: a clock of which nothing is known

UNPLACED = "its times cannot be put beside those of other hosts"


@dataclass(frozen=True)
class Clocks:
    """Microseconds to subtract from a host's times, by host; hosts without evidence have 0 and a note. `placed`: hosts
    whose offset is known well enough to say what fell into a window of the load. `halves`: half the round trip of each
    offset, and by how much the clock moved, µs: it is that far from the truth at most. `steps`: by how much the wall clock
    of a host moved against its own monotonic one, µs."""

    offsets: dict[str, int]
    notes: tuple[str, ...]
    placed: frozenset[str] = frozenset()
    halves: Mapping[str, int] = field(default_factory=dict)
    steps: Mapping[str, int] = field(default_factory=dict)

    def beside(self, loads: Iterable[str], hosts: Iterable[str]) -> tuple[str, ...]:
        """Those of `hosts` of which can be said what they did in a window of the load that `loads` made."""
        made = set(loads)
        return tuple(host for host in hosts if made == {host} or {host, *made} <= self.placed)

    def apart(self, loads: Sequence[str], host: str) -> int | None:
        """How far, in µs, the order of events on `host` and on any of `loads` may be from what their times say; None when
        that is not known."""
        # one clock: but nginx's lines have what it shows, rows count on from their beginning
        if set(loads) == {host}:
            return self.steps.get(host, 0)
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
    placed, halves, steps = [], {}, _steps(lines)
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
            halves[host] = best.half_us + max(_apart_us(seen[host]), steps.get(host, 0))
        if best.half_us > VAGUE_US:
            follows = f"; {UNPLACED}" if best.half_us > COARSE_US else ""
            notes.append(f"{host}: its clock is only known to ± {best.half_us / 1e6:.2f} s{follows}")
        if moved_us:
            notes.append(
                f"{host}: its clock moved by {moved_us / 1000:.0f} ms during the trial; rows and samples of files begun "
                "before that are placed by the clock as it was, nginx's lines there may not be: order between hosts is "
                "not certain"
            )
        elif steps.get(host, 0) > STEPPED_US:
            notes.append(
                f"{host}: its wall clock was stepped by {steps[host] / 1000:.0f} ms during the trial, or the machine slept: "
                "nginx's lines there have the clock as it was shown, rows and samples count on from their beginning: order "
                "is not certain within that"
            )
    return Clocks(offsets, tuple(notes), frozenset(placed), halves, steps)


def _steps(lines: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """By host: how far apart wall clock and monotonic clock went between its answers. Hosts that share a machine share its
    clock, and a step of it shows in no offset. Only within one boot: each has a monotonic clock of its own."""
    bases: dict[tuple[str, str], list[int]] = {}
    for line in lines:
        host, said = line.get("host"), line.get("facts")
        if not isinstance(host, str) or not isinstance(said, dict):
            continue
        wall, monotonic = whole(said, "realtime_us"), whole(said, "monotonic_ns")
        if wall is not None and monotonic is not None:
            bases.setdefault((host, str(said.get("boot_id"))), []).append(wall - monotonic // 1000)
    found: dict[str, int] = {}
    for (host, _), seen in bases.items():
        found[host] = max(found.get(host, 0), min(max(seen) - min(seen), MOST_US))
    return found


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
