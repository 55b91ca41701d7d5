"""A run as one picture and one paragraph: what is put into a message. Made of results.json and run.json, no browser."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis import about, answer, png, results, sentences
from analysis.thresholds import plain
from analysis.words import THIN, visible
from loadproof.errors import RecordUnreadable
from loadproof.runfolder import atomic, record, shown
from loadproof.runfolder.paths import RunFolder

TEMPLATES = Path(__file__).resolve().parent.parent / "templates"
WIDTH, HEIGHT, MARGIN = 1200, 630, 64
INNER = WIDTH - 2 * MARGIN
BESIDE = 372  # where the words beside the verdict begin
WHAT = (28, 24, 20)  # sizes of the line that says what is compared
MOST_LEADS = 3
NEEDED = {"run", "question", "primary", "verdict", "checks", "comparisons", "arms"}
# widths of letters in thousandths of their size, of a face as wide as Arial
NARROW, WIDE = "fijltrI.,:;!'|()[]/ -\u202f", "mwMW@%—"
LETTER_NARROW, LETTER, LETTER_UPPER, LETTER_WIDE, LETTER_OTHER = 340, 580, 740, 960, 1050


def write(folder: RunFolder) -> tuple[Path, str]:
    """share.png and share.md of a run that was analysed: the path of the picture, and the paragraph. Raises
    RecordUnreadable where it was not."""
    found = record.read_json(folder.results) if folder.results.exists() else {}
    if not found.keys() >= NEEDED:
        raise RecordUnreadable(
            "it was analysed by an earlier loadproof" if found else "it was not analysed yet",
            where=f"run {folder.id}",
            kept=str(folder.path),
            next=f"inv report --run {folder.id}",
        )
    runs = [about.run(source) for source in results.sources_of(folder)]
    picture, text = folder.path / "share.png", paragraph(found, runs)
    atomic.write_bytes(picture, png.packed(png.png(card(found, runs), 1.0)))
    atomic.write_text(folder.path / "share.md", text)
    return picture, text


def paragraph(found: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    """Question, answer, interval, verdict, hosts and commit in Markdown; nothing of a run is markup in it."""
    said = [f"**{plain(title(found, runs))}**"]
    for one in answer.leads(found):
        parts = [f"{plain(one['what'])}: **{plain(one['ratio'])}**" if one["ratio"] else plain(one["what"])]
        parts += [f"({plain(one['interval'])})"] if one["interval"] else []
        said.append(" ".join(parts) + (f": {plain(one['words'])}." if one["words"] else "."))
    said.append(f"{plain('; '.join([shown.verdict(found), *tolerated(found)]))}.")
    said.append(
        f"Measured on {plain(hosts(runs))}; commit {plain(commits(runs))}; run `{plain(found['run'])}`."
    )
    return " ".join(said).replace(THIN, " ") + "\n\n![the same as a picture](share.png)\n"


def title(found: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    """The question; without one the notes of the runs, else their arms."""
    notes = " · ".join(dict.fromkeys(one["note"] for one in runs if one["note"]))
    return found["question"] or notes or " · ".join(arm["label"] for arm in found["arms"])


def tolerated(found: Mapping[str, Any]) -> list[str]:
    """Under which condition VALID is said, in a few words; empty where it is the usual one."""
    asked = sentences.tolerated(found["arms"])
    return [f"{' / '.join(asked)} stolen CPU tolerated"] if asked else []


def hosts(runs: Sequence[Mapping[str, Any]]) -> str:
    """How many, by group, their system, and whether they are machines of their own."""
    rows = list(dict.fromkeys(host for one in runs for host in one["hosts"]))
    if not rows:
        return "hosts that are not recorded"
    groups: dict[str, int] = {}
    for host in rows:
        groups[host[1]] = groups.get(host[1], 0) + 1
    systems = ", ".join(dict.fromkeys(host[3] for host in rows))
    listed = ", ".join(f"{count} {name}" for name, count in groups.items())
    shared = ", one kernel" if any(one["kernel"] for one in runs) else ""
    return f"{len(rows)} {'host' if len(rows) == 1 else 'hosts'} ({listed}; {systems}{shared})"


def commits(runs: Sequence[Mapping[str, Any]]) -> str:
    """The commits that measured."""
    return ", ".join(dict.fromkeys(one["commit"] for one in runs))


def card(found: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> str:
    """The picture as SVG, 1200 x 630. Every text is escaped, what cannot be seen spelled out, and cut to its place."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, finalize=visible,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    compared = [one for one in found["comparisons"] if one["primary"]]
    leads = answer.leads(found)
    more = len(leads) - MOST_LEADS
    question = lines(title(found, runs), 44, INNER, 2)
    return environment.get_template("share.svg.j2").render(
        verdict=found["verdict"],
        beside=BESIDE,
        why=lines(
            " · ".join(filter(None, [*tolerated(found), shown.broken(found)])), 21, WIDTH - MARGIN - BESIDE, 1
        ),
        question=question,
        leads=_placed(leads[:MOST_LEADS], compared, 150 + 54 * len(question)),
        more=f"and {more} more" if more > 0 else "",
        footer=[
            *lines(hosts(runs), 21, INNER, 1),
            *lines(f"commit {commits(runs)} · run {found['run']}", 21, INNER, 1),
        ],
    )


def _placed(
    leads: Sequence[Mapping[str, str]], compared: Sequence[Mapping[str, Any]], top: int
) -> list[dict[str, Any]]:
    """Answers below each other, one large or several smaller; `compared` are their intervals, where there are any."""
    size = 96 if len(leads) == 1 else 58
    step = 200 if len(leads) == 1 else 104
    most = answer.most(compared) if compared else 1.0
    made = []
    for at, one in enumerate(leads):
        beside = MARGIN + (width(one["ratio"], size) + 36 if one["ratio"] else 0)
        room = WIDTH - MARGIN - beside
        # who is over whom is said whole, in smaller letters where it has to be
        letters = next((some for some in WHAT if width(one["what"], some) <= room), WHAT[-1])
        told = [one["interval"], one["words"]]
        alone = len(leads) == 1
        if not alone:
            told = [": ".join(text for text in told if text)]
        made.append(
            {
                "ratio": one["ratio"],
                "open": one["open"],
                "size": size,
                "y": top + 70 + at * step,
                "x": round(beside),
                "what": lines(one["what"], letters, room, 1),
                "letters": letters,
                "said": [line for text in told for line in lines(text, 24, room, 2 if alone else 1)][:3],
                "drawn": answer.drawn(compared[at], most, MARGIN, WIDTH - MARGIN)
                if alone and compared
                else None,
                "arms": lines(one["arms"], 24, INNER, 1) if alone else [],
            }
        )
    return made


def width(text: str, size: float) -> float:
    """About how wide a text is, rather too wide."""
    return sum(map(_letter, str(visible(text)))) * size / 1000


def _letter(one: str) -> int:
    if one in NARROW:
        return LETTER_NARROW
    if one in WIDE:
        return LETTER_WIDE
    if ord(one) > 0x24F and one not in "–…":
        return LETTER_OTHER
    return LETTER_UPPER if one.isupper() else LETTER


def lines(text: str, size: float, room: float, most: int) -> list[str]:
    """A text in at most so many lines of a width; what is left over ends in an ellipsis."""
    found, line = [], ""
    for word in re.split(r"[ \n\t]+", str(visible(text)).strip()):  # no-break spaces stay
        longer = f"{line} {word}".strip()
        if line and width(longer, size) > room:
            found.append(line)
            longer = word
        line = longer
    found += [line] if line else []
    over = len(found) > most
    found = found[:most]
    return [_cut(one, size, room, over and at == most - 1) for at, one in enumerate(found)]


def _cut(line: str, size: float, room: float, over: bool) -> str:
    if not over and width(line, size) <= room:
        return line
    while line and width(f"{line}…", size) > room:
        line = line[:-1]
    return f"{line.rstrip()}…"
