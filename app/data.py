"""The Parquet file that the variants look items up in. Runs on the control machine: numpy and pyarrow only."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

KINDS = (
    "bolt",
    "bracket",
    "cable",
    "filter",
    "gasket",
    "hinge",
    "lamp",
    "motor",
    "pump",
    "sensor",
    "switch",
    "valve",
)


def items(rows: int, seed: int) -> pa.Table:
    """`rows` items, item_id 0 to rows - 1 in order: the same table for the same seed. Raises ValueError below 1 row."""
    if rows < 1:
        raise ValueError(f"a data file needs at least 1 row, not {rows}")
    random = np.random.Generator(np.random.PCG64(seed))
    kinds = random.integers(0, len(KINDS), rows)
    sizes = random.integers(1, 1000, rows)
    return pa.table(
        {
            "item_id": pa.array(np.arange(rows, dtype=np.int64)),
            "name": pa.array([f"{KINDS[kind]} {size}" for kind, size in zip(kinds, sizes, strict=True)]),
            "price": pa.array(random.integers(100, 1_000_000, rows) / 100),
            "stock": pa.array(random.integers(0, 5000, rows).astype(np.int32)),
            "weight_kg": pa.array(np.round(random.lognormal(0.0, 1.0, rows), 3)),
        }
    )


def write(path: str | Path, rows: int, seed: int) -> None:
    """Writes the file, whole or not at all; the same bytes for the same rows, seed and pyarrow version."""
    table = items(rows, seed)
    folder = os.path.dirname(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".items-")
    try:
        with os.fdopen(handle, "wb") as file:
            pq.write_table(table, file, compression="snappy")
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
