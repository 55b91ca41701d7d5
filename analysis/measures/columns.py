"""Columns of Arrow tables as numpy arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.load import Tables
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.formats import FIRST_RESERVED_WORKER, worker_of

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]


def ints(table: Any, name: str) -> Ints:
    """A column of integers; null is 0."""
    values: Ints = table[name].fill_null(0).to_numpy().astype(np.int64)
    return values


def ids(table: Any) -> NDArray[np.uint64]:
    """The request ids of a table."""
    values: NDArray[np.uint64] = table["id"].fill_null(0).to_numpy().astype(np.uint64)
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


@dataclass(frozen=True)
class Clients:
    """The requests of the load as arrays of one length, one element per request."""

    id: NDArray[np.uint64]
    start_us: Ints
    end_us: Ints
    error: Ints  # index in `classes`
    classes: tuple[str, ...]

    @property
    def ok(self) -> Mask:
        """Requests that succeeded: class ""."""
        return self.is_class("")

    @property
    def cut(self) -> Mask:
        """Requests that our own stop cut off: neither completed nor failed."""
        return self.is_class("cut")

    def is_class(self, name: str) -> Mask:
        """Requests of one error class."""
        mask: Mask = self.error == (self.classes.index(name) if name in self.classes else -1)
        return mask

    def inside(self, from_us: int, to_us: int) -> Mask:
        """Requests that ended in [from, to)."""
        mask: Mask = (self.end_us >= from_us) & (self.end_us < to_us)
        return mask


def clients(tables: Tables) -> Clients:
    """The requests of the load."""
    table = tables.requests
    index, labels = coded(table, "error")
    keep = counted(ids(table))
    return Clients(
        ids(table)[keep],
        ints(table, "start_us")[keep],
        ints(table, "end_us")[keep],
        index[keep],
        tuple(labels),
    )
