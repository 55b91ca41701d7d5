"""Raw files of a trial to typed Parquet tables: tables/<kind>/<trial>.parquet, made once and whole, or not there.

    requests  one row per client request      users    users started and stopped
    workers   one row per Locust worker and second
    proxy     one row per line of nginx       app      one row per request that an app read
    cpu       one row per host and sample

Requests, proxy and app may be bigger than memory: they are `Rows`; the others are Arrow tables.
All `*_us` are µs since the epoch on the control machine's clock: host time minus the host's offset (readers/clock.py).
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.measures.scan import NOWHERE, Scan, scan
from analysis.readers import app, client, proxy, samples, sealed
from analysis.readers.clock import Clocks, clocks
from analysis.readers.outcome import Add, Outcome, plural
from analysis.rows import NOTE_KEY, Rows, held, opened
from analysis.rowwriter import MORE_TEXTS, Writer
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import atomic
from loadproof.runfolder.formats import MANIFEST
from loadproof.runfolder.paths import TrialPaths

FORMAT = 7  # goes up when a column changes its meaning, or what is a row
APART_S = (
    3600.0  # an app begins its file so long before the load at most: it is started, waited for and warmed up
)
KINDS = ("requests", "users", "workers", "proxy", "app", "cpu")
STREAMED = ("requests", "proxy", "app")
SCHEMAS = {
    "requests": client.REQUESTS, "users": client.USERS, "workers": client.WORKERS, "proxy": proxy.SCHEMA,
    "app": app.SCHEMA, "cpu": samples.SCHEMA,
}  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """The tables of one trial, whose evidence is in them, and what is incomplete, in words."""

    requests: Rows
    users: Any
    workers: Any
    proxy: Rows
    app: Rows
    cpu: Any
    # "requests": numbers of the workers whose rows have no hole, "workers": those whose last row is here too; "proxy",
    # "app", "cpu": hosts
    present: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    # by kind of STREAMED how many rows or lines of the raw files could not be used, of how many
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    ends: Scan = NOWHERE  # where the requests end


def hosts_of(plan: TrialPlan) -> tuple[str, ...]:
    """Every host of a trial that writes raw files, once."""
    return tuple(dict.fromkeys((*plan.loads, plan.proxy, *plan.apps, *plan.watch)))


def tables(paths: TrialPaths, plan: TrialPlan, where: Callable[[str], Path], rebuild: bool = False) -> Tables:
    """The tables of a trial; `where(kind)` is the file of each. They are read when they were made of the raw files that
    are here now (same folder, names, sizes, times, hashes and offsets), else made again; an unreadable one is never trusted."""
    hosts = hosts_of(plan)
    if not paths.hosts:  # tables of an earlier analysis are left alone: they cannot be made again
        said = "no raw files are here: the trial was not fetched, or never ran"
        return replace(_gathered({kind: Part(_empty(kind)) for kind in KINDS}), notes=(said,))
    clock = clocks(paths, hosts)
    source = _source(paths, clock)
    found = None if rebuild else _read(where, source)
    if found is None:
        found = _make(paths, plan, clock, where, source)
    notes = (*sealed.notes(sealed.read(paths, plan, hosts)), *clock.notes, *found.notes)
    return Tables(
        **{kind: getattr(found, kind) for kind in KINDS},
        present=found.present,
        notes=tuple(dict.fromkeys(notes)),
        counts=found.counts,
        ends=found.ends,
    )


def _source(paths: TrialPaths, clock: Clocks) -> str:
    """What the tables are made of, as a hash; it differs when they have to be made again."""
    files = []
    for host in paths.hosts:
        for item in sorted(paths.raw(host).iterdir()):
            if item.is_file():
                seen = item.stat()
                files.append((f"{host}/{item.name}", seen.st_size, seen.st_mtime_ns))
                if item.name == MANIFEST:  # it holds the hash of every other file
                    files.append((hashlib.sha256(item.read_bytes()).hexdigest(), 0, 0))
    made = [FORMAT, str(paths.path.resolve()), files, sorted(clock.offsets.items()), sorted(clock.placed)]
    return hashlib.sha256(json.dumps(made).encode()).hexdigest()


@dataclass(frozen=True)
class Part:
    """A table with what was said of it when it was made."""

    table: Any
    present: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    counts: tuple[int, int] = (0, 0)


def _empty(kind: str) -> Any:
    nothing = SCHEMAS[kind].empty_table()
    return held(nothing) if kind in STREAMED else nothing


def _make(
    paths: TrialPaths, plan: TrialPlan, clock: Clocks, where: Callable[[str], Path], source: str
) -> Tables:
    """Makes all tables. Their readers wait for files, Parquet and Arrow most of the time: they run beside each other."""
    seals = sealed.read(paths, plan, hosts_of(plan))
    readers: dict[str, Callable[[Add], Outcome]] = {
        "proxy": lambda add: proxy.read(paths, plan.proxy, clock, seals, add),
        "requests": lambda add: client.read(paths, plan, clock, seals, add),
        "app": lambda add: app.read(paths, plan.apps, clock, seals, add, plan.load.end_s + APART_S),
    }
    stop = threading.Event()
    with ThreadPoolExecutor(len(readers) + 1) as threads:
        try:
            started = {
                kind: threads.submit(_stream, kind, where(kind), source, read, stop)
                for kind, read in readers.items()
            }
            ends = threads.submit(lambda: scan(started["requests"].result()[0].table))
            cpu = samples.read(paths, hosts_of(plan), clock)
            parts = {kind: made.result() for kind, made in started.items()}
        except BaseException:  # Ctrl-C, or a full disk: the other readers need not go to their end
            stop.set()
            raise
    clients = parts["requests"][1]
    outcomes = {
        "users": Outcome(clients.extra["users"], clients.present),
        "workers": Outcome(clients.extra["workers"], clients.extra["whole"]),
        "cpu": cpu,
    }
    for kind, outcome in outcomes.items():
        write(where(kind), outcome.table, _said(source, outcome))
    small = {kind: Part(one.table, one.present, one.notes) for kind, one in outcomes.items()}
    return _gathered({**small, **{kind: part for kind, (part, _) in parts.items()}}, ends.result())


def _stream(
    kind: str, path: Path, source: str, read: Callable[[Add], Outcome], stop: threading.Event
) -> tuple[Part, Outcome]:
    """Raw files to a file of rows, without ever holding more than a run of them."""
    with Writer(path, SCHEMAS[kind]) as writer:

        def add(table: Any) -> None:
            if stop.is_set():
                raise InterruptedError(f"{path}: given up, with another table")
            writer.add(table)

        outcome = read(add)
        outcome = replace(outcome, notes=(*outcome.notes, *_left_out(kind, writer)))
        writer.close(_said(source, outcome))
    table, _ = opened(path)
    return Part(table, outcome.present, outcome.notes, (outcome.malformed, outcome.all)), outcome


def _left_out(kind: str, writer: Writer) -> tuple[str, ...]:
    return tuple(
        f"{kind}: more different texts than a table keeps in {name!r}: {plural(count, 'row')} have {MORE_TEXTS!r} there"
        for name, count in writer.left_out().items()
    )


def _said(source: str, outcome: Outcome) -> dict[str, Any]:
    counts = (outcome.malformed, outcome.all)
    return {"source": source, "present": outcome.present, "notes": outcome.notes, "counts": counts}


def _read(where: Callable[[str], Path], source: str) -> Tables | None:
    found = {}
    for kind in KINDS:
        try:
            if kind in STREAMED:
                table, said = opened(where(kind))
            else:
                table = pq.read_table(where(kind), memory_map=False, page_checksum_verification=True)
                said = json.loads(table.schema.metadata[NOTE_KEY])
            # a table that another version of us made may have other columns
            if said["source"] != source or not table.schema.equals(SCHEMAS[kind]):
                return None
            malformed, count = said["counts"]
            found[kind] = Part(
                table, tuple(said["present"]), tuple(said["notes"]), (int(malformed), int(count))
            )
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return None  # missing, cut, or somebody else's: made again from raw
    return _gathered(found, scan(found["requests"].table))


def _gathered(parts: Mapping[str, Part], ends: Scan = NOWHERE) -> Tables:
    notes = tuple(note for kind in KINDS for note in parts[kind].notes)
    present = {kind: tuple(parts[kind].present) for kind in KINDS}
    counts = {kind: parts[kind].counts for kind in STREAMED}
    tables = {kind: parts[kind].table for kind in KINDS}
    return Tables(**tables, present=present, notes=notes, counts=counts, ends=ends)


def write(path: Path, table: Any, said: Mapping[str, Any]) -> None:
    """A Parquet file, whole or not there: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noted = table.replace_schema_metadata({NOTE_KEY: json.dumps(said).encode()})
    with atomic.whole(path) as file:
        pq.write_table(noted, file, compression="zstd", write_page_checksum=True)
