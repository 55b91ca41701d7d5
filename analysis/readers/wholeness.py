"""Are the rows of a Locust worker all there? By their numbers, their times, Locust's own count, and what was sealed."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.readers.outcome import plural
from analysis.readers.rowfile import RowFile
from analysis.readers.sealed import Seal
from loadproof.runfolder import formats

EARLY_US = 60_000_000  # a row may be so much older than its file: never, but clocks are read apart
LATE_US = (
    600_000_000  # and end so much after the planned end: workers wait for each other, and for the end of all
)
SEQUENCE = np.uint64((1 << 48) - 1)


@dataclass
class Evidence:
    """What was found on one worker's rows. With a hole nothing is known of its requests; without its tail everything
    is, up to its last row."""

    notes: list[str] = field(default_factory=list)
    hole: bool = False
    tail: bool = False

    def say_hole(self, *notes: str) -> None:
        """Rows are missing or wrong somewhere."""
        self.notes += notes
        self.hole = True

    def say_tail(self, *notes: str) -> None:
        """The last rows are missing, or may be."""
        self.notes += notes
        self.tail = True

    def conclude(self, label: str) -> None:
        """Say what follows."""
        if self.hole:
            self.notes.append(f"{label}: its rows cannot be relied on; figures of all clients are unknown")
        elif self.tail:
            self.notes.append(
                f"{label}: its last rows may be missing: the window ends where they end; "
                "whole-run figures and undelivered are unknown"
            )


def seal(found: Evidence, path: Path, by: Seal) -> None:
    """Is the file the one that was sealed? The notes on that are the manifest's own."""
    if by.other or (by.differs(path.name) and not by.begins(path.name)):
        found.say_hole()
    elif by.differs(path.name) or path.name in by.held:
        found.say_tail()


def header(found: Evidence, file: RowFile, worker: int, label: str) -> None:
    """Is it that worker's file, and does it end with a whole row?"""
    if file.worker != worker:
        found.say_hole(f"{label}: its header names worker {file.worker}")
    if file.cut:
        found.say_tail()


def good(found: Evidence, file: RowFile, end_s: float, label: str) -> NDArray[Any]:
    """The rows that can be true. A file that was not closed ends in room for rows, of kind 0: no loss; before a row
    that was written it is one. `end_s`: the planned end of the load."""
    rows = file.rows
    assert rows is not None
    written = np.flatnonzero(rows["kind"])
    rows = rows[: int(written[-1]) + 1 if len(written) else 0]
    if not len(rows):
        found.say_tail(f"{label}: holds no rows")
    lost = int(np.count_nonzero(rows["kind"] == 0))
    if lost:
        found.say_hole(f"{label}: {plural(lost, 'row')} never written before rows that were")
    strange = rows["kind"] > formats.KIND_SECOND
    if strange.any():
        found.say_hole(f"{label}: {plural(int(strange.sum()), 'row')} of no known kind")
    rows = rows[(rows["kind"] != 0) & ~strange]
    begin = np.where(
        rows["kind"] == formats.KIND_SECOND, rows.view(formats.SECOND_ROW)["start_us"], rows["start_us"]
    )
    end = np.where(rows["kind"] == formats.KIND_REQUEST, rows["end_us"], begin)
    from_us, to_us = file.realtime_us - EARLY_US, file.realtime_us + round(end_s * 1e6) + LATE_US
    true = (begin >= from_us) & (begin <= end) & (end <= to_us)
    if not true.all():
        count = int(np.count_nonzero(~true))
        found.say_hole(f"{label}: {plural(count, 'row')} set aside, with times that cannot be")
    kept: NDArray[Any] = rows[true]
    return kept


def numbers(found: Evidence, requests: NDArray[Any], events: NDArray[Any], worker: int, label: str) -> None:
    """A worker numbers its requests from 0: each number that is not there is a lost row, or a request in flight when
    the rows ended."""
    ids = requests["id"]
    mine = ids[formats.worker_of(ids) == worker]
    if len(mine) != len(ids):
        found.say_hole(f"{label}: {plural(len(ids) - len(mine), 'row')} with another worker's id")
    if not len(mine):
        return
    distinct = np.unique(mine & SEQUENCE)
    if len(distinct) != len(mine):
        found.say_hole(f"{label}: {plural(len(mine) - len(distinct), 'id')} written twice")
    missing = int(distinct[-1]) + 1 - len(distinct)
    if missing:
        note = f"{label}: {plural(missing, 'number')} missing in the sequence of requests"
        waiting = _waiting(requests, events)
        in_flight = missing <= len(waiting) and _may_be(_absent(distinct), waiting)
        found.say_tail(note) if in_flight else found.say_hole(note)


def _waiting(requests: NDArray[Any], events: NDArray[Any]) -> list[int]:
    """For each user who had not stopped the number of the last request with a row; -1 for none."""
    started = events["user"][events["kind"] == formats.KIND_USER_STARTED]
    stopped = events["user"][events["kind"] == formats.KIND_USER_STOPPED]
    last = dict.fromkeys(np.setdiff1d(started, stopped).tolist(), -1)
    numbered = (requests["id"] & SEQUENCE).astype(np.int64)
    users, first = np.unique(requests["user"], return_inverse=True)
    highest = np.full(len(users), -1, np.int64)
    np.maximum.at(highest, first, numbered)
    last.update(
        {user: high for user, high in zip(users.tolist(), highest.tolist(), strict=True) if user in last}
    )
    return sorted(last.values())


def _absent(distinct: NDArray[np.uint64]) -> list[int]:
    """The numbers from 0 on that are not there, in order; there are few."""
    here = distinct.astype(np.int64)
    before = np.concatenate(([-1], here[:-1]))
    return [
        number
        for low, high in zip(
            before[here - before > 1].tolist(), here[here - before > 1].tolist(), strict=True
        )
        for number in range(low + 1, high)
    ]


def _may_be(missing: list[int], waiting: list[int]) -> bool:
    """Whether each missing number can be the request of another waiting user, later than that user's last row: users
    do one thing at a time. Both are sorted, so the j-th user has to fit the j-th number."""
    return all(last < number for number, last in zip(missing, waiting, strict=False))


def totals(found: Evidence, path: Path, requests: NDArray[Any], events: NDArray[Any], host: str) -> None:
    """Locust's own count must be the rows without the cut ones."""
    try:
        counted = int(json.loads(path.read_text(encoding="utf-8"))["requests"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        found.notes.append(f"{host}: {path.name} cannot be read; Locust's own count is unknown")
        # a worker that was killed leaves no count; one whose users all stopped got to its end
        stopped = np.count_nonzero(events["kind"] == formats.KIND_USER_STOPPED)
        if not stopped or stopped < np.count_nonzero(events["kind"] == formats.KIND_USER_STARTED):
            found.say_tail()
        return
    rows = int(np.count_nonzero(requests["error"] != formats.ERROR_CLASSES.index("cut")))
    if counted != rows:
        note = f"{host}: {path.name}: Locust counted {counted} requests, its rows are {rows}"
        found.say_tail(note) if rows < counted else found.say_hole(note)
