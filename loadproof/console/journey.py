"""One request, told in order of time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from loadproof.console.text import escape, table

NONE = "-"


def journey(told: Sequence[Any]) -> str:
    """The request of each trial, one below the other; values of analysis.journey."""
    return "\n\n".join(_one(one) for one in told)


def _one(told: Any) -> str:
    rows = [
        (
            NONE if event.second is None else f"{event.second:.3f}",
            f"{event.after_ms:.1f}",
            escape(event.host),
            escape(event.what),
        )
        for event in told.events
    ]
    lines = [
        f"request {told.id}, trial {escape(told.trial)}",
        escape(told.who),
        "",
        table(("second", "ms", "host", ""), rows),
        "",
        escape(told.outcome),
    ]
    if told.reason:
        lines += [f"began at: {told.reason}: {told.said}", f"proved by: {told.proof}"]
    if told.certain_ms is None:
        lines.append("order of events on different hosts is not certain: a clock was not measured")
    else:
        lines.append(f"order of events on different hosts is certain beyond ± {told.certain_ms:.1f} ms")
    return "\n".join(lines)
