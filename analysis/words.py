"""Numbers and moments as a person reads them, and the words of the report."""

from __future__ import annotations

import unicodedata
from typing import Any

from markupsafe import Markup

NONE = "–"
THIN = "\u202f"  # narrow no-break space

GLOSSARY = (
    ("TPS", "successful requests that completed in the window, per second of it"),
    ("peak TPS", "the best 2 seconds of the whole run, as TPS; a lucky moment, never compared"),
    (
        "MTT",
        "mean test time: mean time from sending (in an open load: from when it was to be sent) to the last byte, over successful requests, in ms",
    ),
    ("MTSD", "standard deviation of the test time, in ms"),
    ("p95", "95 of 100 successful requests took at most so long"),
    ("vuser", "virtual user: sends a request, waits for the answer, thinks, and begins again"),
    ("process, thread", "a Locust worker, and one of its vusers"),
    ("ramp-up", "the steps in which users are added"),
    ("settle", "seconds after the last step that are left out (nGrinder: ignored warm-up)"),
    ("hold", "the part of the load with constant users: from there the figures are taken"),
    ("arm", "one combination of what is compared; a trial is one arm run once"),
    ("undelivered", "an app read the request, but its client never got a complete answer"),
    ("BrokenPipeError", "an app wrote an answer to a connection that was gone"),
    ("cut", "in flight when the load ended: neither a success nor a failure"),
    ("efficiency", "successes per second of CPU that the app hosts really got"),
    ("window", "the stretch of time a figure speaks of: the hold, or the whole run"),
    (
        "block",
        "one trial of every arm, in an order that is balanced over as many blocks as there are arms: there what drifts speaks for no arm",
    ),
    (
        "ratio",
        "a figure of one arm over that of another, of trials in the same block; several by their geometric mean",
    ),
    (
        "interval",
        "where the true ratio lies, in 95 of 100 experiments like this one; without 1 in it the arms differ",
    ),
    ("pair", "two trials of one block, one of each arm"),
    (
        "VALID, INVALID, UNKNOWN",
        "the conditions of a trial held; one of them broke; one of them cannot be told",
    ),
    ("check", "one condition of a trial, with what was measured, its limit and what to do"),
    ("withheld", "not shown or not counted, because a check broke that it depends on; the record keeps it"),
    ("spike", "a second whose mean time is above twice the median of the 30 s around it"),
    ("drift", "what changes from trial to trial though nothing was changed"),
    (
        "closed load",
        "a user sends again when it has its answer: slow servers get fewer requests (nGrinder's way)",
    ),
    ("open load", "requests come at a rate of their own, whether servers answer or not"),
    ("knee", "the number of users from which more of them bring waiting in place of throughput"),
    ("calibration", "trials that find what a limiter must be set to for the CPU that was asked"),
)


def number(value: Any, digits: int = 1) -> str:
    """1234.5 as "1 234.5"; None as a dash."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.{digits}f}"
    return text.replace(",", THIN)


def share(part: int | None, whole: int | None) -> float | None:
    """Percent; None for none."""
    return 100 * part / whole if part is not None and whole else None


def visible(value: Any) -> Any:
    """Text with control and direction characters spelled out; for everything that a page prints."""
    if value is None:
        return NONE
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    if value.isascii() and value.isprintable():
        return value
    return "".join(_spelled(char) for char in value)


def _spelled(char: str) -> str:
    if char in "\n\t\u202f" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn"):
        return char
    return f"\\u{ord(char):04x}" if ord(char) > 0xFF else f"\\x{ord(char):02x}"
