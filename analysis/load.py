"""Raw files of a trial to typed Parquet tables: tables/<kind>/<trial>.parquet, made once and whole, or not there.

    requests  one row per client request      users    users started and stopped
    workers   one row per Locust worker and second
    proxy     one row per line of nginx       app      one row per request that an app read
    cpu       one row per host and sample

All `*_us` are µs since the epoch on the control machine's clock: host time minus the host's offset (readers/clock.py).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis.readers import app, client, proxy, samples, sealed
from analysis.readers.clock import Clocks, clocks
from analysis.readers.outcome import Outcome
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import atomic
from loadproof.runfolder.formats import MANIFEST
from loadproof.runfolder.paths import TrialPaths

FORMAT = 3  # goes up when a column changes its meaning
KINDS = ("requests", "users", "workers", "proxy", "app", "cpu")
NOTE_KEY = b"loadproof"
SCHEMAS = {
    "requests": client.REQUESTS, "users": client.USERS, "workers": client.WORKERS, "proxy": proxy.SCHEMA,
    "app": app.SCHEMA, "cpu": samples.SCHEMA,
}  # fmt: skip


@dataclass(frozen=True)
class Tables:
    """The tables of one trial, whose evidence is in them, and what is incomplete, in words."""

    requests: Any
    users: Any
    workers: Any
    proxy: Any
    app: Any
    cpu: Any
    # "requests": numbers of the workers whose rows have no hole, "workers": those whose last row is here too; "proxy",
    # "app", "cpu": hosts
    present: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]


def hosts_of(plan: TrialPlan) -> tuple[str, ...]:
    """Every host of a trial that writes raw files, once."""
    return tuple(dict.fromkeys((*plan.loads, plan.proxy, *plan.apps, *plan.watch)))


def tables(paths: TrialPaths, plan: TrialPlan, where: Callable[[str], Path], rebuild: bool = False) -> Tables:
    """The tables of a trial; `where(kind)` is the file of each. They are read when they were made of the raw files that
    are here now (same folder, names, sizes, times, hashes and offsets), else made again; an unreadable one is never trusted."""
    hosts = hosts_of(plan)
    if not paths.hosts:  # tables of an earlier analysis are left alone: they cannot be made again
        nothing = {kind: (schema.empty_table(), (), ()) for kind, schema in SCHEMAS.items()}
        said = "no raw files are here: the trial was not fetched, or never ran"
        return replace(_gathered(nothing), notes=(said,))
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


def _make(
    paths: TrialPaths, plan: TrialPlan, clock: Clocks, where: Callable[[str], Path], source: str
) -> Tables:
    seals = sealed.read(paths, plan, hosts_of(plan))
    clients = client.read(paths, plan, clock, seals)
    outcomes = {
        "requests": clients,
        "users": Outcome(clients.extra["users"], clients.present),
        "workers": Outcome(clients.extra["workers"], clients.extra["whole"]),
        "proxy": proxy.read(paths, plan.proxy, clock, seals),
        "app": app.read(paths, plan.apps, clock, seals),
        "cpu": samples.read(paths, hosts_of(plan), clock),
    }
    for kind, outcome in outcomes.items():
        said = {"source": source, "present": outcome.present, "notes": outcome.notes}
        write(where(kind), outcome.table, said)
    return _gathered({kind: (one.table, one.present, one.notes) for kind, one in outcomes.items()})


def _read(where: Callable[[str], Path], source: str) -> Tables | None:
    found = {}
    for kind in KINDS:
        try:
            table = pq.read_table(where(kind), memory_map=False)
            said = json.loads(table.schema.metadata[NOTE_KEY])
            # a table that another version of us made may have other columns
            if said["source"] != source or not table.schema.equals(SCHEMAS[kind]):
                return None
            found[kind] = (table, tuple(said["present"]), tuple(said["notes"]))
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return None  # missing, cut, or somebody else's: made again from raw
    return _gathered(found)


def _gathered(parts: Mapping[str, tuple[Any, tuple[str, ...], tuple[str, ...]]]) -> Tables:
    notes = tuple(note for _, _, said in parts.values() for note in said)
    present = {kind: tuple(one[1]) for kind, one in parts.items()}
    return Tables(**{kind: one[0] for kind, one in parts.items()}, present=present, notes=notes)


def write(path: Path, table: Any, said: Mapping[str, Any]) -> None:
    """A Parquet file, whole or not there: temporary name, fsync, rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    noted = table.replace_schema_metadata({NOTE_KEY: json.dumps(said).encode()})
    try:
        with temporary.open("wb") as file:
            pq.write_table(noted, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        os.rename(temporary, path)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    atomic.sync_folder(path.parent)
