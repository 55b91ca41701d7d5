"""Reads the Parquet file in each request, in the thread pool (plain def)."""

from __future__ import annotations

from typing import Any

import pandas
from fastapi import APIRouter

from app.items import data_path, find

router = APIRouter()
PATH = data_path()


def read_item(item_id: int, q: str | None = None) -> dict[str, Any]:
    """The item's row of the Parquet file."""
    return find(pandas.read_parquet(PATH), item_id, q)


router.add_api_route("/items/{item_id}", read_item)
