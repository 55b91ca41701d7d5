"""One chart per file, found by its name. A chart module has

TITLE, CAPTION   what a person reads above and below it
ORDER            its turn on the page
PLACE            where it is missing, the chart has a section of its own; else the section that it belongs to
draw(series)     an Altair chart of a Series, or several with what each is of, or None where there is nothing to draw
"""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any, Protocol

from analysis.series import Series


class ChartModule(Protocol):
    """What a file of this folder holds."""

    TITLE: str
    CAPTION: str
    ORDER: int

    def draw(self, series: Series) -> Any:
        """The chart, a list of (label, chart), or None."""


def charts() -> dict[str, Any]:
    """Every chart module by its name, in the order of the page."""
    names = [module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_")]
    found = {name: importlib.import_module(f"{__name__}.{name}") for name in names}
    return dict(sorted(found.items(), key=lambda pair: (pair[1].ORDER, pair[0])))
