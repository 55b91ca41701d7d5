"""Texts of flags to values; what cannot be meant is bad input."""

from __future__ import annotations

from loadproof.errors import BadInput, Problem
from loadproof.plan import allowed


def listed(flag: str, text: str) -> tuple[str, ...]:
    """What stands between commas; nothing when the flag was not given. Raises BadInput where nothing stands."""
    found = tuple(part.strip() for part in text.split(",")) if text else ()
    if not all(found):
        problem = Problem(f"{text!r}: nothing stands beside a comma", flag)
        raise BadInput([problem], next=f"{flag} without that comma, or with what belongs there")
    return found


def groups(text: str) -> dict[str, str]:
    """--group app=web,load=generators as a mapping; a word without = is left for the reader to reject.

    Raises BadInput for a group of ours that is mapped twice.
    """
    pairs = [part.partition("=") for part in listed("--group", text)]
    names = [ours.strip() for ours, _, _ in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        problem = Problem(f"{text!r} maps {', '.join(twice)} twice", "--group")
        raise BadInput([problem], next="--group with one of yours for each of ours")
    return {ours.strip(): theirs.strip() for ours, _, theirs in pairs}


def count(flag: str, text: str) -> int | None:
    """A count from a flag; None when it was not given."""
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 10) or int(text) < 1:
        problem = Problem(f"{allowed.shown(text)} is no number of hosts", flag)
        raise BadInput([problem], next=f"{flag} with a whole number from 1")
    return int(text)
