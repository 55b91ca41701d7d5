"""The FastAPI application of one variant: what all variants share, and the variant's own router."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI

VARIANTS = Path(__file__).parent / "variants"
OWN_ROUTE = "/items/{item_id}"  # the one path that a variant serves itself


class BadSetting(Exception):
    """A setting or a variant that cannot be served; the text is for the person who set it."""


def names() -> list[str]:
    """The variants there are: the files of the folder."""
    return sorted(path.stem for path in VARIANTS.glob("[!_]*.py"))


def load(name: str) -> APIRouter:
    """The router of a variant. Raises BadSetting when there is none, or when its file does not keep the contract."""
    if name not in names():
        raise BadSetting(f"there is no variant {name!r}; there are: {', '.join(names())}")
    # by name through importlib, as `global` cannot stand in an import statement
    try:
        module = importlib.import_module(f"app.variants.{name}")
    except Exception as error:
        raise BadSetting(f"variant {name} cannot be loaded: {type(error).__name__}: {error}") from error
    router = getattr(module, "router", None)
    if not isinstance(router, APIRouter):
        raise BadSetting(f"app/variants/{name}.py holds no `router` (an APIRouter)")
    served = [(getattr(route, "path", ""), sorted(getattr(route, "methods", ()))) for route in router.routes]
    if served != [(OWN_ROUTE, ["GET"])]:
        raise BadSetting(f"app/variants/{name}.py must serve GET {OWN_ROUTE} and nothing else, not {served}")
    return router


def build(variant: str, deploy_id: str, in_flight: Callable[[], int], lost: Callable[[], int]) -> FastAPI:
    """The application. `in_flight` counts requests being answered, `lost` the rows the witness could not write."""

    def read_root() -> dict[str, str]:
        """A greeting."""
        return {"Hello": "World"}

    async def health() -> dict[str, Any]:
        """Which deploy answers, and how busy it is."""
        return {
            "deploy_id": deploy_id,
            "variant": variant,
            "pid": os.getpid(),
            "in_flight": in_flight(),
            "witness_lost": lost(),
        }

    app = FastAPI(title="loadproof app", description=f"Variant {variant}", version=deploy_id)
    app.add_api_route("/", read_root)
    app.add_api_route("/healthz", health)
    app.include_router(load(variant))
    return app
