"""requests-<worker>.rows and names-<worker>.json of every load host: one row per request, user event and second."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.readers import lines, outcome, rowfile, wholeness
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Add, Collected, Outcome
from analysis.readers.sealed import Seal, Seals
from analysis.readers.wholeness import Evidence
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import formats
from loadproof.runfolder.paths import TrialPaths

KINDS = {1: "request", 2: "user_started", 3: "user_stopped", 4: "second"}
HTTP, CUT, OTHER = (formats.ERROR_CLASSES.index(name) for name in ("http", "cut", "other"))
FEW = 1 << 18

TEXT = pa.dictionary(pa.int32(), pa.string())
REQUESTS = outcome.schema(
    {
        "host": TEXT, "worker": pa.uint16(), "id": pa.uint64(), "name": TEXT, "user": pa.uint32(), "kind": TEXT,
        "intended_us": pa.int64(), "start_us": pa.int64(), "first_us": pa.int64(), "end_us": pa.int64(),
        "status": pa.uint16(), "error": TEXT, "bytes": pa.uint32(), "think_us": pa.uint32(), "port": pa.uint16(),
    },
    may_lack=("first_us", "status", "port"),
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
    """What is in one worker's file beside its requests, which were taken."""

    evidence: Evidence
    users: Any = None
    workers: Any = None
    malformed: int = 0
    all: int = 0


def read(paths: TrialPaths, plan: TrialPlan, clocks: Clocks, seals: Seals, add: Add | None = None) -> Outcome:
    """Requests of all planned workers, which `add` takes chunk by chunk (without it they are the outcome's table);
    `extra` has "users", "workers" and "whole". Present: numbers, as text, of the workers whose rows have no hole; whole:
    those of them whose last row is here too."""
    kept = Collected(REQUESTS)
    parts: list[Part] = []
    present: list[str] = []
    whole: list[str] = []
    notes: list[str] = []
    for host, worker in plan.workers:
        path = paths.raw(host) / f"requests-{worker}.rows"
        if not path.exists():
            notes.append(f"{host}: {path.name} is missing; figures of all clients are unknown without it")
            continue
        source = Source(path, host, worker, clocks.of(host), plan.load.end_s)
        part = _part(source, seals.of(host), add or kept.tables.append)
        if len(plan.loads) > 1 and host not in clocks.placed:
            part.evidence.say_hole(f"{host}: its clock is not known against those of the other load hosts")
        part.evidence.conclude(f"{host}: {path.name}")
        notes.extend(part.evidence.notes)
        if part.users is None:
            continue
        parts.append(part)
        if not part.evidence.hole:
            present.append(str(worker))
            if not part.evidence.tail:
                whole.append(str(worker))
    extra = {
        "users": Collected(USERS, [part.users for part in parts]).table(),
        "workers": Collected(WORKERS, [part.workers for part in parts]).table(),
        "whole": tuple(whole),
    }
    return Outcome(
        None if add else kept.table(), tuple(present), tuple(notes), extra,
        sum(part.malformed for part in parts), sum(part.all for part in parts),
    )  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One worker's file, and what has to be known to read it."""

    path: Path
    host: str
    worker: int
    offset: int  # µs
    end_s: float  # planned end of the load


def _part(source: Source, seal: Seal, add: Add) -> Part:
    path, host, worker = source.path, source.host, source.worker
    label = f"{host}: {path.name}"
    file = rowfile.read(path, formats.CLIENT_ROW, formats.CLIENT_MAGIC, label)
    found = Evidence(list(file.notes))
    if not file.readable:
        found.say_hole()
        return Part(found)
    wholeness.seal(found, path, seal)
    wholeness.header(found, file, worker, label)
    names, said = _names(path.with_name(f"names-{worker}.json"), host)
    good, numbers = wholeness.Good(file, source.end_s), wholeness.Numbers(worker, file.count)
    events, seconds = [np.zeros(0, formats.CLIENT_ROW)], [np.zeros(0, formats.CLIENT_ROW)]
    counted, named = 0, False
    for chunk in file.chunks():
        rows = good.of(chunk)
        kind = rows["kind"]
        requests = _only(rows, kind == formats.KIND_REQUEST)
        seconds.append(rows[kind == formats.KIND_SECOND])
        events.append(rows[(kind == formats.KIND_USER_STARTED) | (kind == formats.KIND_USER_STOPPED)])
        numbers.add(requests)
        counted += int(np.count_nonzero(requests["error"] != CUT))
        named = named or bool(requests["name"].any())
        add(_requests(requests, source, names))
    good.conclude(found, label)
    if said and named:
        found.notes.append(said)
    happened = np.concatenate(events)
    numbers.conclude(found, _requests_again(file, source.end_s), happened, label)
    wholeness.totals(found, path.with_name(f"totals-{worker}.json"), counted, happened, host)
    return Part(
        found,
        _users(happened, host, worker, source.offset),
        _seconds(np.concatenate(seconds).view(formats.SECOND_ROW), host, worker, source.offset),
        good.malformed,
        good.all,
    )


def _only(rows: NDArray[Any], mask: NDArray[np.bool_]) -> NDArray[Any]:
    # rows[mask] would copy field by field
    return rows if mask.all() else rows.take(np.flatnonzero(mask))


def _requests_again(file: rowfile.RowFile, end_s: float) -> Iterator[NDArray[Any]]:
    good = wholeness.Good(file, end_s)
    for chunk in file.chunks():
        rows = good.of(chunk)
        yield _only(rows, rows["kind"] == formats.KIND_REQUEST)


def _names(path: Path, host: str) -> tuple[list[str], str]:
    """Names by index, and a sentence when the side file cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="backslashreplace"))
        if isinstance(found, list):
            return [lines.spelled(str(name)) for name in found], ""
        return [], f"{host}: {path.name} is no list; names of requests are unknown"
    except (OSError, ValueError, RecursionError):
        return [], f"{host}: {path.name} cannot be read; names of requests are unknown"


def _requests(rows: NDArray[Any], source: Source, names: list[str]) -> Any:
    host, worker, offset = source.host, source.worker, source.offset

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
        code, more = key & 0xFF, key >> 8
        if code == HTTP:
            return f"http_{more:03d}"
        if code == OTHER:
            return f"other:{_name(names, more)}"
        return formats.ERROR_CLASSES[code] if code < len(formats.ERROR_CLASSES) else f"other:class {code}"

    return coded(error | detail.astype(np.int64) << 8, text)


def _name(names: list[str], index: int) -> str:
    return names[index] if index < len(names) else f"#{index}"


def _worker(worker: int, count: int) -> Any:
    return pa.array(np.full(count, worker, np.uint16), pa.uint16())


def constant(text: str, count: int) -> Any:
    """One text for `count` rows."""
    return pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array([text]))


def coded(keys: NDArray[np.int64], text: Callable[[int], str]) -> Any:
    """Texts of integer keys (none below 0), each distinct key spelled once."""
    if len(keys) and int(keys.max()) < FEW:  # counting is much faster than sorting
        distinct = np.flatnonzero(np.bincount(keys))
        place = np.zeros(int(distinct[-1]) + 1, np.int32)
        place[distinct] = np.arange(len(distinct))
        codes = place[keys]
    else:
        distinct, inverse = np.unique(keys, return_inverse=True)
        codes = inverse.astype(np.int32)
    labels = pa.array([text(int(key)) for key in distinct], pa.string())
    return pa.DictionaryArray.from_arrays(pa.array(codes), labels)
