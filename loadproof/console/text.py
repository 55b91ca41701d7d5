"""Plain building blocks: escaping, tables, durations, the four parts of an error."""

from __future__ import annotations

import io
import re
import shlex
import unicodedata
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loadproof.errors import LoadproofError

WIDTH = 110
_KEPT = "\n\t"
_WORD = re.compile(r"(?<![\w/.])(?:\./)?inv ((?:--help )?[a-z][a-z.-]*[a-z])\b( -i)?")
_WITH_INVENTORY = ("deploy", "bench", "demo", "plan", "status", "facts", "stop", "clean", "trust", "doctor")


def escape(text: object) -> str:
    """Text as it may go to a terminal: control and format characters (C0, C1, DEL, bidi) become \\xNN or \\uNNNN."""

    def safe(char: str) -> str:
        if char in _KEPT or unicodedata.category(char) not in ("Cc", "Cf", "Cs"):
            return char
        return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"

    return "".join(safe(char) for char in str(text))


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], width: int = WIDTH, cut: bool = False
) -> str:
    """Rows under a header, columns aligned; numbers to the right. `cut`: one line per row, the last column ends in …"""
    cells_of = [[escape("" if cell is None else cell) for cell in row] for row in rows]
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, title in enumerate(header):
        cells = [line[index] for line in cells_of if line[index]]
        right = bool(cells) and all(cell[:1].isdigit() or cell[:1] in "-+<≤" for cell in cells)
        last = index == len(header) - 1
        made.add_column(
            Text(escape(title)),
            justify="right" if right else "left",
            overflow="fold",
            no_wrap=cut and not last,
        )
    for line in cells_of:
        # with `cut` only the last column may give way: the others are not wrapped, and its own text is cut
        texts = [Text(cell) for cell in line[:-1]]
        made.add_row(*texts, Text(line[-1], no_wrap=cut or None, overflow="ellipsis" if cut else None))
    out = io.StringIO()
    Console(file=out, width=width, color_system=None, highlight=False).print(made)
    return "\n".join(line.rstrip() for line in out.getvalue().splitlines())


def number(value: float | int | None, digits: int = 1, unit: str = "") -> str:
    """A figure for a person; "-" when there is none."""
    if value is None:
        return "-"
    text = f"{value:,d}" if isinstance(value, int) else f"{value:,.{digits}f}"
    return f"{text}{unit}"


def seconds(value: float) -> str:
    """A length of time, to the microsecond: 8 s, 90.5 s, 2 min 30 s."""
    minutes, rest = divmod(round(value, 6), 60) if value >= 120 else (0, value)
    said = f"{rest:.6f}".rstrip("0").rstrip(".")
    if not minutes:
        return f"{said} s"
    return f"{minutes:.0f} min" if said == "0" else f"{minutes:.0f} min {said} s"


def error(problem: LoadproofError, inventory: str = "", group: str = "") -> str:
    """What happened, where, what was kept, the next command; further lines of a part stand under its first.

    `inventory` and `group`: what was given with -i and --group, if anything; the next command has them too.
    """
    parts = (
        ("error", problem.what),
        ("where", problem.where),
        ("kept", problem.kept),
        ("next", command(problem.next, inventory, group)),
    )
    return "\n".join(_part(name, text) for name, text in parts if text)


def _part(name: str, text: str) -> str:
    return f"{name + ':':<6} " + escape(text).strip("\n").replace("\n", "\n       ")


def command(text: str, inventory: str = "", group: str = "") -> str:
    """A next command as it can be typed in a clone: ./inv before each word, and the inventory where it takes one."""
    hosts = f" -i {shlex.quote(inventory)}" if inventory else ""
    hosts += f" --group {shlex.quote(group)}" if group else ""

    def typed(found: re.Match[str]) -> str:
        named = found[2] or (hosts if found[1] in _WITH_INVENTORY else "")
        return f"./inv {found[1]}{named}"

    return _WORD.sub(typed, text)
