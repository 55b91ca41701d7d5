"""app-<pid>-<ns>.rows of every app host: one row per request that an app read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.readers import lines, rowfile
from analysis.readers.client import TEXT, coded, constant
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Outcome, plural
from analysis.readers.sealed import Seal, Seals
from loadproof.runfolder import formats
from loadproof.runfolder.paths import TrialPaths

STOPPED = b"witness stopped:"  # what app/rows.py says when it has no room for rows any more
SCHEMA = pa.schema(
    [
        ("host", TEXT), ("pid", pa.uint32()), ("id", pa.uint64()), ("worker", pa.uint16()),
        ("connection", pa.uint32()), ("peer_port", pa.uint16()), ("status", pa.uint16()), ("handed", pa.bool_()),
        ("lost", pa.bool_()), ("exception", TEXT), ("accepted_us", pa.int64()), ("read_us", pa.int64()),
        ("handed_us", pa.int64()), ("lost_us", pa.int64()),
    ]
)  # fmt: skip


def read(paths: TrialPaths, apps: Sequence[str], clocks: Clocks, seals: Seals) -> Outcome:
    """Rows of all app hosts of the arm; a restarted or reopened app has several files. Present: hosts whose rows are
    all here, as far as can be seen from them, from what was sealed, and from what the app said itself."""
    tables: list[Any] = []
    present: list[str] = []
    notes: list[str] = []
    for host in apps:
        found, why = _host(paths.raw(host), host, seals.of(host), clocks.of(host), notes)
        tables += found
        if why:
            notes.append(f"{host}: {why}; undelivered and BrokenPipeError are unknown there")
        else:
            present.append(host)
    joined = (
        pa.concat_tables(tables).unify_dictionaries().combine_chunks() if tables else SCHEMA.empty_table()
    )
    return Outcome(joined, tuple(present), tuple(notes))


def _host(folder: Path, host: str, seal: Seal, offset: int, notes: list[str]) -> tuple[list[Any], str]:
    """The rows of one host, and why they are not all of them, or ""."""
    tables: list[Any] = []
    files = sorted(folder.glob("app-*.rows"))
    lost = 0
    for path in files:
        file = rowfile.read(path, formats.APP_ROW, formats.APP_MAGIC, f"{host}: {path.name}")
        notes.extend(file.notes)
        if file.rows is None:
            continue
        lost += file.cut + _never_written(file.rows)
        tables.append(_table(file.rows, host, file.pid, offset))
    if not files:
        return tables, "has no app rows"
    # one file of several that cannot be read is evidence that is missing, not evidence of nothing
    if len(tables) < len(files):
        return tables, f"has app rows that cannot be read ({len(tables)} of {len(files)} files can)"
    if lost:
        return tables, f"{plural(lost, 'row')} cut, or never written before rows that were"
    if seal.doubts("app-*.rows"):
        return tables, "its app rows are not, or not surely, those that were sealed"
    if said := _stopped(folder / "app.log"):
        return tables, f"the app said that it lost rows ({said})"
    return tables, ""


def _never_written(rows: NDArray[Any]) -> int:
    """Rows of state 0 before one that was written; a file that was not sealed ends in room for rows, and that is no
    loss."""
    written = np.flatnonzero(rows["state"])
    return int(written[-1]) + 1 - len(written) if len(written) else 0


def _stopped(path: Path) -> str:
    """What the app's log says of rows that it could not write, beginning of the first such line; "" for nothing."""
    malformed = lines.Malformed()
    try:
        for piece in lines.pieces(path, malformed):
            at = piece.find(STOPPED)
            if at >= 0:
                return ascii(piece[at : at + lines.SHOWN].split(b"\n")[0].decode("utf-8", "replace"))[1:-1]
    except OSError:
        pass  # a log that was sealed and is missing is in the notes on what was sealed
    return ""


def _table(rows: NDArray[Any], host: str, pid: int, offset: int) -> Any:
    # a file that was not sealed ends in room for rows that were never written: their state is 0
    rows = rows[rows["state"] != 0]
    count = len(rows)

    def time(name: str) -> Any:
        return pa.array(rows[name] - offset, pa.int64(), mask=rows[name] == 0)

    def exception(code: int) -> str:
        return formats.APP_EXCEPTIONS[code] if code < len(formats.APP_EXCEPTIONS) else "other"

    columns = [
        constant(host, count), pa.array(np.full(count, pid, np.uint32)), pa.array(rows["id"], pa.uint64()),
        pa.array(formats.worker_of(rows["id"]), pa.uint16()), pa.array(rows["connection"], pa.uint32()),
        pa.array(rows["peer_port"], pa.uint16()), pa.array(rows["status"], pa.uint16(), mask=rows["status"] == 0),
        pa.array((rows["state"] & formats.APP_STATE_HANDED) != 0), pa.array((rows["state"] & formats.APP_STATE_LOST) != 0),
        coded(rows["exception"].astype(np.int64), exception),
        time("accepted_us"), time("read_us"), time("handed_us"), time("lost_us"),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=SCHEMA)
