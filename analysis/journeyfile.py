"""tables/journeys/<trial>.parquet: one row per request, with what all three witnesses say of it and why it failed.

    client    id, worker, user, name, intended_us, start_us, first_us, end_us, status, error, bytes, think_us, port
    nginx     lines, connection, received_us, done_us, proxy_status, complete, attempts
    app       rows, server, accepted_us, read_us, handed_us, lost_us, app_status, exception
    judged    delivered (a complete answer reached the client), layer, reason

Times are µs since the epoch on the control machine's clock; null is "did not happen", or "no such witness". `attempts` are
the backends that nginx tried, in order. Row groups follow the blocks of ids, so that one request is found by its id.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.attribution import REASONS, UNEXPLAINED, Codes
from analysis.beside import behind
from analysis.journeys import NONE, Block, Texts
from analysis.measures.columns import Ints, Mask
from analysis.readers.client import TEXT
from analysis.readers.outcome import schema
from analysis.readers.proxy import ATTEMPTS, micros, whole_number
from analysis.rows import NOTE_KEY, Damaged
from analysis.rowwriter import BATCH
from loadproof.runfolder import atomic, disk
from loadproof.runfolder.formats import worker_of

FORMAT = 3  # goes up when a column changes its meaning
TIME = pa.int64()
ATTEMPT = pa.struct(
    [("server", TEXT), ("status", pa.int16()), ("connect_us", TIME), ("header_us", TIME), ("response_us", TIME)]
)  # fmt: skip
ATTEMPTED = pa.list_(pa.field("element", ATTEMPT, nullable=False))
COLUMNS = {
    "id": pa.uint64(), "worker": pa.uint16(), "user": pa.uint32(), "name": TEXT, "intended_us": TIME, "start_us": TIME,
    "first_us": TIME, "end_us": TIME, "status": pa.uint16(), "error": TEXT, "bytes": pa.uint32(), "think_us": pa.uint32(),
    "port": pa.uint16(),
    "lines": pa.uint32(), "connection": pa.int64(), "received_us": TIME, "done_us": TIME, "proxy_status": pa.uint16(),
    "complete": pa.bool_(), "attempts": ATTEMPTED,
    "rows": pa.uint32(), "server": TEXT, "accepted_us": TIME, "read_us": TIME, "handed_us": TIME, "lost_us": TIME,
    "app_status": pa.uint16(), "exception": TEXT,
    "delivered": pa.bool_(), "layer": TEXT, "reason": TEXT,
}  # fmt: skip
SCHEMA = schema(COLUMNS, may_lack=COLUMNS.keys() - {"id", "worker", "lines", "attempts", "rows"})
LAYERS = tuple(dict.fromkeys(reason.layer for reason in REASONS))


@contextmanager
def writing(path: Path, texts: Texts, source: str) -> Iterator[Any]:
    """Gives a function that takes blocks with their reasons; the file is whole, or not there. Blocks are written by another
    thread while the next ones are joined and counted: to write one takes as long as to put it into columns and to count it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    said = {NOTE_KEY: json.dumps({"source": source}).encode()}
    with (
        disk.writing(path),
        atomic.replacing(path, lasting=False) as temporary,
        pq.ParquetWriter(
            temporary,  # a name: of a file of Python's each page would wait for Python's lock
            SCHEMA.with_metadata(said),
            compression="lz4",
            use_dictionary=DICTIONARIES,
            column_encoding=dict.fromkeys(PACKED, "DELTA_BINARY_PACKED"),
            write_page_checksum=True,
            write_statistics=["id"],
            write_batch_size=BATCH,
        ) as into,
        behind(into.write_table) as write,
    ):
        yield lambda block, codes: write(_table(block, codes, texts))


DICTIONARIES = ["name", "error", "server", "exception", "layer", "reason", "attempts.list.element.server"]
# times lie close to each other: their differences take a third of the room, and less time
PACKED = [
    *(field.name for field in SCHEMA if field.type in (pa.int64(), pa.uint64())),
    *(f"attempts.list.element.{field.name}" for field in ATTEMPT if field.type == TIME),
]


def source_of(path: Path) -> str:
    """What a file was made of; "" when there is none that can be read."""
    try:
        metadata = pq.read_metadata(path).metadata or {}
        return str(json.loads(metadata[NOTE_KEY])["source"])
    except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
        return ""


def find(path: Path, wanted: Sequence[int]) -> dict[int, dict[str, Any]]:
    """Rows of some requests as plain values, by id; what no witness knows is not among them. Raises Damaged."""
    ids = pa.array(wanted, pa.uint64())
    try:
        found = pq.read_table(path, page_checksum_verification=True, filters=[("id", "in", ids)])
    except (OSError, ValueError, pa.ArrowException) as error:
        raise Damaged(f"{path}: {error}") from error
    return {row["id"]: row for row in found.to_pylist()}


def _table(block: Block, codes: Codes, texts: Texts) -> Any:
    """The rows of a block that any witness knows."""
    known, logged, read = block.client > 0, block.lines > 0, block.rows > 0
    keep = np.flatnonzero(known | logged | read)
    whole = len(keep) == len(block.id)
    some = block if whole else block.take(keep)
    client, line, row = (_There(mask if whole else mask[keep]) for mask in (known, logged, read))
    codes = codes if whole else codes[keep]
    failed = (codes >= 0) & (codes < UNEXPLAINED)
    reasons = np.maximum(np.minimum(codes.astype(np.int64), UNEXPLAINED - 1), 0)
    layer = np.array([LAYERS.index(reason.layer) for reason in REASONS])[reasons]
    columns = {
        "id": pa.array(some.id), "worker": pa.array(worker_of(some.id)), "user": client.of(some.user),
        "name": _text(some.name, texts.names), "intended_us": client.of(some.intended),
        "start_us": client.of(some.start), "first_us": _some(some.first, some.first > 0),
        "end_us": client.of(some.end), "status": _some(some.status, some.status > 0),
        "error": _text(some.error, texts.errors), "bytes": client.of(some.bytes),
        "think_us": client.of(some.think), "port": _some(some.port, some.port > 0),
        "lines": pa.array(some.lines), "connection": line.of(some.connection), "received_us": line.of(some.received),
        "done_us": line.of(some.done), "proxy_status": line.of(some.line_status),
        "complete": line.of(some.complete), "attempts": _attempts(some, texts),
        "rows": pa.array(some.rows), "server": _text(some.host, texts.apps),
        "accepted_us": _some(some.accepted, some.accepted > 0), "read_us": row.of(some.read),
        "handed_us": _some(some.handed, some.handed > 0), "lost_us": _some(some.lost, some.lost > 0),
        "app_status": _some(some.app_status, some.app_status > 0), "exception": _text(some.exception, texts.exceptions),
        "delivered": client.of(texts.full[some.error]),
        "layer": _text(np.where(failed, layer, NONE), LAYERS),
        "reason": _text(np.where(failed, reasons, NONE), [reason.reason for reason in REASONS]),
    }  # fmt: skip
    return pa.table([columns[field.name].cast(field.type, safe=False) for field in SCHEMA], schema=SCHEMA)


class _There:
    """Where a witness says something: many columns have this one mask."""

    def __init__(self, there: Mask) -> None:
        self._missing = len(there) - int(np.count_nonzero(there))
        self._bits = pa.array(there).buffers()[1] if self._missing else None

    def of(self, values: NDArray[Any]) -> Any:
        """A column of these values, null elsewhere."""
        plain = pa.array(values)
        return pa.Array.from_buffers(plain.type, len(plain), [self._bits, plain.buffers()[1]], self._missing)


def _some(values: Ints, there: Mask) -> Any:
    return _There(there).of(values)


def _text(index: Ints, labels: Sequence[str]) -> Any:
    codes = pa.array(index.astype(np.int32), mask=index < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(list(labels), pa.string()), safe=False)


def _attempts(some: Block, texts: Texts) -> Any:
    """One list per row: empty where nginx turned to no backend."""
    tried = [[one for one in ATTEMPTS.split(text) if one not in ("", "-")] for text in texts.upstreams]
    counts = np.array([*(len(one) for one in tried), 0])[some.tried]
    ends = np.cumsum(counts)
    picked = np.flatnonzero(counts)
    values = np.full((4, int(counts.sum())), -1, np.int64)  # status, then times in µs
    for into, seen in zip(
        values, (some.backend_status, some.connect, some.header, some.response), strict=True
    ):
        into[ends[picked] - 1] = seen[picked]
    for at in np.flatnonzero(counts > 1).tolist():
        begin, end = int(ends[at] - counts[at]), int(ends[at])
        for part, code in enumerate(some.tries[at].tolist()):
            listed = texts.each(part, code, whole_number if part == 0 else micros)[: end - begin]
            values[part, begin : begin + len(listed)] = listed
    flat = [address for one in tried for address in one]
    begins = np.concatenate(([0], np.cumsum([len(one) for one in tried], dtype=np.int64)))[some.tried[picked]]
    within = np.arange(values.shape[1]) - np.repeat(ends[picked] - counts[picked], counts[picked])
    servers = (
        pa.array(flat, pa.string())
        .dictionary_encode()
        .take(pa.array(np.repeat(begins, counts[picked]) + within))
    )
    status = pa.array(values[0].astype(np.int16), mask=values[0] <= 0)
    struct = pa.StructArray.from_arrays(
        [servers, status, *(pa.array(one, mask=one < 0) for one in values[1:])], fields=list(ATTEMPT)
    )
    return pa.ListArray.from_arrays(
        pa.array(np.concatenate(([0], ends)).astype(np.int32)), struct, type=ATTEMPTED
    )
