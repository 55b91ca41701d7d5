"""When the requests of an open load are to be sent: one file per way, found by its name, no Locust import.

A file has `times`, the part of one Locust worker in all arrivals. Who plans a load, who drives it and who counts
afterwards what should have happened call the same function with the same values.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from types import ModuleType

BEGIN_S = 1.0  # no request is to be sent before: until then the users who make them are started


@dataclass(frozen=True)
class Share:
    """The part of one Locust worker in an open load: `index` from 0 of `workers`, `rate` of all together per second, from
    `begin_s` to just before `end_s` (seconds since the first user started); `seed` decides what is left to chance."""

    rate: float
    index: int
    workers: int
    end_s: float
    seed: str
    begin_s: float = BEGIN_S


def names() -> tuple[str, ...]:
    """The ways there are, sorted: the file names of this folder."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def find(name: str) -> ModuleType:
    """The way of that name: a module with `times`. Raises KeyError, naming those there are."""
    if name not in names():
        raise KeyError(f"no arrivals named {name}; there are: {', '.join(names())}")
    return importlib.import_module(f"{__name__}.{name}")


def times(name: str, share: Share) -> Iterator[float]:
    """When that worker's requests are to be sent, rising, in seconds since the first user started."""
    found: Iterator[float] = find(name).times(share)
    return found


def seed(of_plan: int, trial: str, worker: int) -> str:
    """What decides the arrivals of one Locust worker in one trial."""
    return f"{of_plan}/{trial}/{worker}/arrivals"
