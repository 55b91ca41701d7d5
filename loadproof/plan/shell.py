"""Shell commands are built here, from words, and nowhere else."""

from __future__ import annotations

import shlex


class Raw(str):
    """A piece of shell (an operator, a variable) that must stay unquoted."""

    __slots__ = ()


def quote(*words: str | Raw) -> str:
    """A command line that a POSIX shell splits into exactly these words; Raw pieces go in as they are."""
    return " ".join(word if isinstance(word, Raw) else shlex.quote(word) for word in words)
