"""A table that may be bigger than memory: Parquet whose row groups are sorted by id, read back by pieces and by ids.

Rows arrive in the order of the raw files. Each run of them is sorted by id (rows of one id keep their order) and
cut into row groups of GROUP rows, and of each group the lowest and highest id of every worker are kept with the file: so
a block of one worker's requests is read without the rest, though every worker's requests lie everywhere in nginx's log.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import compute

from analysis.beside import ahead

GROUP = 1 << 17  # rows of a row group
CACHED = 48 << 20  # bytes of decoded row groups that each thread keeps of a file
NOTE_KEY = b"loadproof"
BITS = 48  # an id is 16 bits worker and 48 bits sequence
MOST_SPANS = 256  # workers of a row group that are told apart: ids may be forged
Ids = NDArray[np.uint64]
Spans = Sequence[tuple[int, int]]  # of each worker in a row group its lowest and highest id


class Damaged(Exception):
    """A file of rows that cannot be read any more, though it could be opened; raw files can make it again."""


class Rows:
    """Rows of one file, or of a table in memory. Whatever is given as a table has one chunk in each column, and texts as
    codes of the file's one list of them (`labels`). May be used by several threads."""

    def __init__(
        self, schema: Any, counts: Sequence[int], spans: Sequence[Spans], labels: Mapping[str, list[str]],
        highest: Mapping[int, int], read: Callable[[int, list[str]], Any],
    ) -> None:  # fmt: skip
        """`counts` and `spans`: of each row group; `read` gives columns of one."""
        self.schema = schema
        self._counts = counts
        flat = [(index, low, high) for index, group in enumerate(spans) for low, high in group]
        self._of = np.array([index for index, _, _ in flat], np.int64)
        self._low = np.array([low for _, low, _ in flat], np.uint64)
        self._high = np.array([high for _, _, high in flat], np.uint64)
        self._labels = labels
        self._highest = highest
        self._read = read
        self._arrays = {name: pa.array(texts, pa.string()) for name, texts in labels.items()}
        self._local = threading.local()

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(self._counts)

    def labels(self, name: str) -> list[str]:
        """The texts of a column by code."""
        return self._labels[name]

    def workers(self) -> Mapping[int, int]:
        """By worker number (of any id that is here, the load's or not) its highest sequence number + 1."""
        return self._highest

    def pieces(self, columns: Sequence[str]) -> Iterator[Any]:
        """All rows in the order of the file, at most GROUP at a time."""
        yield from ahead(partial(self._group, index, list(columns)) for index in range(len(self._counts)))

    def of(self, worker: int, low: int, high: int, columns: Sequence[str]) -> Any:
        """The rows of a worker's requests low <= sequence < high. Rows of one id are in the order of the raw files."""
        found = []
        if low < high:
            first, last = np.uint64((worker << BITS) + low), np.uint64((worker << BITS) + high - 1)
            for index in np.unique(self._of[(self._low <= last) & (self._high >= first)]).tolist():
                group = self._group(index, _with_id(columns))
                begin = int(np.searchsorted(_ids(group), first, "left"))
                end = int(np.searchsorted(_ids(group), last, "right"))
                if end > begin:
                    found.append(group.select(list(columns)).slice(begin, end - begin))
        return _joined(found, self.empty(columns))

    def others(self, workers: Mapping[int, int], columns: Sequence[str]) -> Iterator[Any]:
        """The rows whose id is of none of these workers, or whose sequence number is not below the worker's: ids that no
        row of a client can have."""
        limits = np.zeros(1 << 16, np.uint64)
        limits[list(workers)] = list(workers.values())
        mask, bits = np.uint64((1 << BITS) - 1), np.uint64(BITS)
        inside = (self._low >> bits == self._high >> bits) & (self._high & mask < limits[self._high >> bits])
        for index in np.unique(self._of[~inside]).tolist():
            ids = _ids(self._group(index, ["id"]))
            strange = (ids & mask) >= limits[ids >> bits]
            if strange.any():
                group = self._group(index, list(columns)).filter(pa.array(strange))
                yield _joined([group], self.empty(columns))

    def table(self) -> Any:
        """All rows in memory: for small files, and for tests."""
        return self._whole

    @cached_property
    def _whole(self) -> Any:
        return _joined(list(self.pieces(self.schema.names)), self.empty(self.schema.names))

    def empty(self, columns: Sequence[str]) -> Any:
        """No rows of these columns."""
        return self._coded(pa.schema([self.schema.field(name) for name in columns]).empty_table())

    def _group(self, index: int, columns: list[str]) -> Any:
        """One row group; the ones that were asked for last are at hand."""
        if not hasattr(self._local, "groups"):
            self._local.groups = _Latest()
        latest: _Latest = self._local.groups
        return latest.get((index, tuple(columns)), lambda: self._coded(self._read(index, columns)))

    def _coded(self, table: Any) -> Any:
        """The same table with one chunk per column, and codes of the whole file's texts."""
        columns = []
        for name in table.column_names:
            column = table[name]
            column = column.chunk(0) if column.num_chunks == 1 else _one_chunk(column)
            if name in self._labels:
                column = _recoded(column, self._arrays[name])
            columns.append(column)
        return pa.Table.from_arrays(columns, names=table.column_names)


class _Latest:
    """Tables by key: those that were asked for last, as many as CACHED bytes hold."""

    def __init__(self) -> None:
        self._tables: OrderedDict[Any, tuple[Any, int]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        """The table of a key, made when it is not here."""
        if key in self._tables:
            self._tables.move_to_end(key)
        else:
            table = make()
            size = table.nbytes  # dear: of every buffer that is shared by columns or slices
            while self._tables and self._bytes + size > CACHED:
                self._bytes -= self._tables.popitem(last=False)[1][1]
            self._tables[key] = table, size
            self._bytes += size
        return self._tables[key][0]


def _one_chunk(column: Any) -> Any:
    """A chunked array as one array."""
    if not column.num_chunks:
        return pa.array([], column.type)
    whole = column.unify_dictionaries() if pa.types.is_dictionary(column.type) else column
    return pa.concat_arrays(whole.chunks)


def _recoded(column: Any, labels: Any) -> Any:
    """A dictionary array in codes of `labels`. A row group holds the beginning of that list, so that its codes are good
    as they are; unless Parquet found it too long, and made another one."""
    own = column.dictionary
    if own.equals(labels[: len(own)]):
        return pa.DictionaryArray.from_arrays(column.indices, labels)
    codes = compute.index_in(own, labels).cast(pa.int32())
    return pa.DictionaryArray.from_arrays(codes.take(column.indices), labels)


def _with_id(columns: Sequence[str]) -> list[str]:
    return list(columns) if "id" in columns else [*columns, "id"]


def _ids(table: Any) -> Ids:
    ids: Ids = table["id"].to_numpy()
    return ids


def _joined(found: Sequence[Any], empty: Any) -> Any:
    """Tables of the same labels as one, with one chunk per column."""
    if not found:
        return empty
    if len(found) == 1 and all(column.num_chunks == 1 for column in found[0].columns):
        return found[0]
    whole = pa.concat_tables(found)
    return pa.Table.from_arrays([_one_chunk(column) for column in whole.columns], names=whole.column_names)


def held(table: Any) -> Rows:
    """Rows of a table in memory."""
    order = by_id(_ids(table))
    table = table if order is None else table.take(pa.array(order))
    table = pa.Table.from_arrays([_one_chunk(column) for column in table.columns], schema=table.schema)
    texts = [name for name in table.column_names if pa.types.is_dictionary(table.schema.field(name).type)]
    labels = {name: table[name].chunk(0).dictionary.to_pylist() for name in texts}
    ids = _ids(table)
    groups = [ids[at : at + GROUP] for at in range(0, len(ids), GROUP)]

    def read(index: int, columns: list[str]) -> Any:
        return table.select(columns).slice(index * GROUP, GROUP)

    return Rows(
        table.schema, [len(one) for one in groups], [spans(one) for one in groups], labels, highest(ids), read
    )


def opened(path: Path) -> tuple[Rows, dict[str, Any]]:
    """Rows of a file that `Writer` made, and what was said when it was closed. Raises OSError, ValueError, KeyError,
    TypeError or ArrowException for what is no such file."""
    with pq.ParquetFile(path) as file:
        metadata, schema = file.metadata, file.schema_arrow.remove_metadata()
    # no number of it has a fraction: one that has was damaged
    said = json.loads(metadata.metadata[NOTE_KEY], parse_float=int, parse_constant=int)
    counts = [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)]
    found = [[(int(low), int(high)) for low, high in group] for group in said["spans"]]
    if len(found) != len(counts):
        raise ValueError("its row groups are not those that it says")
    handles = threading.local()

    def read(index: int, columns: list[str]) -> Any:
        try:
            if not hasattr(handles, "file"):
                handles.file = pq.ParquetFile(path, metadata=metadata, page_checksum_verification=True)
            return handles.file.read_row_group(index, columns, use_threads=False)
        except (OSError, ValueError, pa.ArrowException) as error:
            raise Damaged(f"{path}: {error}") from error

    labels = {name: [str(text) for text in texts] for name, texts in said["labels"].items()}
    highest = {int(worker): int(sequence) for worker, sequence in said["workers"].items()}
    return Rows(schema, counts, found, labels, highest, read), said


def by_id(ids: Ids) -> NDArray[np.int64] | None:
    """The order that sorts ids, rows of one id as they came; None when they are sorted."""
    if bool((ids[1:] >= ids[:-1]).all()):
        return None
    first = np.argsort((ids >> np.uint64(BITS)).astype(np.uint16), kind="stable")
    grouped = ids[first]
    ends = ends_of_workers(grouped)
    begins = np.append(0, ends[:-1])
    low = np.minimum.reduceat(grouped, begins)
    sizes = np.maximum.reduceat(grouped, begins) - low + np.uint64(1)
    room = int(sizes.astype(np.float64).sum())
    # nearly every id that a worker gave since its lowest is here: each has its own place
    if room <= 2 * len(ids):
        place = np.full(room, -1, np.int64)
        place[(grouped - np.repeat(low + sizes - np.cumsum(sizes), ends - begins)).astype(np.int64)] = first
        found: NDArray[np.int64] = place[place >= 0]
        if len(found) == len(ids):  # none came twice
            return found
    return first[np.argsort(grouped, kind="stable")]


def ends_of_workers(ids: Ids) -> NDArray[np.int64]:
    """Of ids that are sorted, or at least worker by worker, where the rows of each worker end."""
    if not len(ids):
        return np.zeros(0, np.int64)
    workers = (ids >> np.uint64(BITS)).astype(np.uint16)
    return np.append(np.flatnonzero(workers[1:] != workers[:-1]) + 1, len(ids))


def highest(ids: Ids) -> dict[int, int]:
    """Of sorted ids the highest sequence number + 1 of each worker."""
    last = ids[ends_of_workers(ids) - 1].tolist()
    return {one >> BITS: (one & ((1 << BITS) - 1)) + 1 for one in last}


def spans(ids: Ids) -> list[tuple[int, int]]:
    """Of sorted ids the lowest and the highest of each worker; of all together when there are too many workers."""
    ends = ends_of_workers(ids)
    begins = np.append(0, ends[:-1])
    if len(ends) > MOST_SPANS:
        begins, ends = begins[:1], ends[-1:]
    return list(zip(ids[begins].tolist(), ids[ends - 1].tolist(), strict=True))
