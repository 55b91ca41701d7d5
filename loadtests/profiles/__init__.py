"""Pure curves of users over time: one file per profile, found by its name, no Locust import."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def names() -> tuple[str, ...]:
    """The profiles there are, sorted: the file names of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.ispkg))


def find(name: str) -> ModuleType:
    """The profile of that name: a module with `table`. Raises KeyError, naming those there are."""
    if name not in names():
        raise KeyError(f"no profile named {name}; there are: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")
