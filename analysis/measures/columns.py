"""Columns of Arrow tables as numpy arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadproof.plan.values import TrialPlan
from loadproof.runfolder.formats import FIRST_RESERVED_WORKER, worker_of

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def ints(table: Any, name: str, missing: int = 0) -> Ints:
    """A column of integers; null is `missing`."""
    values: Ints = _filled(table[name], missing).astype(np.int64, copy=False)
    return values


def codes(table: Any, name: str) -> Ints:
    """A column of texts as the index of each row in the labels of its Rows; null is -1."""
    column = table[name]
    if column.num_chunks == 1:
        return _filled(column.chunk(0).indices, -1).astype(np.int64)
    parts = [_filled(chunk.indices, -1) for chunk in column.chunks]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def _filled(column: Any, missing: int) -> NDArray[Any]:
    """Integers, of which one array is not copied where none is null. What makes one array of a chunked one goes the way of
    pandas, which is slow."""
    if hasattr(column, "chunks"):
        column = column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
    if column.null_count:
        column = column.fill_null(missing)
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def ids(table: Any) -> NDArray[np.uint64]:
    """The request ids of a table."""
    values: NDArray[np.uint64] = _filled(table["id"], 0).astype(np.uint64, copy=False)
    return values


def coded(table: Any, name: str) -> tuple[Ints, list[str]]:
    """A column of texts as (index of each row, texts); null is -1."""
    column = table[name].unify_dictionaries().combine_chunks()
    if hasattr(column, "chunks"):  # no chunks at all: an empty table
        return np.zeros(0, np.int64), []
    return column.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(
        np.int64
    ), column.dictionary.to_pylist()


def is_text(table: Any, name: str, text: str) -> Mask:
    """Where a column of texts is `text`."""
    index, labels = coded(table, name)
    wanted = labels.index(text) if text in labels else -1
    mask: Mask = index == wanted
    return mask


def counted(of: NDArray[np.uint64]) -> Mask:
    """Ids that belong to the load: workers 1 to 0xFFEF. 0 is no valid id; from 0xFFF0 on: warm-up, health, probes."""
    workers = worker_of(of)
    mask: Mask = (workers >= 1) & (workers < FIRST_RESERVED_WORKER)
    return mask


def planned(of: NDArray[np.uint64], plan: TrialPlan) -> Mask:
    """Ids that Locust workers of this trial may have given."""
    mask: Mask = np.isin(worker_of(of), [worker for _, worker in plan.workers])
    return mask


def strange(of: NDArray[np.uint64], plan: TrialPlan) -> Mask:
    """Ids that nothing of this trial gave: none at all (whatever of ours is not the load has one), or another worker's."""
    mask: Mask = (worker_of(of) < FIRST_RESERVED_WORKER) & ~planned(of, plan)
    return mask
