"""Every chart of a report as SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from analysis import drawing
from analysis.drawing import Drawn
from loadproof.runfolder import atomic


def write(place: Path, drawn: Sequence[Drawn]) -> None:
    """<name>.svg and <name>.png of each; what an earlier analysis drew and this one did not is removed."""
    place.mkdir(exist_ok=True)
    names = {one.name for one in drawn}
    for path in (*place.glob("*.svg"), *place.glob("*.png")):
        if path.stem not in names:
            path.unlink()
    for one in drawn:
        atomic.write_text(place / f"{one.name}.svg", one.svg)
        atomic.write_bytes(place / f"{one.name}.png", drawing.png(one.svg))
