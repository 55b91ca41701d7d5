"""What holds the app's CPU: one file per limiter, found by its name.

A limiter file has `DESCRIPTION` (one sentence), `NEEDS` ((program, package) pairs of the app hosts),
`tolerance_points` (how far achieved CPU may lie from asked, in points of one CPU), `cycle_s` (in what time the app gets
its share once, be it in one burst), `rough_below` (below this percent an app that always has work gets more than was asked,
whatever is set; 0: there is no such percent), `trial_settings(percent, unit)` (the "limiter" object of trial.json),
`problems(percent, cpus)` (sentences, empty: fine), `scale` (what it can be set to when it is calibrated, None: it cannot
be) and `said(setting)` (a setting in the limiter's own words).
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loadproof.errors import BadInput, Problem
from loadproof.plan.allowed import did_you_mean
from loadproof.plan.calibration import Scale


@dataclass(frozen=True)
class Limiter:
    """One limiter, as its file describes it."""

    name: str
    description: str
    needs: tuple[tuple[str, str], ...]
    tolerance_points: float
    cycle_s: float
    rough_below: float
    trial_settings: Callable[[float, str], dict[str, Any]]
    problems: Callable[[float, int], list[str]]
    scale: Scale | None
    said: Callable[[float], str]


def names() -> tuple[str, ...]:
    """Every limiter there is, sorted."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__)))


def load(name: str) -> Limiter:
    """The limiter of that name. Raises BadInput that lists the names and the nearest one."""
    known = names()
    if name not in known:
        hint = did_you_mean(name, known)
        raise BadInput([Problem(f"no limiter {name!r}: there are {', '.join(known)}{hint}", "--limiter")])
    module = importlib.import_module(f"{__name__}.{name}")
    return Limiter(
        name=name,
        description=module.DESCRIPTION,
        needs=module.NEEDS,
        tolerance_points=module.tolerance_points,
        cycle_s=module.cycle_s,
        rough_below=module.rough_below,
        trial_settings=module.trial_settings,
        problems=module.problems,
        scale=module.scale,
        said=module.said,
    )
