"""Every table of a report as CSV, read from the page itself: so both say the same, whatever tables there are."""

from __future__ import annotations

import csv
import io
import re
from html.parser import HTMLParser
from pathlib import Path

from analysis.words import NONE
from loadproof.runfolder import atomic

NUMBER = re.compile(r"[-+−]?\d[\d\u202f]*(\.\d+)?(e[-+]?\d+)?")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for one, at the beginning of a cell
BREAKS = ("br", "p", "li", "small")
Rows = list[list[str]]


def write(place: Path, page: str) -> None:
    """<name>.csv of each table; those of an earlier analysis are removed."""
    place.mkdir(exist_ok=True)
    found = tables(page)
    for path in place.glob("*.csv"):
        if path.stem not in found:
            path.unlink()
    for name, rows in found.items():
        atomic.write_text(place / f"{name}.csv", text(rows))


def tables(page: str) -> dict[str, Rows]:
    """The tables of a page by name (`data-table`, else the section they stand in), heads among their rows. Two of one
    name are numbered."""
    found: dict[str, Rows] = {}
    for name, rows in _Tables(page).found:
        plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "table"
        number = next(at for at in range(1, len(found) + 2) if _numbered(plain, at) not in found)
        found[_numbered(plain, number)] = rows
    return found


def _numbered(name: str, at: int) -> str:
    return name if at == 1 else f"{name}-{at}"


def text(rows: Rows) -> str:
    """Rows as CSV. Numbers are plain ones ("1 234.5" is 1234.5), what is not known is empty, and no cell is a formula."""
    into = io.StringIO()
    csv.writer(into, lineterminator="\n").writerows([[cell(one) for one in row] for row in rows])
    return into.getvalue()


def cell(shown: str) -> str:
    """What a cell of a page is in a file."""
    if shown == NONE:
        return ""
    if NUMBER.fullmatch(shown):
        return shown.replace("\u202f", "").replace("−", "-").removeprefix("+")
    plain = shown.replace("\u202f", " ")
    return f"'{plain}" if plain.startswith(FORMULA) else plain


class _Tables(HTMLParser):
    """(name, rows) of each table."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, Rows]] = []
        self._section, self._depth = "", 0
        self._cell: list[str] | None = None
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag == "section":
            self._section = known.get("aria-labelledby") or ""
        elif tag == "table":
            self._depth += 1
            self.found.append((known.get("data-table") or self._section, []))
        elif tag == "tr" and self._depth:
            self.found[-1][1].append([])
        elif tag in ("th", "td") and self._depth:
            self._cell = []
        elif tag in BREAKS and self._cell is not None:
            self._cell.append(" ")

    def handle_data(self, data: str) -> None:
        if self._cell is not None:
            self._cell.append(data)

    def handle_endtag(self, tag: str) -> None:
        if tag == "table":
            self._depth -= 1
        elif tag in ("th", "td") and self._cell is not None:
            # all white space but the narrow space inside of numbers is one
            self.found[-1][1][-1].append(re.sub(r"[ \n\t\xa0]+", " ", "".join(self._cell)).strip(" "))
            self._cell = None
