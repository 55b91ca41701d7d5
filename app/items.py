"""Looking a row up, the same way in every variant that serves the Parquet data."""

from __future__ import annotations

import os
from typing import Any

from fastapi import HTTPException
from pandas import DataFrame


def data_path() -> str:
    """Path of the Parquet file, from the environment. Raises OSError when there is none that can be read."""
    path = os.environ.get("LOADPROOF_DATA", "")
    if not os.access(path, os.R_OK):
        raise OSError(f"LOADPROOF_DATA: the data file {path!r} cannot be read")
    return path


def find(table: DataFrame, item_id: int, q: str | None) -> dict[str, Any]:
    """The row of `item_id` with the question `q`. Raises HTTPException 404."""
    found = table[table["item_id"] == item_id].to_dict("records")
    if not found:
        raise HTTPException(404, f"no item {item_id}")
    return {**{str(column): value for column, value in found[0].items()}, "q": q}
