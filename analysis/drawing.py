"""From one chart specification: SVG, PNG and what the page draws, all without a browser or a network."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import altair
import vl_convert
from altair.utils import schemapi

from analysis.charts import charts
from analysis.series import Series
from loadproof.errors import LocalDisk
from loadproof.runfolder import atomic

VEGA_LITE = "6.4"
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
CONFIG: dict[str, Any] = {
    "font": FONT,
    "view": {"stroke": None},
    "axis": {
        "labelFontSize": 11,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "titlePadding": 8,
        "tickSize": 4,
    },
    "legend": {
        "labelFontSize": 12,
        "labelLimit": 400,
        "symbolStrokeWidth": 3,
        "symbolSize": 160,
        "layout": {"top": {"direction": "vertical", "anchor": "start", "margin": 4}},
    },  # fmt: skip
}
PLACES, DIGITS = re.compile(r' (?:d|transform)="[^"]*"'), re.compile(r"(\d\.\d)\d+")
KEPT = Path(__file__).resolve().parent.parent / ".cache"


@dataclass(frozen=True)
class Drawn:
    """One chart: its Vega-Lite spec, and Vega for the page, which needs no eval."""

    name: str
    title: str
    caption: str
    place: str  # the section of the page that it belongs to; "": one of its own
    spec: dict[str, Any]
    vega: dict[str, Any]
    svg: str


def draw(series: Series) -> Iterator[Drawn]:
    """Every chart that has something to show, in the order of the page, one after the other."""
    for name, module in charts().items():
        with _as_they_are():
            chart = module.draw(series)
        several = chart if isinstance(chart, list) else [("", chart)]
        for at, (label, one) in enumerate(several):
            if one is not None:
                yield _one(name, module, label, one, at)


def _one(name: str, module: Any, label: str, chart: Any, at: int) -> Drawn:
    with _as_they_are():
        spec = {**chart.to_dict(validate=False), "config": CONFIG, "background": "white"}
    page = {
        **spec,
        "width": "container",
        "autosize": {"type": "fit-x", "contains": "padding"},
        "background": None,
    }
    vega = mended(vl_convert.vegalite_to_vega(page, vl_version=VEGA_LITE))
    svg = slim(vl_convert.vegalite_to_svg(still(spec), vl_version=VEGA_LITE))
    name, title = (f"{name}-{at + 1}", f"{module.TITLE} {label}") if label else (name, module.TITLE)
    return Drawn(name, title, module.CAPTION, getattr(module, "PLACE", ""), spec, vega, svg)


@contextmanager
def _as_they_are() -> Iterator[None]:
    """Charts of any number of rows: bins are bounded by Series, and many servers and arms have more than Altair's 5000. And
    half of the time would go into looking again whether our own charts are well-formed; tests look."""
    with altair.data_transformers.enable("default", max_rows=None), schemapi.debug_mode(False):
        yield


def still(spec: dict[str, Any]) -> dict[str, Any]:
    """A Vega-Lite spec without what only answers a pointer: selections, and points that show where they are pointed at.
    To draw them for a picture takes most of its time and room."""
    made = {key: value for key, value in spec.items() if key != "params"}
    if "layer" in made:
        made["layer"] = [still(one) for one in made["layer"] if not _waits(one)]
    return made


def _waits(layer: dict[str, Any]) -> bool:
    opacity = layer.get("encoding", {}).get("opacity", {})
    return "param" in opacity.get("condition", {}) and opacity.get("value") == 0


def slim(svg: str) -> str:
    """The same picture without more digits than a tenth of a pixel."""
    return PLACES.sub(lambda found: DIGITS.sub(r"\1", found[0]), svg)


def columns(vega: dict[str, Any]) -> dict[str, Any]:
    """A Vega spec whose rows are columns, texts among them as numbers of a list: a third of its size. The page's script
    makes rows of them again (`rows` in report.js)."""
    return {**vega, "data": [_columns(one) for one in vega.get("data", [])]}


def _columns(data: dict[str, Any]) -> dict[str, Any]:
    rows = data.get("values")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        return data
    names = list(dict.fromkeys(name for row in rows for name in row))
    if not all(name in row for row in rows for name in names):
        return data
    found = {name: _column([row[name] for row in rows]) for name in names}
    return {**{key: value for key, value in data.items() if key != "values"}, "columns": found}


def _column(values: list[Any]) -> Any:
    if all(isinstance(one, str) for one in values):
        texts = list(dict.fromkeys(values))
        return {"texts": texts, "at": [texts.index(one) for one in values]}
    return [float(f"{one:.5g}") if isinstance(one, float) else one for one in values]


def mended(vega: Any) -> Any:
    """A Vega spec whose boxes name what is pointed at. Around each point Vega-Lite lays a cell that stands for it, and
    its text fields look for their value in the cell instead of the point (seen with 6.4): "undefined"."""
    if isinstance(vega, list):
        return [mended(one) for one in vega]
    if not isinstance(vega, dict):
        return vega
    made = {key: mended(value) for key, value in vega.items()}
    signal = made.get("tooltip", {}).get("signal", "") if isinstance(made.get("tooltip"), dict) else ""
    if "datum.datum[" in signal:
        made["tooltip"] = {"signal": re.sub(r"(?<!\.)\bdatum\[", "datum.datum[", signal)}
    return made


@functools.cache
def library() -> str:
    """Vega for the page: one script that needs no network, and with `ast` no eval. To bundle it takes seconds: it is kept
    in KEPT by the versions it is made of, behind its hash."""
    path = KEPT / f"vega-{VEGA_LITE}-{version('vl-convert-python')}.js"
    bundle = _kept(path)
    if bundle is None:
        bundle = vl_convert.javascript_bundle("window.loadproofEmbed = vegaEmbed;", vl_version=VEGA_LITE)
        with suppress(OSError, LocalDisk):  # the page does not need it
            path.parent.mkdir(parents=True, exist_ok=True)
            atomic.write_text(path, f"{_hash(bundle)}\n{bundle}")
    return bundle


def _kept(path: Path) -> str | None:
    """What is in a kept file; None when it is not there, or not whole."""
    try:
        said, _, text = path.read_bytes().decode().partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return text if said == _hash(text) else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
