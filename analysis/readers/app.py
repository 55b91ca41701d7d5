"""app-<pid>-<ns>.rows of every app host: one row per request that an app read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from analysis.readers import lines, outcome, rowfile
from analysis.readers.client import TEXT, coded, constant
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Add, Collected, Outcome, plural
from analysis.readers.sealed import Seal, Seals
from loadproof.runfolder import formats
from loadproof.runfolder.paths import TrialPaths

TIMES = ("accepted_us", "read_us", "handed_us", "lost_us")
STATES = formats.APP_STATE_READ | formats.APP_STATE_HANDED | formats.APP_STATE_LOST
LONGEST_S = 86_400.0
STOPPED = b"witness stopped:"  # what app/rows.py says when it has no room for rows any more
SCHEMA = outcome.schema(
    {
        "host": TEXT, "pid": pa.uint32(), "id": pa.uint64(), "worker": pa.uint16(), "connection": pa.uint32(),
        "peer_port": pa.uint16(), "status": pa.uint16(), "handed": pa.bool_(), "lost": pa.bool_(), "exception": TEXT,
        "accepted_us": pa.int64(), "read_us": pa.int64(), "handed_us": pa.int64(), "lost_us": pa.int64(),
    },
    may_lack=("status", "accepted_us", "handed_us", "lost_us"),
)  # fmt: skip


def read(
    paths: TrialPaths, apps: Sequence[str], clocks: Clocks, seals: Seals, add: Add | None = None,
    longest_s: float = LONGEST_S,
) -> Outcome:  # fmt: skip
    """Rows of all app hosts of the arm, which `add` takes chunk by chunk (without it they are the outcome's table); a
    restarted or reopened app has several files, and none has times so much before or after its beginning. Present: hosts whose rows are all here, as far as can be seen from them,
    from what was sealed, and from what the app said itself."""
    kept = Collected(SCHEMA)
    present: list[str] = []
    notes: list[str] = []
    malformed = count = 0
    for host in apps:
        seen = _Host(host, clocks.of(host), round(longest_s * 1e6), add or kept.tables.append)
        if why := _host(paths.raw(host), seen, seals.of(host)):
            notes += (*seen.notes, f"{host}: {why}; undelivered and BrokenPipeError are unknown there")
        else:
            notes += seen.notes
            present.append(host)
        malformed += seen.lost + seen.untrue.count
        count += seen.lost + seen.written
    return Outcome(
        None if add else kept.table(), tuple(present), tuple(notes), malformed=malformed, all=count
    )


@dataclass
class _Host:
    """What was found in the files of one host; `lost`: rows that were cut, or never written before rows that were;
    `untrue`: those with times or a state that cannot be."""

    host: str
    offset: int
    longest_us: int
    add: Add
    notes: list[str] = field(default_factory=list)
    readable: int = 0
    lost: int = 0
    written: int = 0
    untrue: lines.Malformed = field(default_factory=lines.Malformed)


def _host(folder: Path, seen: _Host, seal: Seal) -> str:
    """Reads the rows of one host; gives why they are not all of them, or ""."""
    files = sorted(folder.glob("app-*.rows"))
    for path in files:
        file = rowfile.read(path, formats.APP_ROW, formats.APP_MAGIC, f"{seen.host}: {path.name}")
        seen.notes += file.notes
        if not file.readable:
            continue
        seen.readable += 1
        rows = rowfile.Unwritten()
        for chunk in file.chunks():
            written = chunk["state"] != 0
            rows.add(written)
            # a file that was not sealed ends in room for rows that were never written: their state is 0
            seen.add(
                _table(
                    _true(chunk if written.all() else chunk[written], file, seen),
                    seen.host,
                    file.pid,
                    seen.offset,
                )
            )
        seen.lost += file.cut + rows.lost
        seen.written += rows.written
    if not files:
        return "has no app rows"
    # one file of several that cannot be read is evidence that is missing, not evidence of nothing
    if seen.readable < len(files):
        return f"has app rows that cannot be read ({seen.readable} of {len(files)} files can)"
    if seen.lost:
        return f"{plural(seen.lost, 'row')} cut, or never written before rows that were"
    if seen.untrue.count:
        return f"{plural(seen.untrue.count, 'row')} set aside, with times that cannot be{seen.untrue.shown}"
    if seal.doubts("app-*.rows"):
        return "its app rows are not, or not surely, those that were sealed"
    if said := _stopped(folder / "app.log"):
        return f"the app said that it lost rows ({said})"
    return ""


def _true(rows: NDArray[Any], file: rowfile.RowFile, seen: _Host) -> NDArray[Any]:
    """The rows that can be true; the others are counted. An app writes a time before the bit of `state` that it is for,
    so that a kill leaves no bit without one."""
    state, exception = np.ascontiguousarray(rows["state"]), np.ascontiguousarray(rows["exception"])
    from_us, to_us = file.realtime_us - seen.longest_us, file.realtime_us + seen.longest_us
    true = (state <= STATES) & (exception < len(formats.APP_EXCEPTIONS))
    for name, needed in (
        ("accepted_us", False),
        ("read_us", True),
        ("handed_us", (state & formats.APP_STATE_HANDED) != 0),
        ("lost_us", ((state & formats.APP_STATE_LOST) != 0) | (exception != 0)),
    ):
        at = np.ascontiguousarray(rows[name])
        true &= np.where(at == 0, np.logical_not(needed), (at >= from_us) & (at <= to_us))
    if true.all():
        return rows
    seen.untrue.add_rows(rows[~true])
    kept: NDArray[Any] = rows[true]
    return kept


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
    count = len(rows)

    def time(name: str) -> Any:
        return pa.array(rows[name] - offset, pa.int64(), mask=rows[name] == 0)

    columns = [
        constant(host, count), pa.array(np.full(count, pid, np.uint32)), pa.array(rows["id"], pa.uint64()),
        pa.array(formats.worker_of(rows["id"]), pa.uint16()), pa.array(rows["connection"], pa.uint32()),
        pa.array(rows["peer_port"], pa.uint16()), pa.array(rows["status"], pa.uint16(), mask=rows["status"] == 0),
        pa.array((rows["state"] & formats.APP_STATE_HANDED) != 0), pa.array((rows["state"] & formats.APP_STATE_LOST) != 0),
        coded(rows["exception"].astype(np.int64), lambda code: formats.APP_EXCEPTIONS[code]),
        *map(time, TIMES),
    ]  # fmt: skip
    return pa.Table.from_arrays(columns, schema=SCHEMA)
