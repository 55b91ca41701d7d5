"""Shell commands from words: the one function that builds them."""

from __future__ import annotations

import re
import shlex

_PLAIN_PATH = re.compile(r"[\w@%+=:,./~-]+")


class Raw(str):
    """A piece of shell text that `quote` leaves as it is: an operator, a redirection, a command already built.

    Only constants and what `quote` made may become Raw; never a value that somebody typed.
    """

    __slots__ = ()


def quote(*words: str) -> str:
    """One command line of these words for a POSIX shell; each word but a Raw one reaches the program unchanged.

    Raises ValueError for a NUL byte, which no command line can carry.
    """
    for word in words:
        if "\0" in word:
            raise ValueError(f"a command cannot carry a NUL byte: {word!r}")
    return " ".join(str(word) if isinstance(word, Raw) else shlex.quote(word) for word in words)


def ssh_path(path: str) -> str:
    """A path as a value of ssh's configuration, where spaces separate paths and `%` begins a token."""
    text = path.replace("%", "%%")
    return text if _PLAIN_PATH.fullmatch(text) else f'"{text}"'
