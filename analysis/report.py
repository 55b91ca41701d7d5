"""report.html: one file that needs no network, made of a run folder and nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from analysis import csvs, curves, drawing, executed, page, pictures, results, thresholds
from analysis.bands import by_arm
from analysis.readers import faults
from analysis.results import Judgement
from analysis.rows import Damaged
from analysis.series import Series, series
from analysis.words import GLOSSARY, visible
from loadproof.errors import BadInput, Problem, RecordUnreadable
from loadproof.runfolder import atomic, record
from loadproof.runfolder.formats import FORMAT
from loadproof.runfolder.paths import RunFolder
from loadproof.runfolder.record import RunRecord

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"


def render(run: Path) -> Path:
    """Writes report.html of a run folder, every chart as SVG and PNG in charts/, and every table in csv/; gives the path
    of the report. Raises RecordUnreadable as results.analyse does."""
    return write(results.judge(RunFolder(Path(run))))


def together(runs: Sequence[Path], into: Path) -> tuple[dict[str, Any], Path]:
    """Several runs side by side: a new run folder below `into` that names its sources; they are not changed. Gives its
    results.json as a value and the path of its report. Raises RecordUnreadable or BadInput before anything is made."""
    sources = tuple(
        dict.fromkeys(one for run in runs for one in results.sources_of(RunFolder(Path(run).resolve())))
    )
    _refuse_twins(sources)
    first = [record.read_run(source) for source in sources][0]
    for source in sources:
        if not source.trials:
            raise RecordUnreadable(
                "it holds no trial", where=f"run {source.id}", kept=str(source.path), next="inv runs"
            )
    folder = RunFolder.create(Path(into).resolve(), "report", datetime.now(UTC), latest=False)
    names = tuple(one.id if one.path.parent == folder.path.parent else str(one.path) for one in sources)
    made = RunRecord(
        folder.id, first.experiment, first.inventory, first.provenance, ("inv", "report"), (), names
    )
    atomic.write_json(folder.run, {"format": FORMAT, **record.to_json(made)})
    judgement = results.judge(folder)
    return judgement.results, write(judgement)


def _refuse_twins(sources: Sequence[RunFolder]) -> None:
    """Two runs with one id would be one arm, and read each other's tables."""
    by_id: dict[str, list[str]] = {}
    for source in sources:
        by_id.setdefault(source.id, []).append(str(source.path))
    problems = [
        Problem(f"these are different folders with one id, {id}: {', '.join(paths)}")
        for id, paths in by_id.items()
        if len(paths) > 1
    ]
    if problems:
        raise BadInput(
            problems, next="rename one of the folders, as in 20261124T031500Z-other; then inv report"
        )


def write(judgement: Judgement) -> Path:
    """The report of what was judged."""
    try:
        context = page.context(judgement)
    except Damaged:
        judgement = results.again(judgement)
        context = page.context(judgement)
    drawn = pictures.write(judgement.folder.path / "charts", drawing.draw(lines(judgement)))
    text = html(context, drawn)
    csvs.write(judgement.folder.path / "csv", text)
    atomic.write_text(judgement.folder.path / "junit.xml", thresholds.junit(judgement.results))
    atomic.write_text(judgement.folder.path / "summary.md", thresholds.markdown(judgement.results))
    atomic.write_text(judgement.folder.report, text)
    return judgement.folder.report


def lines(judgement: Judgement) -> Series:
    """What the charts draw: of an arm with several trials one line, of those that count."""
    labels = [arm["label"] for arm in judgement.results["arms"] for _ in arm["trials"]]
    trials = executed.that_count(judgement)
    by_key = {(member.run.id, member.judged.plan.id): member for member in judgement.members}
    several = len(labels) != len(set(labels))
    shown = [(f"{label} · {id}" if several else label, by_key[run, id]) for label, run, id in trials]
    broken = {label: faults.stretches(member.run.trial(member.judged.plan.folder)) for label, member in shown}
    found = series([(label, member.judged) for label, member in shown], broken)
    if several:
        found = by_arm(found, {visible(f"{label} · {id}"): visible(label) for label, _, id in trials})
    return replace(
        found,
        trials=executed.frame(judgement),
        primary=executed.named(judgement),
        levels=curves.frame(judgement.results),
    )


def html(context: dict[str, Any], drawn: Sequence[drawing.Drawn]) -> str:
    """The page. Styles and scripts are inline and named by hash in its content security policy, which allows nothing
    else: no eval, no network, no inline handlers, no styles in attributes."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, finalize=visible,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    style, script, tables = (
        (TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "report.js", "tables.js")
    )
    scripts = [library(), script, tables] if drawn else [tables]
    policy = (
        f"default-src 'none'; script-src {_hashes(scripts)}; style-src {_hashes([style])}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    return environment.get_template("report.html.j2").render(
        **context, charts=[_chart(one) for one in drawn], glossary=GLOSSARY, policy=policy, style=Markup(style),
        scripts=[Markup(one) for one in scripts],
    )  # fmt: skip


def library() -> str:
    """The chart library, safe inside a script element."""
    return drawing.library().replace("</script", "<\\/script").replace("\r", "")


def _hashes(texts: Sequence[str]) -> str:
    found = [
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts
    ]
    return " ".join(found) or "'none'"


def _chart(one: drawing.Drawn) -> dict[str, Any]:
    picture = base64.b64encode(one.svg.encode()).decode()
    return {
        "name": one.name,
        "title": one.title,
        "caption": one.caption,
        "vega": drawing.columns(one.vega),
        "picture": f"data:image/svg+xml;base64,{picture}",
        "place": one.place,
    }
