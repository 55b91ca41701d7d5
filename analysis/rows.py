"""A table of rows that carry request ids, read by pieces and by stretches of ids."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadproof.runfolder.formats import SEQUENCE, worker_of


class Rows:
    """Rows in the order of their file. `labels` are the texts of a column of texts; codes of all pieces mean them."""

    def __init__(self, table: Any) -> None:
        self._table = table.unify_dictionaries().combine_chunks()
        ids: NDArray[np.uint64] = self._table["id"].fill_null(0).to_numpy().astype(np.uint64)
        self._worker, self._sequence = worker_of(ids), ids & SEQUENCE

    @property
    def count(self) -> int:
        """How many rows."""
        return int(self._table.num_rows)

    @property
    def schema(self) -> Any:
        """The columns."""
        return self._table.schema

    def table(self) -> Any:
        """All rows in memory."""
        return self._table

    def labels(self, name: str) -> list[str]:
        """The texts of a column of texts, by code."""
        column = self._table[name]
        return list(column.chunk(0).dictionary.to_pylist()) if column.num_chunks else []

    def empty(self, columns: Sequence[str]) -> Any:
        """No rows of these columns."""
        return self._table.slice(0, 0).select(list(columns))

    def pieces(self, columns: Sequence[str]) -> Iterator[Any]:
        """All rows, some at a time."""
        if self.count:
            yield self._table.select(list(columns))

    def of(self, worker: int, low: int, high: int, columns: Sequence[str]) -> Any:
        """The rows of a worker whose number is in [low, high)."""
        mine = (self._worker == worker) & (self._sequence >= low) & (self._sequence < high)
        return self._table.select(list(columns)).take(np.flatnonzero(mine))

    def others(self, workers: Mapping[int, int], columns: Sequence[str]) -> Iterator[Any]:
        """The rows of no worker in `workers`, and those from its number on."""
        top = np.zeros(1 << 16, np.uint64)
        for worker, number in workers.items():
            top[worker] = number
        mine = self._sequence >= top[self._worker]
        if mine.any():
            yield self._table.select(list(columns)).take(np.flatnonzero(mine))

    def workers(self) -> Mapping[int, int]:
        """For each worker its highest number and one more."""
        found = np.unique(self._worker)
        return {int(one): int(self._sequence[self._worker == one].max()) + 1 for one in found}
