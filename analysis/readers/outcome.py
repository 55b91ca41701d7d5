"""What every reader gives back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

Add = Callable[[Any], None]  # takes a table of the next rows


@dataclass(frozen=True)
class Outcome:
    """A table, when its rows were not taken by somebody else; whose evidence is in it (worker numbers or hosts, as text); what was missing or unreadable, in words; how
    many lines or rows of the files could not be read, of how many."""

    table: Any  # pyarrow.Table, or None
    present: tuple[str, ...]
    notes: tuple[str, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)  # further tables of the same files, by kind
    malformed: int = 0
    all: int = 0


def schema(columns: Mapping[str, Any], may_lack: Collection[str]) -> Any:
    """Columns of a table by name and type. Those that never lack a value say so: Parquet then keeps no levels of them, which
    are a fifth of what they cost."""
    return pa.schema([pa.field(name, kind, nullable=name in may_lack) for name, kind in columns.items()])


def plural(count: int, word: str, words: str = "") -> str:
    """ "1 row", "2 rows"."""
    return f"{count} {word if count == 1 else words or word + 's'}"


@dataclass
class Collected:
    """Takes rows into memory."""

    schema: Any
    tables: list[Any] = field(default_factory=list)

    def table(self) -> Any:
        """All of them as one table."""
        if not self.tables:
            return self.schema.empty_table()
        return pa.concat_tables(self.tables).unify_dictionaries().combine_chunks()
