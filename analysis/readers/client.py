"""requests-<worker>.rows and names-<worker>.json of every load host: one row per request, user event and second."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.readers import lines, rowfile, wholeness
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Outcome
from analysis.readers.sealed import Seal, Seals
from analysis.readers.wholeness import Evidence
from loadproof.plan.values import TrialPlan
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
    evidence: Evidence


def read(paths: TrialPaths, plan: TrialPlan, clocks: Clocks, seals: Seals) -> Outcome:
    """Requests of all planned workers; `extra` has "users", "workers" and "whole". Present: numbers, as text, of the
    workers whose rows have no hole; whole: those of them whose last row is here too."""
    parts: list[Part] = []
    present: list[str] = []
    whole: list[str] = []
    notes: list[str] = []
    for host, worker in plan.workers:
        path = paths.raw(host) / f"requests-{worker}.rows"
        if not path.exists():
            notes.append(f"{host}: {path.name} is missing; figures of all clients are unknown without it")
            continue
        part = _part(path, host, worker, clocks.of(host), plan.load.end_s, seals.of(host))
        if len(plan.loads) > 1 and host not in clocks.placed:
            part.evidence.say_hole(f"{host}: its clock is not known against those of the other load hosts")
        part.evidence.conclude(f"{host}: {path.name}")
        notes.extend(part.evidence.notes)
        if part.requests is None:
            continue
        parts.append(part)
        if not part.evidence.hole:
            present.append(str(worker))
            if not part.evidence.tail:
                whole.append(str(worker))
    extra = {
        "users": _joined((part.users for part in parts), USERS),
        "workers": _joined((part.workers for part in parts), WORKERS),
        "whole": tuple(whole),
    }
    return Outcome(_joined((part.requests for part in parts), REQUESTS), tuple(present), tuple(notes), extra)


def _joined(tables: Iterable[Any], schema: Any) -> Any:
    found = list(tables)
    return pa.concat_tables(found).unify_dictionaries().combine_chunks() if found else schema.empty_table()


def _part(path: Path, host: str, worker: int, offset: int, end_s: float, seal: Seal) -> Part:
    label = f"{host}: {path.name}"
    file = rowfile.read(path, formats.CLIENT_ROW, formats.CLIENT_MAGIC, label)
    found = Evidence(list(file.notes))
    if file.rows is None:
        found.say_hole()
        return Part(None, None, None, found)
    wholeness.seal(found, path, seal)
    wholeness.header(found, file, worker, label)
    names, said = _names(path.with_name(f"names-{worker}.json"), host)
    rows = wholeness.good(found, file, end_s, label)
    requests = rows[rows["kind"] == formats.KIND_REQUEST]
    if said and requests["name"].any():
        found.notes.append(said)
    events = rows[(rows["kind"] == formats.KIND_USER_STARTED) | (rows["kind"] == formats.KIND_USER_STOPPED)]
    wholeness.numbers(found, requests, events, worker, label)
    wholeness.totals(found, path.with_name(f"totals-{worker}.json"), requests, events, host)
    seconds = rows[rows["kind"] == formats.KIND_SECOND].view(formats.SECOND_ROW)
    tables = (
        _requests(requests, host, worker, offset, names),
        _users(events, host, worker, offset),
        _seconds(seconds, host, worker, offset),
    )
    return Part(*tables, found)


def _names(path: Path, host: str) -> tuple[list[str], str]:
    """Names by index, and a sentence when the side file cannot be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8", errors="backslashreplace"))
        if isinstance(found, list):
            return [lines.spelled(str(name)) for name in found], ""
        return [], f"{host}: {path.name} is no list; names of requests are unknown"
    except (OSError, ValueError, RecursionError):
        return [], f"{host}: {path.name} cannot be read; names of requests are unknown"


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
