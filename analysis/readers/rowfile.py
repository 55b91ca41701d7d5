"""Files of fixed-size rows behind a 64-byte header, read in chunks at memory speed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.readers.outcome import plural
from loadproof.runfolder.formats import HEADER

CHUNK = 1 << 17  # rows read at a time


@dataclass(frozen=True)
class RowFile:
    """Header values of one file and how many whole rows follow; notes say what could not be read. `readable` is False:
    not a row file."""

    path: Path
    dtype: np.dtype[Any]
    readable: bool
    notes: tuple[str, ...]
    count: int = 0
    worker: int = 0
    pid: int = 0
    realtime_us: int = 0  # when the file was begun, on the host's clock
    cut: bool = False  # it ends inside a row

    def chunks(self) -> Iterator[NDArray[Any]]:
        """Its rows, CHUNK at a time."""
        if not self.readable:
            return
        with self.path.open("rb") as file:
            file.seek(HEADER.itemsize)
            left = self.count
            while left:
                rows = np.fromfile(file, self.dtype, min(CHUNK, left))
                if not len(rows):  # it became shorter since it was opened
                    return
                left -= len(rows)
                yield rows


def read(path: Path, dtype: np.dtype[Any], magic: bytes, label: str) -> RowFile:
    """A file of rows of `dtype`; a last row that was cut is counted in a note. `label` names the file in notes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEADER.itemsize)
    except OSError as error:
        return RowFile(path, dtype, False, (f"{label}: {error.strerror}",))
    if len(head) < HEADER.itemsize:
        return RowFile(
            path, dtype, False, (f"{label}: ends inside its header, at {plural(len(head), 'byte')}",)
        )
    header = np.frombuffer(head, HEADER)[0]
    if (
        bytes(header["magic"]) != magic
        or int(header["format"]) != 1
        or int(header["row_size"]) != dtype.itemsize
    ):
        return RowFile(path, dtype, False, (f"{label}: not a row file of format 1",))
    count, cut = divmod(size - HEADER.itemsize, dtype.itemsize)
    notes = (f"{label}: its last row is cut ({cut} of {dtype.itemsize} bytes)",) if cut else ()
    return RowFile(
        path,
        dtype,
        True,
        notes,
        count,
        int(header["worker"]),
        int(header["pid"]),
        int(header["realtime_us"]),
        bool(cut),
    )


@dataclass
class Unwritten:
    """Rows that were reserved and never written, counted chunk by chunk: at the end of a file they are no loss, before a
    row that was written they are."""

    lost: int = 0
    written: int = 0
    _last: int = 0  # since the last written one

    def add(self, written: NDArray[np.bool_]) -> None:
        """Which rows of the next chunk were written."""
        at = np.flatnonzero(written)
        if len(at):
            self.lost += self._last + int(at[-1]) + 1 - len(at)
            self.written += len(at)
            self._last = len(written) - int(at[-1]) - 1
        else:
            self._last += len(written)
