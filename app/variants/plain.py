"""No data: the handler answers with what it was asked."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

router = APIRouter()


def read_item(item_id: int, q: str | None = None) -> dict[str, Any]:
    """The id and the question, as they came."""
    return {"item_id": item_id, "q": q}


router.add_api_route("/items/{item_id}", read_item)
