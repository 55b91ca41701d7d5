"""The table of a rehearsal, row by row as it goes, and its last line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from loadproof.console.text import escape

WIDTHS = (17, 17, 12, 14)
LONGEST = 110  # of what a check said
SPOILT = (
    "the machine below kept CPU for itself each time: again in a quieter hour, or with --steal (at most 8%)"
)


class Finding(Protocol):
    """One line of a rehearsal."""

    @property
    def fault(self) -> str: ...
    @property
    def check(self) -> str: ...
    @property
    def expected(self) -> str: ...
    @property
    def found(self) -> str: ...
    @property
    def said(self) -> str: ...
    @property
    def ok(self) -> bool: ...
    @property
    def stolen(self) -> bool: ...


def header() -> str:
    """The head of the table."""
    return _row(("fault", "check", "expected", "found"), "ok", "said")


def rows(found: Sequence[Finding], run: str) -> str:
    """What one trial gave."""
    lines = [
        _row((one.fault, one.check, one.expected, one.found), "yes" if one.ok else "NO", one.said)
        for one in found
    ]
    return "\n".join([*lines, f"  run {escape(run)}"] if run else lines)


def ending(found: Sequence[Finding], trials: int) -> str:
    """Whether the rehearsal was green, and what was not."""
    wrong = [f"{one.fault}: {one.check} {one.found}" for one in found if not one.ok]
    if wrong:
        what = f"the rehearsal is not green, {len(wrong)} of {len(found)}: {escape('; '.join(wrong))}"
        spoilt = any(one.stolen and not one.ok for one in found)
        return f"{what}\n{SPOILT}" if spoilt else what
    stolen = [one.fault for one in found if one.stolen]
    but = (
        f", but for CPU that the machine below kept for itself ({escape(', '.join(stolen))})"
        if stolen
        else ""
    )
    return f"the rehearsal is green: trials: {trials}, findings: {len(found)}, all as expected{but}"


def _row(cells: Sequence[str], ok: str, said: str) -> str:
    text = " ".join(f"{escape(cell):<{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
    short = escape(said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…")
    return f"{text} {ok:<3} {short}".rstrip()
