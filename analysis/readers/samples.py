"""sample.jsonl of every host: cumulative CPU of our units and of everything else, tick by tick."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from analysis.readers import lines
from analysis.readers.client import TEXT, constant
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Outcome
from loadproof.plan.places import APP_UNIT, LIMIT_UNIT, PROXY_UNIT, SAMPLE_UNIT
from loadproof.runfolder.paths import TrialPaths

UNITS = {APP_UNIT: "app_ns", LIMIT_UNIT: "limit_ns", PROXY_UNIT: "proxy_ns", SAMPLE_UNIT: "sample_ns"}
LOAD = "loadproof-load@"
GROUPS = ("app_ns", "limit_ns", "proxy_ns", "sample_ns", "load_ns", "other_ns")
HOST = ("user_us", "system_us", "idle_us", "iowait_us", "steal_us")
MEMORY, DISK = ("total_kb", "available_kb"), ("free_kb", "total_kb")
NAMES = (
    "at_us", *GROUPS, "app_processes", "app_ended", *(f"host_{name}" for name in HOST), *(f"memory_{name}" for name in MEMORY),
    *(f"disk_{name}" for name in DISK),
)  # fmt: skip
SCHEMA = pa.schema([("host", TEXT), *((name, pa.int64()) for name in NAMES)])
MOST = 2**63  # what a table holds is below it
LATEST_US = 2**53  # no clock is past the year 2255
SPENT_US = 2**50  # no host has used more than 35 years of a CPU


def read(paths: TrialPaths, hosts: Iterable[str], clocks: Clocks) -> Outcome:
    """One row per host and tick. `*_ns`: CPU used since the host's first tick by the processes of a unit, a process
    being its pid and start time: an app that was restarted goes on where the old one ended. Of `other_ns` is also what
    came and went between two ticks, where the control groups of the host were asked. `app_ended`: how many of
    the app's processes ended since the tick before; what they used after it nobody saw. Present: hosts with ticks."""
    tables, present, notes = [], [], []
    for host in dict.fromkeys(hosts):
        malformed = lines.Malformed()
        try:
            ticks = _ticks(paths.raw(host) / "sample.jsonl", malformed)
            columns = _columns(ticks, clocks.of(host), malformed)
        except OSError as error:
            notes.append(f"{host}: sample.jsonl: {error.strerror}; its CPU is unknown")
            continue
        notes.extend(malformed.note(f"{host}: sample.jsonl"))
        count = len(columns["at_us"])
        if not count:
            notes.append(f"{host}: sample.jsonl holds no samples; its CPU is unknown")
            continue
        present.append(host)
        tables.append(
            pa.table(
                [constant(host, count), *(pa.array(columns[name], pa.int64()) for name in NAMES)],
                schema=SCHEMA,
            )
        )
    joined = (
        pa.concat_tables(tables).unify_dictionaries().combine_chunks() if tables else SCHEMA.empty_table()
    )
    return Outcome(joined, tuple(present), tuple(notes))


def _ticks(path: Path, malformed: lines.Malformed) -> Iterator[tuple[lines.Bytes, dict[str, Any] | None]]:
    """Good ticks in order, each with its line; None where a sampler began (again)."""
    for piece in lines.pieces(path, malformed):
        for line in lines.split(piece):
            try:
                value = json.loads(line.decode("utf-8", "surrogateescape"))
                if value.get("kind") == "start":
                    yield line, None
                    continue
                if value.get("kind") == "lost":
                    continue
                tick = _tick(value)
            except (ValueError, AttributeError, TypeError, KeyError, OverflowError, RecursionError):
                malformed.add(line)
                continue
            yield line, tick


def _tick(value: dict[str, Any]) -> dict[str, Any]:
    """A tick with its types checked. Raises KeyError, TypeError or ValueError."""
    tick: dict[str, Any] = {
        "realtime_us": _int(value["realtime_us"], LATEST_US),
        "monotonic_ns": _int(value["monotonic_ns"]),
    }
    tick["processes"] = [
        (_int(one["pid"]), _int(one["start"]), str(one.get("unit", "")), _int(one["cpu_ns"]))
        for one in value["processes"]
    ]
    spent = value.get("spent_us")
    tick["spent_us"] = None if spent is None else _int(spent, SPENT_US)
    for key, names in (("cpu", HOST), ("memory", MEMORY), ("disk", DISK)):
        part = value.get(key) or {}
        tick[key] = [_int(part[name]) if part.get(name) is not None else None for name in names]
    return tick


def _int(value: Any, most: int = MOST) -> int:
    number = int(value)
    if not -most < number < most:
        raise OverflowError(value)
    return number


def group_of(unit: str) -> str:
    """The column a systemd unit belongs to."""
    return UNITS.get(unit) or ("load_ns" if unit.startswith(LOAD) else "other_ns")


class _Unseen:
    """CPU of processes that began and ended between two ticks: what the control groups of a host spent beyond what is seen
    of its processes. Threads of the kernel are seen and in no such group: as much as they used may stay hidden."""

    def __init__(self) -> None:
        self.total_ns = 0
        self.base_ns: int | None = None

    def anew(self) -> None:
        """Another sampler counts from its own beginning."""
        self.base_ns = None

    def after(self, spent_us: int | None, seen_ns: int) -> int:
        """All of it after a tick; both are cumulative. The two are read one after the other: what one is ahead by for a
        moment is no use of anybody's, and a sum that never falls takes the largest such moment once."""
        if spent_us is not None:
            beyond = spent_us * 1000 - seen_ns
            self.base_ns = beyond - self.total_ns if self.base_ns is None else self.base_ns
            self.total_ns = max(self.total_ns, beyond - self.base_ns)
        return self.total_ns


def _columns(
    ticks: Iterator[tuple[lines.Bytes, dict[str, Any] | None]], offset: int, malformed: lines.Malformed
) -> dict[str, list[Any]]:
    """The columns of a table. A tick after which more CPU was used than a table holds is a malformed line."""
    columns: dict[str, list[Any]] = {name: [] for name in NAMES}
    used = dict.fromkeys(GROUPS, 0)
    known: dict[tuple[int, int], int] = {}
    anchor: tuple[int, int] | None = None
    apps: set[tuple[int, int]] = set()
    unseen = _Unseen()
    last_ns = first = 0
    for line, tick in ticks:
        if tick is None:
            anchor = None
            unseen.anew()
            continue
        # what was there at the first tick may have used CPU long before; later ones began between two ticks
        sums = _sums(used, tick["processes"], known if first else None)
        hidden = unseen.after(tick["spent_us"], sum(sums.values()))
        if max(*sums.values(), sums["other_ns"] + hidden) >= MOST:
            malformed.add(line)
            continue
        used, first = sums, 1
        # one pair of clocks per sampler: a step of the wall clock must not stretch a second
        if anchor is None or tick["monotonic_ns"] < last_ns:
            anchor = tick["realtime_us"], tick["monotonic_ns"]
        last_ns = tick["monotonic_ns"]
        were, apps = (
            apps,
            {(pid, start) for pid, start, unit, _ in tick["processes"] if group_of(unit) == "app_ns"},
        )
        known |= {(pid, start): cpu_ns for pid, start, _, cpu_ns in tick["processes"]}
        told = used | {"other_ns": used["other_ns"] + hidden}
        row = (anchor[0] + (last_ns - anchor[1]) // 1000 - offset, *(told[name] for name in GROUPS), len(apps),
               len(were - apps), *tick["cpu"], *tick["memory"], *tick["disk"])  # fmt: skip
        for name, value in zip(NAMES, row, strict=True):
            columns[name].append(value)
    return columns


def _sums(
    used: dict[str, int],
    processes: Iterable[tuple[int, int, str, int]],
    known: dict[tuple[int, int], int] | None,
) -> dict[str, int]:
    """What was used by each group after a tick; `known`: what each process had used before it, None at the first tick."""
    sums = dict(used)
    for pid, start, unit, cpu_ns in processes:
        before = cpu_ns if known is None else known.get((pid, start), 0)
        sums[group_of(unit)] += max(0, cpu_ns - before)
    return sums
