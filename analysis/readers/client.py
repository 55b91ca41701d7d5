"""requests-<worker>.rows and names-<worker>.json of every load host: one row per request, user event and second."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.readers import rowfile
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Outcome, plural
from loadproof.runfolder import formats
from loadproof.runfolder.paths import TrialPaths

KINDS = {1: "request", 2: "user_started", 3: "user_stopped", 4: "second"}
HTTP, OTHER = formats.ERROR_CLASSES.index("http"), formats.ERROR_CLASSES.index("other")

TEXT = pa.dictionary(pa.int32(), pa.string())
REQUESTS = pa.schema(
    [
        ("host", TEXT), ("worker", pa.uint16()), ("id", pa.uint64()), ("name", TEXT), ("user", pa.uint32()),
        ("kind", TEXT), ("intended_us", pa.int64()), ("start_us", pa.int64()), ("first_us", pa.int64()),
        ("end_us", pa.int64()), ("status", pa.uint16()), ("error", TEXT), ("bytes", pa.uint32()),
        ("think_us", pa.uint32()), ("port", pa.uint16()),
    ]
)  # fmt: skip
USERS = pa.schema(
    [("host", TEXT), ("worker", pa.uint16()), ("user", pa.uint32()), ("kind", TEXT), ("at_us", pa.int64())]
)
WORKERS = pa.schema(
    [
        ("host", TEXT), ("worker", pa.uint16()), ("at_us", pa.int64()), ("users", pa.uint32()),
        ("lag_max_us", pa.int64()), ("lag_p99_us", pa.int64()), ("cpu_ns", pa.int64()),
    ]
)  # fmt: skip


@dataclass(frozen=True)
class Part:
    """The rows of one worker's file."""

    requests: Any
    users: Any
    workers: Any
    notes: tuple[str, ...]


def read(paths: TrialPaths, workers: Sequence[tuple[str, int]], clocks: Clocks) -> Outcome:
    """Requests of all planned workers; `extra` has "users" and "workers". Present: worker numbers, as text."""
    parts: list[Part] = []
    present: list[str] = []
    notes: list[str] = []
    for host, worker in workers:
        path = paths.raw(host) / f"requests-{worker}.rows"
        if not path.exists():
            notes.append(f"{host}: {path.name} is missing; figures of all clients are unknown without it")
            continue
        part = _part(path, host, worker, clocks.of(host))
        notes.extend(part.notes)
        if part.requests is not None:
            parts.append(part)
            present.append(str(worker))
    extra = {
        "users": _joined((part.users for part in parts), USERS),
        "workers": _joined((part.workers for part in parts), WORKERS),
    }
    return Outcome(_joined((part.requests for part in parts), REQUESTS), tuple(present), tuple(notes), extra)


def _joined(tables: Iterable[Any], schema: Any) -> Any:
    found = list(tables)
    return pa.concat_tables(found).unify_dictionaries().combine_chunks() if found else schema.empty_table()


def _part(path: Path, host: str, worker: int, offset: int) -> Part:
    label = f"{host}: {path.name}"
    file = rowfile.read(path, formats.CLIENT_ROW, formats.CLIENT_MAGIC, label)
    notes = list(file.notes)
    if file.rows is None:
        return Part(None, None, None, tuple(notes))
    if file.worker != worker:
        notes.append(f"{label}: its header names worker {file.worker}")
    names, said = _names(path.with_name(f"names-{worker}.json"), host)
    rows = file.rows
    strange = int(np.count_nonzero((rows["kind"] < 1) | (rows["kind"] > 4)))
    if strange:
        notes.append(f"{label}: {plural(strange, 'row')} of no known kind")
    requests = rows[rows["kind"] == formats.KIND_REQUEST]
    if said and requests["name"].any():
        notes.append(said)
    notes.extend(_gaps(requests["id"], worker, label))
    notes.extend(_totals(path.with_name(f"totals-{worker}.json"), requests, host))
    events = rows[(rows["kind"] == formats.KIND_USER_STARTED) | (rows["kind"] == formats.KIND_USER_STOPPED)]
    seconds = rows[rows["kind"] == formats.KIND_SECOND].view(formats.SECOND_ROW)
    tables = (
        _requests(requests, host, worker, offset, names),
        _users(events, host, worker, offset),
        _seconds(seconds, host, worker, offset),
    )
    return Part(*tables, tuple(notes))


def _names(path: Path, host: str) -> tuple[list[str], str]:
    """Names by index, and a sentence when the side file cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="backslashreplace"))
        if isinstance(found, list):
            return [str(name) for name in found], ""
        return [], f"{host}: {path.name} is no list; names of requests are unknown"
    except (OSError, ValueError, RecursionError):
        return [], f"{host}: {path.name} cannot be read; names of requests are unknown"


def _gaps(ids: NDArray[np.uint64], worker: int, label: str) -> list[str]:
    """A worker numbers its requests from 0: each number that is not there is a lost row."""
    mine = ids[formats.worker_of(ids) == worker]
    notes = []
    if len(mine) != len(ids):
        notes.append(f"{label}: {plural(len(ids) - len(mine), 'row')} with another worker's id")
    if len(mine):
        distinct = np.unique(mine)
        missing = int(distinct[-1] & np.uint64((1 << 48) - 1)) + 1 - len(distinct)
        if missing:
            notes.append(f"{label}: {plural(missing, 'number')} missing in the sequence of requests")
        if len(distinct) != len(mine):
            notes.append(f"{label}: {plural(len(mine) - len(distinct), 'id')} written twice")
    return notes


def _totals(path: Path, requests: NDArray[Any], host: str) -> list[str]:
    """Locust's own count must be the rows without the cut ones."""
    try:
        counted = json.loads(path.read_text(encoding="utf-8"))["requests"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return [f"{host}: {path.name} cannot be read; Locust's own count is unknown"]
    rows = int(np.count_nonzero(requests["error"] != formats.ERROR_CLASSES.index("cut")))
    return (
        []
        if counted == rows
        else [f"{host}: {path.name}: Locust counted {counted} requests, its rows are {rows}"]
    )


def _requests(rows: NDArray[Any], host: str, worker: int, offset: int, names: list[str]) -> Any:
    def moved(name: str) -> Any:
        return pa.array(rows[name] - offset, pa.int64())

    zero_first, no_status, no_port = rows["first_us"] == 0, rows["status"] == 0, rows["port"] == 0
    columns = [
        constant(host, len(rows)), _worker(worker, len(rows)), pa.array(rows["id"], pa.uint64()),
        coded(rows["name"].astype(np.int64), lambda index: _name(names, index)),
        pa.array(rows["user"], pa.uint32()), constant("request", len(rows)), moved("intended_us"), moved("start_us"),
        pa.array(rows["first_us"] - offset, pa.int64(), mask=zero_first), moved("end_us"),
        pa.array(rows["status"], pa.uint16(), mask=no_status), _errors(rows, names),
        pa.array(rows["bytes"], pa.uint32()), pa.array(rows["think_us"], pa.uint32()),
        pa.array(rows["port"], pa.uint16(), mask=no_port),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=REQUESTS)


def _users(rows: NDArray[Any], host: str, worker: int, offset: int) -> Any:
    columns = [
        constant(host, len(rows)), _worker(worker, len(rows)), pa.array(rows["user"], pa.uint32()),
        coded(rows["kind"].astype(np.int64), lambda kind: KINDS[kind]), pa.array(rows["start_us"] - offset, pa.int64()),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=USERS)


def _seconds(rows: NDArray[Any], host: str, worker: int, offset: int) -> Any:
    columns = [
        constant(host, len(rows)), _worker(worker, len(rows)), pa.array(rows["start_us"] - offset, pa.int64()),
        pa.array(rows["users"], pa.uint32()), *(pa.array(rows[name], pa.int64()) for name in ("lag_max_us", "lag_p99_us", "cpu_ns")),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=WORKERS)


def _errors(rows: NDArray[Any], names: list[str]) -> Any:
    """Error classes as text: http_503, other:ValueError, "" for none."""
    error = rows["error"].astype(np.int64)
    detail = np.where(error == HTTP, rows["status"], np.where(error == OTHER, rows["error_name"], 0))

    def text(key: int) -> str:
        code, more = key >> 32, key & 0xFFFFFFFF
        if code == HTTP:
            return f"http_{more:03d}"
        if code == OTHER:
            return f"other:{_name(names, more)}"
        return formats.ERROR_CLASSES[code] if code < len(formats.ERROR_CLASSES) else f"other:class {code}"

    return coded((error << 32) | detail.astype(np.int64), text)


def _name(names: list[str], index: int) -> str:
    return names[index] if index < len(names) else f"#{index}"


def _worker(worker: int, count: int) -> Any:
    return pa.array(np.full(count, worker, np.uint16), pa.uint16())


def constant(text: str, count: int) -> Any:
    """One text for `count` rows."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def coded(keys: NDArray[np.int64], text: Any) -> Any:
    """Texts of integer keys, each distinct key spelled once."""
    distinct, inverse = np.unique(keys, return_inverse=True)
    labels = pa.array([text(int(key)) for key in distinct], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(inverse.astype(np.int32)), labels)
