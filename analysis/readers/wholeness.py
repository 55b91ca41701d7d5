"""Are the rows of a Locust worker all there? By their numbers, their times, Locust's own count, and what was sealed.

Rows come chunk by chunk; what is kept of them is one byte for each, in the numbers that were seen."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.readers import lines
from analysis.readers.outcome import plural
from analysis.readers.rowfile import RowFile, Unwritten
from analysis.readers.sealed import Seal
from loadproof.runfolder import formats

EARLY_US = 60_000_000  # a row may be so much older than its file: never, but clocks are read apart
LATE_US = (
    600_000_000  # and end so much after the planned end: workers wait for each other, and for the end of all
)
NONE = np.zeros(0, np.uint64)


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


@dataclass
class Good:
    """The rows that can be true, of chunks in the order of the file. A file that was not closed ends in room for rows, of
    kind 0: no loss; before a row that was written it is one. `end_s`: the planned end of the load."""

    file: RowFile
    end_s: float
    kinds: Unwritten = field(default_factory=Unwritten)
    strange: lines.Malformed = field(default_factory=lines.Malformed)
    untrue: lines.Malformed = field(default_factory=lines.Malformed)

    def of(self, rows: NDArray[Any]) -> NDArray[Any]:
        """Those of the next chunk."""
        kind = rows["kind"]
        self.kinds.add(kind != 0)
        second = kind == formats.KIND_SECOND
        begin = np.where(second, rows.view(formats.SECOND_ROW)["start_us"], rows["start_us"])
        end = np.where(kind == formats.KIND_REQUEST, rows["end_us"], begin)
        from_us = self.file.realtime_us - EARLY_US
        to_us = self.file.realtime_us + round(self.end_s * 1e6) + LATE_US
        due = np.where(kind == formats.KIND_REQUEST, rows["intended_us"], begin)
        known = (kind != 0) & (kind <= formats.KIND_SECOND)
        true = known & (due >= from_us) & (due <= begin) & (begin <= end) & (end <= to_us)
        if true.all():
            return rows
        self.strange.add_rows(rows[kind > formats.KIND_SECOND])
        self.untrue.add_rows(rows[known & ~true])
        kept: NDArray[Any] = rows[true]
        return kept

    @property
    def malformed(self) -> int:
        """Rows that are not used, or that were never written before others were, or that were cut."""
        return self.kinds.lost + self.strange.count + self.untrue.count + self.file.cut

    @property
    def all(self) -> int:
        """Rows up to the last one that was written, and a cut one."""
        return self.kinds.written + self.kinds.lost + self.file.cut

    def conclude(self, found: Evidence, label: str) -> None:
        """Say what was odd."""
        if not self.kinds.written:
            found.say_tail(f"{label}: holds no rows")
        if self.kinds.lost:
            found.say_hole(f"{label}: {plural(self.kinds.lost, 'row')} never written before rows that were")
        if self.strange.count:
            found.say_hole(
                f"{label}: {plural(self.strange.count, 'row')} of no known kind{self.strange.shown}"
            )
        if self.untrue.count:
            said = (
                f"{plural(self.untrue.count, 'row')} set aside, with times that cannot be{self.untrue.shown}"
            )
            found.say_hole(f"{label}: {said}")


class Numbers:
    """A worker numbers its requests from 0: each number that is not there is a lost row, or a request in flight when
    the rows ended. `most`: rows of the file; a number that is not below it leaves more missing than can be in flight."""

    def __init__(self, worker: int, most: int) -> None:
        self.worker = worker
        self.count = self.others = self.highest = 0
        self._seen = np.zeros(most, bool)
        self._beyond: list[
            NDArray[np.uint64]
        ] = []  # ids may be forged: as many as there are rows, and of any size

    def add(self, requests: NDArray[Any]) -> None:
        """The next requests."""
        ids = requests["id"]
        mine = ids[formats.worker_of(ids) == self.worker]
        self.others += len(ids) - len(mine)
        if not len(mine):
            return
        self.count += len(mine)
        numbers = mine & formats.SEQUENCE
        self.highest = max(self.highest, int(numbers.max()))
        if self.highest >= len(self._seen):
            beyond = numbers >= len(self._seen)
            self._beyond.append(numbers[beyond])
            numbers = numbers[~beyond]
        self._seen[numbers.astype(np.int64)] = True

    def conclude(
        self, found: Evidence, requests: Iterable[NDArray[Any]], events: NDArray[Any], label: str
    ) -> None:
        """Say what is missing. `requests` are gone through once more when something may be in flight."""
        if self.others:
            found.say_hole(f"{label}: {plural(self.others, 'row')} with another worker's id")
        if not self.count:
            return
        distinct = int(np.count_nonzero(self._seen)) + len(np.unique(np.concatenate([*self._beyond, NONE])))
        if distinct != self.count:
            found.say_hole(f"{label}: {plural(self.count - distinct, 'id')} written twice")
        missing = self.highest + 1 - distinct
        if missing:
            note = f"{label}: {plural(missing, 'number')} missing in the sequence of requests"
            waiting = _waiting(requests, events)
            in_flight = missing <= len(waiting) and _may_be(self._absent(), waiting)
            found.say_tail(note) if in_flight else found.say_hole(note)

    def _absent(self) -> list[int]:
        """The numbers from 0 on that are not there, in order; there are few, and none is beyond."""
        absent: list[int] = np.flatnonzero(~self._seen[: self.highest + 1]).tolist()
        return absent


def _waiting(requests: Iterable[NDArray[Any]], events: NDArray[Any]) -> list[int]:
    """For each user who had not stopped the number of the last request with a row; -1 for none."""
    started = events["user"][events["kind"] == formats.KIND_USER_STARTED]
    stopped = events["user"][events["kind"] == formats.KIND_USER_STOPPED]
    users = np.setdiff1d(started, stopped)
    highest = np.full(len(users), -1, np.int64)
    if len(users):
        for rows in requests:
            at = np.minimum(np.searchsorted(users, rows["user"]), len(users) - 1)
            here = users[at] == rows["user"]
            np.maximum.at(highest, at[here], (rows["id"][here] & formats.SEQUENCE).astype(np.int64))
    return sorted(highest.tolist())


def _may_be(missing: list[int], waiting: list[int]) -> bool:
    """Whether each missing number can be the request of another waiting user, later than that user's last row: users
    do one thing at a time. Both are sorted, so the j-th user has to fit the j-th number."""
    return all(last < number for number, last in zip(missing, waiting, strict=False))


def totals(found: Evidence, path: Path, rows: int, events: NDArray[Any], host: str) -> None:
    """Locust's own count must be the rows without the cut ones, of which there are `rows`."""
    try:
        counted = int(json.loads(path.read_text(encoding="utf-8"))["requests"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
        found.notes.append(f"{host}: {path.name} cannot be read; Locust's own count is unknown")
        # a worker that was killed leaves no count; one whose users all stopped got to its end
        stopped = np.count_nonzero(events["kind"] == formats.KIND_USER_STOPPED)
        if not stopped or stopped < np.count_nonzero(events["kind"] == formats.KIND_USER_STARTED):
            found.say_tail()
        return
    if counted != rows:
        note = f"{host}: {path.name}: Locust counted {counted} requests, its rows are {rows}"
        found.say_tail(note) if rows < counted else found.say_hole(note)
