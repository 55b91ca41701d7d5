"""What users do: one file each, found by its name, holding one or more LoadUser classes."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any


def names() -> tuple[str, ...]:
    """The scenarios there are, sorted: the file names of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def users(name: str) -> dict[str, Any]:
    """The user classes of a scenario by class name. Raises KeyError for a name that is no file here."""
    if name not in names():
        raise KeyError(f"no scenario named {name}; there are: {', '.join(names())}")
    module = importlib.import_module(f"{__name__}.{name}")
    return {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and value.__module__ == module.__name__
        and not getattr(value, "abstract", True)
    }
