"""Files of lines in pieces: memory stays bounded whatever is in them, and every line that is dropped is counted."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

PIECE = 8 << 20  # bytes read at a time
LONGEST = 32 << 20  # a longer line is no line of ours
KEPT = 3  # malformed lines kept, escaped, for a person
SHOWN = 160  # bytes of each
Bytes = bytes | bytearray
SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass
class Malformed:
    """Lines that could not be read: how many, how many of them are in no piece, and the first three, escaped."""

    count: int = 0
    skipped: int = 0
    first: list[str] = field(default_factory=list)

    def add(self, line: Bytes) -> None:
        """Count a line; keep the beginning of the first three."""
        self.count += 1
        if len(self.first) < KEPT:
            self.first.append(ascii(line[:SHOWN].decode("utf-8", "backslashreplace"))[1:-1])

    def add_rows(self, rows: NDArray[Any]) -> None:
        """Count rows of a file of rows; keep the first three in hex."""
        self.count += len(rows)
        self.first += [row.tobytes().hex() for row in rows[: KEPT - len(self.first)]]

    def join(self, other: Malformed) -> None:
        """Count those of a later piece too."""
        self.count += other.count
        self.skipped += other.skipped
        self.first += other.first[: KEPT - len(self.first)]

    def note(self, label: str) -> tuple[str, ...]:
        """The sentence for the list of what is incomplete; none when every line was read."""
        if not self.count:
            return ()
        return (f"{label}: {self.count} malformed {'line' if self.count == 1 else 'lines'}{self.shown}",)

    @property
    def shown(self) -> str:
        """The first three, in words."""
        return f", first: {' | '.join(self.first)}" if self.first else ""


def pieces(path: Path, malformed: Malformed) -> Iterator[bytearray]:
    """The file in pieces of whole lines (the last one may lack its newline). A line over LONGEST is counted and
    skipped. Raises OSError when it cannot be opened."""
    left = bytearray()
    skipping = False
    with path.open("rb", buffering=0) as file:
        while True:
            # read into its place, behind what is left: a piece is not copied again
            data = bytearray(len(left) + PIECE)
            data[: len(left)] = left
            with memoryview(data) as view, view[len(left) :] as room:
                count = file.readinto(room)
            if not count:
                break
            del data[len(left) + count :]
            end = data.rfind(b"\n", len(left)) + 1
            if skipping:
                begin = data.find(b"\n") + 1
                if not begin:
                    continue
                del data[:begin]
                end, skipping = end - begin, False
            left = data[end:] if end else data
            if end:
                del data[end:]
                yield data
            if len(left) > LONGEST:
                malformed.add(left)
                malformed.skipped += 1
                left, skipping = bytearray(), True
    if left:
        yield left


def spelled(text: str) -> str:
    """Text with bytes that were no UTF-8, and halves of pairs, as escapes: no table takes them as they are."""
    return SURROGATES.sub(_spelled, text)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def split(piece: Bytes) -> list[Bytes]:
    """The lines of a piece, without empty ones."""
    return [line for line in piece.split(b"\n") if line.strip()]
