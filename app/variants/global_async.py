"""Reads the Parquet file once at import; looks rows up on the event loop (async def)."""

from __future__ import annotations

from typing import Any

import pandas
from fastapi import APIRouter

from app.items import data_path, find

router = APIRouter()
ITEMS = pandas.read_parquet(data_path())


async def read_item(item_id: int, q: str | None = None) -> dict[str, Any]:
    """The item's row of the Parquet file."""
    return find(ITEMS, item_id, q)


router.add_api_route("/items/{item_id}", read_item)
