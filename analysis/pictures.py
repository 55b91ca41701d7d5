"""Every chart of a report as SVG and PNG."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from analysis import png
from analysis.drawing import Drawn
from loadproof.runfolder import atomic


def write(place: Path, charts: Iterable[Drawn]) -> list[Drawn]:
    """<name>.svg and <name>.png of each, which are given back; what an earlier analysis drew and this one did not is
    removed. PNGs are made while the next chart is drawn."""
    place.mkdir(exist_ok=True)
    with png.beside() as begin:
        made = [(one, begin(one.svg)) for one in charts]
        names = {one.name for one, _ in made}
        for path in (*place.glob("*.svg"), *place.glob("*.png")):
            if path.stem not in names:
                path.unlink()
        for one, picture in made:
            atomic.write_text(place / f"{one.name}.svg", one.svg)
            atomic.write_bytes(place / f"{one.name}.png", picture())
    return [one for one, _ in made]
