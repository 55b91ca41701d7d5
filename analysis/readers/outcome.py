"""What every reader gives back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """A table; whose evidence is in it (worker numbers or hosts, as text); what was missing or unreadable, in words; how
    many lines or rows of the files could not be read, of how many."""

    table: Any  # pyarrow.Table
    present: tuple[str, ...]
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)  # further tables of the same files, by kind
    malformed: int = 0
    all: int = 0


def plural(count: int, word: str, words: str = "") -> str:
    """ "1 row", "2 rows"."""
    return f"{count} {word if count == 1 else words or word + 's'}"
