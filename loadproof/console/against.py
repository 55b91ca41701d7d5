"""`inv compare`: two runs against each other, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadproof.console.text import escape, number, table
from loadproof.runfolder import shown


def against(found: Mapping[str, Any]) -> str:
    """Figures beside each other, then what was different about the runs, then what to beware of."""
    lines = [f"first:  {escape(found['first'])} ({found['verdicts'][0]})"]
    lines += [f"second: {escape(found['second'])} ({found['verdicts'][1]})"]
    rows = [
        (
            one["arm"],
            one["figure"],
            number(one["first"], 2),
            number(one["second"], 2),
            "-"
            if one["ratio"] is None
            else f"{one['ratio']:.3f}"
            + ("" if one["low"] is None else f" ({shown.between(one['low'], one['high'])})"),
            "/".join(map(str, one["n"])),
            one["words"],
        )
        for one in found["arms"]
    ]
    if rows:
        lines += [
            "",
            table(("arm", "figure", "first", "second", "second / first", "trials", "in words"), rows),
        ]
    for label, arms in zip(("first", "second"), found["only"], strict=True):
        lines += [f"only in the {label}: {escape(', '.join(arms))}"] if arms else []
    if found["differences"]:
        lines += ["", table(("what differs", "first", "second"), found["differences"])]
    else:
        lines += ["", "nothing that is recorded differs between them"]
    return "\n".join([*lines, "", *(f"note: {escape(text)}" for text in found["warnings"])])
