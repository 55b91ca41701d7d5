"""The report of an experiment in a browser, with the network blocked: it asks for nothing, says nothing, draws all of its
charts, sorts its tables, zooms with the keyboard, and fits a phone."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from analysis import report
from tests.analysis import blocks
from tests.analysis.test_report import NO_BROWSER, browse, with_script

BLOCKED = "--host-resolver-rules=MAP * ~NOTFOUND"
DRAWN = """const drawn = () => Array.from(document.querySelectorAll("figure[data-chart]")).every((one) => one.querySelector("canvas"));
const tell = (value) => { const into = document.createElement("pre"); into.id = "told"; into.textContent = JSON.stringify(value); document.body.append(into); };
const later = (made) => { const wait = setInterval(async () => { if (!drawn()) return; clearInterval(wait); tell(await made()); }, 50); };
"""


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of 4 blocks, one trial of which was withheld and run again."""
    return report.render(blocks.run(tmp_path_factory.mktemp("alive"), spoiled=("03",)).path)


def told(written: Path, tmp_path: Path, script: str, *words: str) -> Any:
    """What a script found, which a copy of the page may run beside its own; everything else of its policy holds."""
    whole = DRAWN + script
    named = f"script-src 'sha256-{base64.b64encode(hashlib.sha256(whole.encode()).digest()).decode()}'"
    text = written.read_text().replace("script-src", named.replace("'", "&#39;"), 1)
    (tmp_path / "page.html").write_text(with_script(text, whole))
    dom, said = browse((tmp_path / "page.html").as_uri(), BLOCKED, *words)
    found = re.search(r'<pre id="told">(.*?)</pre>', dom, re.DOTALL)
    assert found, said
    assert "CONSOLE" not in said and "Content Security Policy" not in said, said
    return json.loads(html.unescape(found[1]))


@NO_BROWSER
def test_nothing_is_requested_and_every_chart_has_marks(written: Path, tmp_path: Path) -> None:
    script = """later(() => ({
      asked: performance.getEntriesByType("resource").map((one) => one.name).filter((name) => !name.startsWith("data:")),
      pixels: Object.fromEntries(Array.from(document.querySelectorAll("figure[data-chart]"), (one) => {
        const canvas = one.querySelector("canvas"), all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
        return [one.dataset.chart, all.filter((value, at) => at % 4 === 3 && value > 0).length];
      })),
    }));"""
    found = told(written, tmp_path, script)
    assert found["asked"] == []
    names = {path.stem for path in (written.parent / "charts").glob("*.svg")}
    assert {"tps", "mtt", "latency", "trials"} <= names == found["pixels"].keys()
    assert all(count > 1000 for count in found["pixels"].values()), found


@NO_BROWSER
def test_tables_sort_by_their_heads(written: Path, tmp_path: Path) -> None:
    script = """later(() => {
      const table = document.querySelector("table[data-table=trials]");
      const at = (name) => Array.from(table.tHead.rows[0].cells).findIndex((one) => one.textContent === name);
      const column = (name) => Array.from(table.tBodies[0].rows, (row) => row.cells[at(name)].textContent);
      const press = (name) => table.tHead.rows[0].cells[at(name)].querySelector("button").click();
      const steps = [column("TPS")];
      press("TPS"); steps.push(column("TPS"));
      const up = table.tHead.rows[0].cells[at("TPS")].getAttribute("aria-sort");
      press("TPS"); steps.push(column("TPS"));
      const down = table.tHead.rows[0].cells[at("TPS")].getAttribute("aria-sort");
      press("verdict");
      return {steps, up, down, left: table.tHead.rows[0].cells[at("TPS")].getAttribute("aria-sort"), verdicts: column("verdict"),
        sorts: document.querySelectorAll("th[aria-sort] > button").length};
    });"""
    found = told(written, tmp_path, script)
    first, up, down = ([float(text) for text in step] for step in found["steps"])
    assert up == sorted(first) and down == sorted(first, reverse=True) and up != first
    assert (found["up"], found["down"], found["left"]) == ("ascending", "descending", "none")
    assert found["verdicts"] == sorted(found["verdicts"]) and found["sorts"] > 20


@NO_BROWSER
def test_charts_zoom_with_the_keyboard(written: Path, tmp_path: Path) -> None:
    script = """later(async () => {
      const looks = [], rest = () => new Promise((done) => setTimeout(done, 300));
      for (const chart of ["tps", "latency"]) {
        const place = document.querySelector(`figure[data-chart=${chart}] .live`), canvas = () => place.querySelector("canvas").toDataURL();
        const seen = [canvas()];
        for (const key of ["+", "ArrowRight", "0"]) {
          place.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
          await rest();
          seen.push(canvas());
        }
        looks.push({focus: place.tabIndex, said: place.getAttribute("aria-label").length,
          changed: [seen[0] !== seen[1], seen[1] !== seen[2], seen[0] === seen[3]]});
      }
      return looks;
    });"""
    for look in told(written, tmp_path, script):
        assert look["focus"] == 0 and look["said"] > 20 and look["changed"] == [True, True, True], look


@NO_BROWSER
def test_a_phone_needs_no_sideways_scrolling_with_everything_unfolded(written: Path, tmp_path: Path) -> None:
    """In a frame of 390 px, whose page tells how wide it is, and what sticks out."""
    tell = """addEventListener("load", () => {
      document.querySelectorAll("details").forEach((one) => one.open = true);
      setTimeout(() => {
        const out = Array.from(document.querySelectorAll("main > section, header, section > *, header > *"))
          .filter((one) => one.getBoundingClientRect().right > 391).map((one) => one.tagName + "." + one.className);
        parent.postMessage(JSON.stringify([document.documentElement.scrollWidth, out]), "*");
      }, 3000);
    });"""
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", written.read_text())
    (tmp_path / "page.html").write_text(with_script(text, tell))
    frame = tmp_path / "frame.html"
    frame.write_text(
        "<p id=w></p><iframe src=page.html width=390 height=900 style='border:0'></iframe>"
        "<script>onmessage=event=>document.getElementById('w').textContent='told '+event.data</script>"
    )
    dom, _ = browse(frame.as_uri(), BLOCKED)
    found = re.search(r"told (\[.*?\])</p>", dom)
    assert found, dom[:300]
    width, out = json.loads(html.unescape(found[1]))
    assert width <= 390 and out == [], (width, out)


@pytest.mark.parametrize(("name", "title"), [("tps", "TPS"), ("mtt", "MTT, ms")])
def test_bands_leave_the_axis_its_title(name: str, title: str, written: Path) -> None:
    assert f">{title}</text>" in (written.parent / "charts" / f"{name}.svg").read_text()


def test_each_chart_that_zooms_can_be_zoomed_by_name(written: Path) -> None:
    """What the page's script sets: one signal zoom_<field>, and the scale named x."""
    text = written.read_text()
    specs = dict(
        re.findall(r'<script type="application/json" id="spec-([a-z0-9-]+)">(.*?)</script>', text, re.DOTALL)
    )
    assert {"tps", "latency", "servers-1"} <= specs.keys()
    for name, spec in specs.items():
        vega = json.loads(spec)
        signals = [
            one["name"]
            for one in vega["signals"]
            if re.match(r"zoom_(?!x$|y$|tuple|translate_|zoom_|modify$)", one["name"])
        ]
        known = {"latency": "zoom_ms", "tps": "zoom_second", "mtt": "zoom_second", "servers-1": "zoom_second"}
        assert signals == [known[name]] if name in known else len(signals) <= 1, (name, signals)
        assert any(one["name"] == "x" for one in vega["scales"]), name
