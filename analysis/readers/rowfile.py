"""Files of fixed-size rows behind a 64-byte header, read whole at memory speed."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.readers.outcome import plural
from loadproof.runfolder.formats import HEADER


@dataclass(frozen=True)
class RowFile:
    """Header values and whole rows of one file; notes say what could not be read. `rows` is None: not a row file."""

    rows: NDArray[Any] | None
    worker: int
    pid: int
    notes: tuple[str, ...]
    realtime_us: int = 0  # when the file was begun, on the host's clock
    cut: bool = False  # it ends inside a row


def read(path: Path, dtype: np.dtype[Any], magic: bytes, label: str) -> RowFile:
    """Rows of `dtype`; a last row that was cut is counted in a note. `label` names the file in notes."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(HEADER.itemsize)
    except OSError as error:
        return RowFile(None, 0, 0, (f"{label}: {error.strerror}",))
    if len(head) < HEADER.itemsize:
        return RowFile(None, 0, 0, (f"{label}: ends inside its header, at {plural(len(head), 'byte')}",))
    header = np.frombuffer(head, HEADER)[0]
    if (
        bytes(header["magic"]) != magic
        or int(header["format"]) != 1
        or int(header["row_size"]) != dtype.itemsize
    ):
        return RowFile(None, 0, 0, (f"{label}: not a row file of format 1",))
    rows = np.fromfile(path, dtype, offset=HEADER.itemsize)
    cut = (size - HEADER.itemsize) % dtype.itemsize
    notes = (f"{label}: its last row is cut ({cut} of {dtype.itemsize} bytes)",) if cut else ()
    return RowFile(
        rows, int(header["worker"]), int(header["pid"]), notes, int(header["realtime_us"]), bool(cut)
    )
