"""The report: one safe file, the same figures, every chart."""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import json
import re
import shutil
import subprocess
import tempfile
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from analysis import charts, drawing, page, report, results, series, words
from analysis.charts import _parts as parts
from analysis.series import Series
from loadproof.console import summary
from loadproof.runfolder import shown
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
NO_BROWSER = pytest.mark.skipif(CHROMIUM is None, reason="no browser here: apt-get install chromium")
MOST_BYTES = 3_000_000
EVIL = [
    "</script><img src=x onerror=alert(1)>", "<b>bold</b>", "\"><svg onload=alert(1)>", "{{7*7}}", "\x1b]0;pwn\x07", "\u202edlrow",
    "--><!--<script>", "]]>", "javascript:alert(1)", "&lt;", "' onmouseover='x",
]  # fmt: skip


class Shape(HTMLParser):
    """Elements with their attributes' names, and text, of a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, tuple[str, ...]]] = []
        self.attributes: list[tuple[str, list[tuple[str, str | None]]]] = []
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.policy = ""
        self.links: list[str] = []
        self.text: list[str] = []
        self._in = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.elements.append((tag, tuple(sorted(found))))
        self.attributes.append((tag, attrs))
        self._in = tag if tag in ("script", "style") and "type" not in found else ""
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        self.links += [found[name] or "" for name in ("src", "href", "action", "srcset") if name in found]
        if self._in:
            (self.scripts if tag == "script" else self.styles).append("")

    def handle_data(self, data: str) -> None:
        if self._in:
            into = self.scripts if self._in == "script" else self.styles
            into[-1] += data
        else:
            self.text.append(data)

    def handle_endtag(self, tag: str) -> None:
        self._in = ""


@pytest.fixture(scope="module")
def written(two_arms: RunFolder) -> Path:
    return report.render(two_arms.path)


@pytest.fixture(scope="module")
def shape(written: Path) -> Shape:
    return Shape(written.read_text())


def test_what_the_verdict_comes_from_is_said_first() -> None:
    def check(name: str, verdict: str, withholds: Any) -> dict[str, Any]:
        return {"name": name, "verdict": verdict, "withholds": withholds, "value": 18.0, "limit": 0.25, "unit": "s", "said": "", "remedy": ""}  # fmt: skip

    found = [check("failures", "INVALID", ["p99_ms"]), check("drift", "UNKNOWN", "trial"), check("hosts_up", "INVALID", "trial")]  # fmt: skip
    rows = page.checks([{"label": "one", "checks": found}], held=False)
    assert [row["name"] for row in rows] == ["hosts up", "drift", "failures"]
    assert rows[0]["measured"] == "(18\u202fs, limit 0.25\u202fs)"


@pytest.mark.parametrize(
    ("names", "fit"), [((), 4), (("a", "b"), 4), (("x" * 40,) * 8, 2), (("x" * 200,), 1)]
)
def test_names_of_a_legend_that_fit_beside_each_other(names: tuple[str, ...], fit: int) -> None:
    assert parts.columns(names) == fit


def test_eight_servers_are_told_apart() -> None:
    assert len({tuple(one) for one in parts.DASHES}) == len({*parts.COLOURS}) == 8


def test_one_file_that_needs_nothing_else(written: Path, shape: Shape) -> None:
    assert written.stat().st_size <= MOST_BYTES
    pictures = [link for link in shape.links if not link.startswith("#")]
    assert pictures and all(link.startswith("data:image/svg+xml;base64,") for link in pictures)
    assert {tag for tag, _ in shape.elements}.isdisjoint(
        {"link", "iframe", "object", "embed", "form", "base"}
    )
    assert not [
        tag
        for tag, names in shape.elements
        if "style" in names or any(name.startswith("on") for name in names)
    ]


def test_the_policy_allows_what_is_there_and_nothing_else(shape: Shape) -> None:
    def named(texts: list[str]) -> str:
        return " ".join(
            f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
        )

    rules = dict(rule.strip().split(" ", 1) for rule in shape.policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == named(shape.scripts) and len(shape.scripts) == 3
    assert rules["style-src"] == named(shape.styles) and len(shape.styles) == 1
    assert "unsafe" not in shape.policy and "http" not in shape.policy


def test_the_page_says_what_results_json_says(two_arms: RunFolder, shape: Shape) -> None:
    text = f" {' '.join(part.strip() for part in shape.text)} "
    made = json.loads(two_arms.results.read_text())
    assert "one trial per arm: an anecdote, no interval." in text
    assert "does a second server help?" in text and "0123456789ab" in text and made["run"] in text
    for arm in made["arms"]:
        assert f" {words.number(arm['tps'], 2)} " in text
        mtt = f"{words.NONE} (failures)" if shown.withheld(arm, "mtt_ms") else words.number(arm["mtt_ms"])
        assert f" {mtt} " in text
        for name, count in arm["errors"].items():
            assert name in text and str(count) in text
    assert (
        "no 504 can happen" in text
        and "share one kernel" in text
        and "MTSD" in text
        and "198.18.0.12" in text
    )


def errors_section(page: Path) -> str:
    """The text of the part on errors."""
    part = page.read_text().partition('<h2 id="errors">')[2].partition('<h2 id="servers">')[0]
    return " ".join(text.strip() for text in Shape(part).text)


def cut_tail(copy: RunFolder, trial: int) -> None:
    """The last rows of worker 1, as where it was killed."""
    path = copy.trials[trial].raw("load1") / "requests-1.rows"
    path.write_bytes(path.read_bytes()[:-100])


def test_failures_are_told_also_where_rows_are_missing(copy: RunFolder) -> None:
    """What is known of the window is shown beside what is not known of the whole run."""
    shutil.rmtree(copy.trials[1].path)
    cut_tail(copy, 0)
    text = errors_section(report.render(copy.path))
    (arm,) = json.loads(copy.results.read_text())["arms"]
    assert arm["errors"] and arm["whole_run"]["errors"] is None
    for name, count in arm["errors"].items():
        assert re.search(rf"{name} +{count} +\({words.NONE}\)", text), text
    assert "No request failed" not in text
    said = summary.summary(json.loads(copy.results.read_text()))
    for name, count in arm["errors"].items():
        assert re.search(rf"{name} +{count} +-", said), said


def test_none_failed_is_only_said_where_it_is_known(tmp_path: Path) -> None:
    raw = synthetic.simulate(synthetic.plan(), 2, 0.02, fail=0.0)
    folder = synthetic.write_run(tmp_path, [raw])
    assert "No request failed in any arm." in errors_section(report.render(folder.path))
    (folder.trials[0].raw("load1") / "requests-1.rows").unlink()
    text = errors_section(report.render(folder.path))
    assert "No request failed" not in text and "whether any failed is not known" in text


def test_a_lone_second_is_seen(tmp_path: Path) -> None:
    """By hand: of the bins with an MTT those at 1.5 and 5.5 s stand alone, 7.5 and 8.5 s are a line."""
    folder, _ = synthetic.one_arm(tmp_path)
    drawn = series.series([(one.label, one.judged) for one in results.judge(folder).members])
    lone = drawn.rates[parts.alone(drawn.rates, "mtt_ms")]
    assert lone["second"].tolist() == [1.5, 5.5]
    marks = [
        layer
        for layer in layers(charts.charts()["mtt"].draw(drawn).to_dict())
        if layer["mark"]["type"] == "point"
    ]
    assert [mark["mark"].get("opacity") for mark in marks] == [1, None], (
        "the second one is seen on hover only"
    )
    assert not parts.alone(drawn.rates, "tps").any()


def layers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The innermost layers of a chart."""
    return [deep for one in spec["layer"] for deep in layers(one)] if "layer" in spec else [spec]


def test_lines_of_different_arms_are_no_neighbours() -> None:
    frame = pd.DataFrame(
        [("a", 0.5, 1.0), ("a", 1.5, None), ("b", 0.5, None), ("b", 1.5, 2.0), ("b", 2.5, 2.0)],
        columns=["arm", "second", "tps"],
    )
    assert parts.alone(frame, "tps").tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("evil", ["\x1b[31m", "\x00", "\ufffe", "\u202e", "<b>&\"'"])
def test_charts_of_hostile_names_are_drawn(evil: str, tmp_path: Path) -> None:
    """What draws them ends the whole process at a character that no picture may hold."""
    raw = synthetic.Raw(synthetic.plan())
    if evil != "\x00":  # it names a folder too
        raw.plan = replace(raw.plan, arm=f"servers={evil}")
    raw.names = ["", evil, evil]
    for user in range(9):
        raw.user(raw.plan.workers[user % 3][1], user, 0.0)
    synthetic.by_hand(raw)
    synthetic.quiet_samples(raw, {"app1": 0.05})
    folder = synthetic.write_run(tmp_path, [raw])
    text = html.unescape(report.render(folder.path).read_text())
    assert f"other:{words.visible(evil)}" in text
    pictures = {path.stem: path.read_text() for path in (folder.path / "charts").glob("*.svg")}
    assert {"tps", "mtt", "latency", "errors", "reasons", "servers-1"} <= pictures.keys()
    if evil in raw.plan.arm:
        for name in ("tps", "mtt", "latency"):
            assert words.visible(evil) in html.unescape(pictures[name])


def test_every_chart_is_a_file_too(written: Path, shape: Shape) -> None:
    drawn = [dict(attrs)["data-chart"] for tag, attrs in shape.attributes if tag == "figure"]
    place = written.parent / "charts"
    assert {"tps", "mtt", "latency", "trials"} <= set(drawn)
    assert {path.name for path in place.iterdir()} == {
        f"{name}.{kind}" for name in drawn for kind in ("svg", "png")
    }
    for name in drawn:
        assert (place / f"{name}.svg").read_text().startswith("<svg")
        assert (place / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_every_table_is_a_file_too(written: Path, shape: Shape) -> None:
    tables = [tag for tag, _ in shape.elements if tag == "table"]
    files = {
        path.stem: list(csv.reader(path.read_text().splitlines()))
        for path in (written.parent / "csv").glob("*.csv")
    }
    assert (
        len(files) == len(tables)
        and {"comparison", "figures", "trials", "settings", "errors"} <= files.keys()
    )
    made = json.loads((written.parent / "results.json").read_text())
    rows = {row[0].partition(" ")[0]: row[1:] for row in files["figures"]}
    assert [float(text) for text in rows["TPS"]] == [round(arm["tps"], 2) for arm in made["arms"]]
    assert [float(text) for text in rows["requests"]] == [arm["requests"] for arm in made["arms"]]


def test_what_an_earlier_analysis_left_is_removed(copy: RunFolder) -> None:
    for name in ("charts/old.svg", "charts/old.png", "csv/old.csv"):
        (copy.path / name).parent.mkdir(exist_ok=True)
        (copy.path / name).write_text("old")
    report.render(copy.path)
    assert not list(copy.path.glob("*/old.*"))


def with_ramp(lines: Series) -> Series:
    """With levels of a ramp, and a moment at which nGrinder would have stopped."""
    stops = pd.DataFrame([(lines.arms[0], 12.0, 9, "nGrinder would have stopped")], columns=series.STOPS)
    return replace(lines, levels=ramp_levels(lines.arms), stops=stops)


def ramp_levels(arms: tuple[str, ...]) -> pd.DataFrame:
    """Series.levels of a ramp with a knee."""
    kinds = [
        ("level", 9, 4.0),
        ("level", 18, 8.0),
        ("level", 27, 8.1),
        ("knee", 18.2, 8.0),
        ("interval", 17.0, None),
    ]
    rows = [(arm, kind, at, 19.0, tps, 20.0, 1.0) for arm in arms for kind, at, tps in kinds]
    return pd.DataFrame(rows, columns=series.LEVELS)


@pytest.mark.parametrize("name", list(charts.charts()))
def test_every_chart_is_drawn_and_has_its_words(name: str, two_arms: RunFolder, tmp_path: Path) -> None:
    module = charts.charts()[name]
    judged = results.judge(two_arms)
    drawn = module.draw(with_ramp(report.lines(judged)))
    assert drawn is not None and module.TITLE and module.CAPTION.endswith(".")
    panels = drawn if isinstance(drawn, list) else [("", drawn)]
    assert all(len(json.dumps(chart.to_dict())) > 1000 for _, chart in panels)
    marked = "nGrinder would have stopped" in json.dumps([chart.to_dict() for _, chart in panels])
    assert marked is (name in ("tps", "errors"))
    nothing, _ = synthetic.one_arm(tmp_path)
    shutil.rmtree(nothing.trials[0].raw())
    assert module.draw(report.lines(results.judge(nothing))) is None


def test_series_hold_the_known_bins(tmp_path: Path) -> None:
    """By hand: successes end in seconds 2, 6, 7, 8 and 21; those that began in second 21 were partly cut."""
    folder, _ = synthetic.one_arm(tmp_path)
    found = series.series([(one.label, one.judged) for one in results.judge(folder).members])
    rates = found.rates.set_index("second")
    assert found.width_s == 1 and len(rates) == 22
    assert {second for second, tps in rates["tps"].items() if tps} == {2.5, 6.5, 7.5, 8.5, 21.5}
    assert rates["mtt_ms"].dropna().to_dict() == pytest.approx(
        {1.5: 1000.0, 5.5: 100.0, 7.5: 200.0, 8.5: 300.0}
    )
    assert found.users[["second", "users"]].to_numpy().tolist() == [[0.0, 3], [2.0, 6], [4.0, 9], [22.0, 9]]
    assert found.errors.groupby("error")["per_second"].sum().to_dict() == {
        "http_503": 1,
        "timeout": 1,
        "refused": 1,
        "other:ValueError": 1,
    }
    # nginx's log lacks successes: what it has no line of is not explained by that
    assert found.reasons.groupby("reason")["per_second"].sum().to_dict() == {
        "app/too_late": 1,
        "client/own": 1,
        "unexplained": 2,
    }
    mine = found.servers.set_index("second")
    assert mine["answered"].sum() == 5 and mine["failed"][mine["failed"] > 0].to_dict() == {
        10.5: 1,
        11.5: 1,
        13.5: 1,
    }
    assert found.cpu["percent"].to_numpy() == pytest.approx([5.0] * 22)


def test_a_report_of_nothing_says_so(tmp_path: Path) -> None:
    folder, _ = synthetic.one_arm(tmp_path)
    shutil.rmtree(folder.trials[0].raw())
    folder.run.unlink()
    text = report.render(folder.path).read_text()
    assert "no raw files are here" in text and len(text) < 100_000
    assert "vega" not in text and text.count("<script") == 1


def hostile(base: Path, evil: str, run: str) -> RunFolder:
    """A run whose every free text is evil."""
    raw = synthetic.Raw(synthetic.plan(run=run, because=evil))
    raw.names = ["", evil, evil]
    for user in range(9):
        raw.user(raw.plan.workers[user % 3][1], user, 0.0)
    synthetic.by_hand(raw)
    synthetic.quiet_samples(raw, {"app1": 0.05})
    raw.logged(1 << 48, 7.0, 8.0, uri=evil, peer=evil, method=evil, server=evil)
    folder = synthetic.write_run(base, [raw], note=evil, system=evil, versions=[[evil, evil]])
    log = folder.trials[0].raw("proxy1") / "access.tsv"
    log.write_bytes(log.read_bytes() + evil.encode() + b"\n")
    return folder


def test_hostile_text_adds_no_element(tmp_path: Path) -> None:
    """All of it in a whole report; each alone in the page around the charts, which take long to draw."""

    def around(evil: str, run: str) -> Shape:
        return Shape(report.html(page.context(results.judge(hostile(tmp_path, evil, run))), []))

    def whole(evil: str, run: str) -> Shape:
        return Shape(report.render(hostile(tmp_path, evil, run).path).read_text())

    pages = [(evil, around(evil, f"20261124T0315{index:02d}Z-evil")) for index, evil in enumerate(EVIL)]
    calm_page = around("calm", "20261124T041500Z-calm")
    calm_whole = whole("calm", "20261124T041501Z-calm")
    everything = " ".join(EVIL)
    cases = [(evil, calm_page, found) for evil, found in pages]
    for evil, calm, found in [*cases, (everything, calm_whole, whole(everything, "20261124T041502Z-evil"))]:
        assert found.elements == calm.elements, evil
        assert found.scripts == calm.scripts and found.styles == calm.styles
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069]", "".join(found.text)), evil


def test_visible_spells_what_cannot_be_seen() -> None:
    assert words.visible("a\x1b[31m\u202eb\x00\ud800") == "a\\x1b[31m\\u202eb\\x00\\ud800"
    assert words.visible("größer – 1\u202f000") == "größer – 1\u202f000"


def with_script(text: str, script: str) -> str:
    """A page with one more script at its end; the chart library has a "</body>" in it too."""
    before, end, after = text.rpartition("</body>")
    return f"{before}<script>{script}</script>{end}{after}"


def browse(url: str, *words: str) -> tuple[str, str]:
    """(page after its scripts ran, what the browser said)."""
    with tempfile.TemporaryDirectory() as profile:
        ran = subprocess.run(
            [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}", "--enable-logging=stderr",
             "--virtual-time-budget=10000", "--dump-dom", *words, url],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    return ran.stdout, ran.stderr


@NO_BROWSER
def test_charts_come_alive_under_the_policy(written: Path) -> None:
    dom, said = browse(written.as_uri(), "--host-resolver-rules=MAP * ~NOTFOUND")
    assert (
        dom.count('class="drawn"') == dom.count("<canvas") == 10
    )  # tps, mtt, latency, reasons, errors, cpu, 3 servers, trials
    assert "CONSOLE" not in said and "Content Security Policy" not in said, said


@NO_BROWSER
def test_pointing_at_a_line_shows_its_value(written: Path, tmp_path: Path) -> None:
    """A copy whose policy allows one more script, which points at the first chart."""
    point = """setTimeout(() => {
      const canvas = document.querySelector("figure[data-chart=tps] canvas"), box = canvas.getBoundingClientRect();
      for (const type of ["pointerover", "mouseover", "pointermove", "mousemove"])
        canvas.dispatchEvent(new (type[0] === "p" ? PointerEvent : MouseEvent)(type, {
          clientX: box.left + box.width / 2, clientY: box.top + box.height / 2, bubbles: true}));
    }, 4000)"""
    allowed = (
        f"script-src 'sha256-{base64.b64encode(hashlib.sha256(point.encode()).digest()).decode()}'".replace(
            "'", "&#39;"
        )
    )
    text = with_script(written.read_text().replace("script-src", allowed, 1), point)
    (tmp_path / "page.html").write_text(text)
    dom, said = browse((tmp_path / "page.html").as_uri())
    shown = re.search(r'<div id="tip"[^>]*>(.*?)</div>', dom)
    assert shown and re.search(r"<span>arm</span>servers=\d.*<span>TPS</span>\d+\.\d\d", shown[1]), (
        dom[-400:],
        said,
    )


@NO_BROWSER
def test_a_phone_needs_no_sideways_scrolling(written: Path, tmp_path: Path) -> None:
    """In a frame of 390 px: the copy may run one more script, which tells how wide the page is."""
    tell = "addEventListener('load',()=>setTimeout(()=>parent.postMessage(document.documentElement.scrollWidth,'*'),3000))"
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", written.read_text())
    (tmp_path / "page.html").write_text(with_script(text, tell))
    frame = tmp_path / "frame.html"
    frame.write_text(
        "<p id=w></p><iframe src=page.html width=390 height=900 style='border:0'></iframe>"
        "<script>onmessage=event=>document.getElementById('w').textContent='width '+event.data</script>"
    )
    dom, _ = browse(frame.as_uri())
    found = re.search(r"width (\d+)", dom)
    assert found and int(found[1]) <= 390, dom[:300]


def test_columns_are_the_rows() -> None:
    rows = [
        {"arm": "a", "second": 0.5, "tps": None},
        {"arm": "b", "second": 1.5, "tps": 1 / 3},
        {"arm": "a", "second": 2.5, "tps": 7},
    ]
    uneven, url = {"name": "u", "values": [{"a": 1}, {"b": 2}]}, {"name": "s", "source": "r"}
    made = drawing.columns(
        {"data": [{"name": "r", "values": rows, "format": {}}, uneven, url, {"name": "e", "values": []}]}
    )
    assert made["data"][0] == {
        "name": "r",
        "format": {},
        "columns": {
            "arm": {"texts": ["a", "b"], "at": [0, 1, 0]},
            "second": [0.5, 1.5, 2.5],
            "tps": [None, 0.33333, 7],
        },
    }
    assert made["data"][1:] == [uneven, url, {"name": "e", "values": []}]


def test_a_slim_picture_is_rounded_and_its_words_are_not() -> None:
    svg = '<path aria-label="TPS: 1.2345" d="M1.23456,2L10.5,3.25"/><text transform="translate(1.25,2)">1.2345</text>'
    assert drawing.slim(svg) == svg.replace("1.23456", "1.2").replace("3.25", "3.2").replace("(1.25", "(1.2")


@pytest.mark.parametrize("name", list(charts.charts()))
def test_a_picture_answers_no_pointer(name: str, two_arms: RunFolder) -> None:
    """Nothing of it waits for one; all that is seen without one stays."""
    drawn = charts.charts()[name].draw(with_ramp(report.lines(results.judge(two_arms))))
    for _, chart in drawn if isinstance(drawn, list) else [("", drawn)]:
        spec = chart.to_dict()
        made = drawing.still(spec)
        assert '"param' not in json.dumps({key: value for key, value in made.items() if key != "datasets"})
        marks = [layer["mark"]["type"] for layer in layers(made)]
        assert len(marks) < len(layers(spec)) or name in ("trials", "levels_tps", "levels_mtt")
        assert {"line", "rect"} <= set(marks) or name in ("trials", "latency", "levels_tps", "levels_mtt")


def test_the_library_is_safe_in_a_page() -> None:
    text = report.library()
    assert not re.search(r"</script|<!--", text, re.IGNORECASE) and "\x00" not in text
    assert len(text) < MOST_BYTES - 1_500_000 and drawing.library() is drawing.library()


def test_the_kept_library_is_used_and_never_trusted_when_spoiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []

    def bundle(*_: Any, **__: Any) -> str:
        made.append(1)
        return "const vega = 1;\n"

    monkeypatch.setattr(drawing, "KEPT", tmp_path / "new")
    monkeypatch.setattr(drawing.vl_convert, "javascript_bundle", bundle)
    fresh = drawing.library.__wrapped__
    assert fresh() == fresh() == "const vega = 1;\n" and len(made) == 1
    (path,) = (tmp_path / "new").iterdir()
    whole = path.read_bytes()
    for spoiled in (whole[:-1], whole.replace(b"1;", b"2;"), b"\xff" + whole, b""):
        path.write_bytes(spoiled)
        assert fresh() == "const vega = 1;\n"
    assert len(made) == 5 and path.read_bytes() == whole
    # where nothing can be kept the page is made all the same
    monkeypatch.setattr(drawing, "KEPT", tmp_path / "file" / "below")
    (tmp_path / "file").write_text("")
    assert fresh() == "const vega = 1;\n" and len(made) == 6
