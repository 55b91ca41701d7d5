"""Writes the file of a `Rows`: run by run, in bounded memory, whole or not there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pyarrow import compute

from analysis.rows import GROUP, NOTE_KEY, Ids, by_id, ends_of_workers, highest, spans
from loadproof.runfolder import atomic, disk

RUN = 3 << 18  # rows that are sorted together: columns of 8 MB or more would get fresh memory each time
BATCH = 1 << 14  # values of a column that Parquet takes at a time: a tenth faster than its 1024
LEAST = GROUP // 4  # rows of a row group, but for the last one
MOST_TEXTS, MOST_LETTERS = 1 << 17, 8 << 20  # different texts of a column, and their letters in all
MORE_TEXTS = "(more texts)"  # what stands for all others


class Labels:
    """The texts of one column over a whole file, each once, in the order in which they came."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.left_out = 0  # rows whose text found no place any more
        self.array = pa.array([], pa.string())  # the same
        self._letters = 0
        self._more: int | None = None  # the code of MORE_TEXTS, when it is needed

    def coded(self, column: Any) -> Any:
        """The texts of a dictionary array as int32 codes of this list, which grows; null stays null."""
        missing = column.is_null().to_numpy(zero_copy_only=False) if column.null_count else None
        if not len(column.dictionary):
            return pa.array(np.zeros(len(column), np.int32), pa.int32(), mask=missing)
        codes = self._codes_of(column.dictionary)
        if self._more is None and (codes == np.arange(len(codes))).all():
            return column.indices
        indices = column.indices if missing is None else column.indices.fill_null(0)
        made = codes[indices.to_numpy()]
        if self._more is not None:
            more = made == self._more
            self.left_out += int(np.count_nonzero(more if missing is None else more & ~missing))
        return pa.array(made, pa.int32(), mask=missing)

    def _codes_of(self, texts: Any) -> NDArray[np.int32]:
        """The code of each text: those that are new get one while there is room."""
        found = compute.index_in(texts, self.array)
        codes: NDArray[np.int32] = found.fill_null(0).to_numpy().copy()
        if found.null_count:
            for at in np.flatnonzero(found.is_null().to_numpy(zero_copy_only=False)).tolist():
                codes[at] = self._new(texts[at].as_py())
            self.array = pa.array(self.texts, pa.string())
        return codes

    def _new(self, text: str) -> int:
        """The code of a text that has none yet."""
        if self._more is None and (len(self.texts) >= MOST_TEXTS or self._letters + len(text) > MOST_LETTERS):
            self._more, text = len(self.texts), MORE_TEXTS
        if self._more is not None and text != MORE_TEXTS:
            return self._more
        self.texts.append(text)
        self._letters += len(text)
        return len(self.texts) - 1


class Writer:
    """Takes tables of a schema that has an `id`; `close` puts the file in its place. Left without it, nothing is there."""

    def __init__(self, path: Path, schema: Any) -> None:
        self.path, self.schema = path, schema
        self.count = 0
        self._labels = {field.name: Labels() for field in schema if pa.types.is_dictionary(field.type)}
        self._held: list[Any] = []
        self._rows = 0
        self._spans: list[list[tuple[int, int]]] = []
        self._highest: dict[int, int] = {}
        self._temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        # of eleven settings the one that is written and read fastest (10 million rows: 1.7 and 0.7 s of CPU)
        packed = [field.name for field in schema if field.type in (pa.int64(), pa.uint64())]
        with disk.writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            self._parquet = pq.ParquetWriter(
                self._temporary, schema, compression="lz4", use_dictionary=list(self._labels), write_statistics=False,
                column_encoding=dict.fromkeys(packed, "DELTA_BINARY_PACKED"), write_page_checksum=True,
                dictionary_pagesize_limit=64 << 20, write_batch_size=BATCH,
            )  # fmt: skip

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(OSError, ValueError, pa.ArrowException):
            self._parquet.close()
        with suppress(OSError):
            self._temporary.unlink()

    def add(self, table: Any) -> None:
        """More rows, in the order of the raw files."""
        columns = []
        for name in self.schema.names:
            column = table[name]
            if name in self._labels:
                column = pa.chunked_array(
                    [self._labels[name].coded(one) for one in column.chunks], pa.int32()
                )
            columns.append(column)
        self._held.append(pa.Table.from_arrays(columns, names=self.schema.names))
        self.count += table.num_rows
        self._rows += table.num_rows
        while self._rows >= RUN:
            whole = pa.concat_tables(self._held)
            self._held, self._rows = [whole.slice(RUN)], self._rows - RUN
            self._write(whole.slice(0, RUN))

    def left_out(self) -> Mapping[str, int]:
        """By column how many rows have MORE_TEXTS for a text."""
        return {name: one.left_out for name, one in self._labels.items() if one.left_out}

    def close(self, said: Mapping[str, Any]) -> None:
        """Write what is left, and put the file in its place, with `said` beside what is needed to read it."""
        if self._rows:
            self._write(pa.concat_tables(self._held))
        noted = {
            **said,
            "spans": self._spans,
            "labels": {name: one.texts for name, one in self._labels.items()},
            "workers": self._highest,
        }
        self._parquet.add_key_value_metadata({NOTE_KEY.decode(): json.dumps(noted)})
        with disk.writing(self.path):
            self._parquet.close()
            atomic.settle(self._temporary, self.path, lasting=False)

    def _write(self, run: Any) -> None:
        ids = run["id"].to_numpy()
        order = by_id(ids)
        if order is not None:
            run, ids = _in_order(run, pa.array(order)), ids[order]
        for worker, above in highest(ids).items():
            self._highest[worker] = max(above, self._highest.get(worker, 0))
        arrays = {name: one.array for name, one in self._labels.items()}
        for begin, end in groups(ids):
            piece = run.slice(begin, end - begin).combine_chunks()
            columns = [
                pa.DictionaryArray.from_arrays(piece[name].chunk(0), arrays[name])
                if name in arrays
                else piece[name]
                for name in self.schema.names
            ]
            with disk.writing(self.path):
                self._parquet.write_table(
                    pa.Table.from_arrays(columns, schema=self.schema), row_group_size=GROUP
                )
            self._spans.append(spans(ids[begin:end]))


def _in_order(run: Any, order: Any) -> Any:
    """The rows of a table in another order; a column that is the same everywhere has it already."""
    columns = [
        column if _is_constant(column) else compute.take(column, order, boundscheck=False)
        for column in run.columns
    ]
    return pa.Table.from_arrays(columns, names=run.column_names)


def _is_constant(column: Any) -> bool:
    if not len(column) or column.null_count == len(column):
        return True
    if column.null_count or column[0] != column[-1]:
        return False
    ends = compute.min_max(column)
    return bool(ends["min"] == ends["max"])


def groups(ids: Ids) -> list[tuple[int, int]]:
    """Where sorted ids are cut into row groups, [begin, end): between two workers where that leaves enough rows in each,
    for what is asked is one worker's; and nowhere more than GROUP."""
    found: list[tuple[int, int]] = []
    begin = 0
    for end in [*ends_of_workers(ids).tolist(), len(ids)]:
        if end - begin >= LEAST or (end == len(ids) > begin):
            size = -(-(end - begin) // -(-(end - begin) // GROUP))
            found += [(at, min(at + size, end)) for at in range(begin, end, size)]
            begin = end
    return found
