"""journal.jsonl of a trial: what the conductor saw that a reader of the figures has to know, in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.readers.outcome import plural
from loadproof.errors import RecordUnreadable
from loadproof.runfolder import journal
from loadproof.runfolder.paths import TrialPaths

LOST = "journal.jsonl is not here; whether the trial was interrupted is unknown"
LONGEST = 200  # characters of an error's first line


def notes(paths: TrialPaths) -> tuple[str, ...]:
    """Sentences on a trial that was interrupted, a load that did not end well, hosts that were busy or silent after it."""
    try:
        found = journal.read(paths.journal)
    except RecordUnreadable:
        return (LOST,) if paths.hosts else ()
    torn = (f"journal.jsonl: {plural(found.cut, 'unreadable line')}",) if found.cut else ()
    return (*torn, *dict.fromkeys(text for line in journal.last_try(found.lines) if (text := _said(line))))


def _said(line: Mapping[str, Any]) -> str:
    """The sentence of an event; empty for the rest: notes on the limit stand in limiter.jsonl too, and a link that was
    lost for a while loses nothing."""
    detail = (str(line.get("detail") or "").splitlines() or [""])[0][:LONGEST]
    match line.get("stage"), line.get("event"):
        case "drain", "note":
            return f"{line.get('host')}: {detail} when draining ended"
        case "trial", "interrupted":
            return f"the trial was interrupted: {detail}"
        case "watch", "note" if detail.startswith("the master is ") and not detail.endswith("inactive"):
            return f"{line.get('host')}: Locust: {detail}"
    return ""
