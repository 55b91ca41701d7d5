"""app-<pid>-<ns>.rows of every app host: one row per request that an app read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.readers import rowfile
from analysis.readers.client import TEXT, coded, constant
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Outcome
from loadproof.runfolder import formats
from loadproof.runfolder.paths import TrialPaths

SCHEMA = pa.schema(
    [
        ("host", TEXT), ("pid", pa.uint32()), ("id", pa.uint64()), ("worker", pa.uint16()),
        ("connection", pa.uint32()), ("peer_port", pa.uint16()), ("status", pa.uint16()), ("handed", pa.bool_()),
        ("lost", pa.bool_()), ("exception", TEXT), ("accepted_us", pa.int64()), ("read_us", pa.int64()),
        ("handed_us", pa.int64()), ("lost_us", pa.int64()),
    ]
)  # fmt: skip


def read(paths: TrialPaths, apps: Sequence[str], clocks: Clocks) -> Outcome:
    """Rows of all app hosts of the arm; a restarted or reopened app has several files. Present: hosts."""
    tables: list[Any] = []
    present: list[str] = []
    notes: list[str] = []
    for host in apps:
        files = sorted(paths.raw(host).glob("app-*.rows"))
        good = 0
        for path in files:
            file = rowfile.read(path, formats.APP_ROW, formats.APP_MAGIC, f"{host}: {path.name}")
            notes.extend(file.notes)
            if file.rows is not None:
                good += 1
                tables.append(_table(file.rows, host, file.pid, clocks.of(host)))
        # one file of several that cannot be read is evidence that is missing, not evidence of nothing
        if good and good == len(files):
            present.append(host)
        else:
            why = (
                "has no app rows"
                if not files
                else f"has app rows that cannot be read ({good} of {len(files)} files can)"
            )
            notes.append(f"{host}: {why}; undelivered and BrokenPipeError are unknown there")
    joined = (
        pa.concat_tables(tables).unify_dictionaries().combine_chunks() if tables else SCHEMA.empty_table()
    )
    return Outcome(joined, tuple(present), tuple(notes))


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
