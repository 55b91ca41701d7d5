"""The witness's row file: fixed-size rows in a shared mapping, so that kill -9 loses none of them.

Written here by `struct`, read on the control machine by loadproof/runfolder/formats.py (HEADER and APP_ROW); a contract
test holds the two together. The loop's thread appends and completes rows; another thread may seal a file at any time, so
every access to a mapping outside this module stands in `try … except SEALED`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
import sys
import threading
import time
from typing import Final

ROW_SIZE: Final = 64
HEADER_SIZE: Final = 64
HEADER: Final = struct.Struct("<8sHHHHqqI28s")
ROW: Final = struct.Struct("<QIHHBB6xqqqqq")  # id, connection, port, status, state, exception, 5 times
STATUS_AT, STATE_AT, EXCEPTION_AT, HANDED_AT, LOST_AT = 14, 16, 17, 40, 48
READ, HANDED, LOST = 1, 2, 4  # bits of `state`
SEALED: Final = (ValueError, TypeError)  # what an index, and what struct, say to a closed mapping
GROWTH: Final = 16384 * ROW_SIZE  # 1 MiB at a time: what a kill -9 leaves as rows that are not written
SETTLE_S: Final = 2.0  # a sealed file waits this long for its requests in flight
GRACE_S: Final = 0.1  # and at least this long: a broken pipe shows just after the answer was handed over


def say(sentence: str) -> None:
    """One line on stderr; a stderr that cannot be written is no reason to stop serving."""
    with contextlib.suppress(OSError):
        print(f"loadproof app: {sentence}", file=sys.stderr, flush=True)


def anchor() -> tuple[int, int]:
    """(realtime, monotonic) in ns, read together: the closest of five tries."""
    best = None
    for _ in range(5):
        before, real, after = time.monotonic_ns(), time.time_ns(), time.monotonic_ns()
        if best is None or after - before < best[0]:
            best = (after - before, real, (before + after) // 2)
    assert best is not None
    return best[1], best[2]


class RowFile:
    """One open file app-<pid>-<monotonic ns>.rows and its mapping; `end` is where the next row goes."""

    __slots__ = ("end", "fd", "folder", "limit", "mapping", "path", "shift")

    def __init__(self, out: str) -> None:
        """Makes the file in `out`, with room for rows. Raises OSError; then nothing is left behind."""
        real, monotonic = anchor()
        self.shift = real - monotonic  # epoch ns = CLOCK_MONOTONIC ns + shift
        self.folder = os.path.realpath(out)
        self.path = os.path.join(self.folder, f"app-{os.getpid()}-{time.monotonic_ns()}.rows")
        new = f"{self.path}.new"
        self.fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        try:
            self.limit = self.end = HEADER_SIZE
            os.posix_fallocate(self.fd, 0, HEADER_SIZE + GROWTH)
            self.mapping = mmap.mmap(self.fd, HEADER_SIZE + GROWTH)
            self.limit += GROWTH
            header = (b"LPAPPROW", 1, ROW_SIZE, 0, 0, real // 1000, monotonic, os.getpid(), b"")
            HEADER.pack_into(self.mapping, 0, *header)
            os.rename(new, self.path)  # under its name a file always has its header
        except OSError:
            os.close(self.fd)
            os.unlink(new)
            raise

    def grow(self) -> None:
        """Room for more rows. Raises OSError (the disk is full) or ValueError (sealed meanwhile)."""
        if self.mapping.closed:
            raise ValueError("sealed")
        # blocks first: writing to a mapping over blocks that a full disk cannot give would be a SIGBUS
        os.posix_fallocate(self.fd, self.limit, GROWTH)
        self.mapping.resize(self.limit + GROWTH)
        self.limit += GROWTH

    def settle(self, within: float) -> int:
        """Waits until no row is in flight, at most `within` seconds; the rows still in flight."""
        deadline = time.monotonic() + within
        time.sleep(max(0.0, min(GRACE_S, within)))
        first = HEADER_SIZE
        while True:
            states = self.mapping[first + STATE_AT : self.end : ROW_SIZE]
            open_rows = states.count(READ)
            if not open_rows or time.monotonic() >= deadline:
                return open_rows
            first += states.index(READ) * ROW_SIZE
            time.sleep(0.02)

    def close(self) -> None:
        """Cuts the file to its rows and lets go of it. Repeatable."""
        if self.mapping.closed:
            return
        # in this order: a mapping that outlives its file's end would turn the next row into a SIGBUS
        self.mapping.close()
        os.ftruncate(self.fd, self.end)
        os.close(self.fd)


class Nowhere:
    """Stands in for a row file when there is none: rows go to a scratch row that nobody reads."""

    __slots__ = ("end", "limit", "mapping", "shift")

    def __init__(self) -> None:
        self.mapping = bytearray(ROW_SIZE)
        self.end = self.limit = self.shift = 0  # always full, so that each request asks `Book.room`


class Book:
    """The row file in use, the ones being sealed, and how many rows were lost for want of disk."""

    def __init__(self, out: str) -> None:
        """Opens the first file in the folder `out` (a link may stand for it). Raises OSError."""
        self.out = out
        self.folder = os.path.realpath(out)
        self.lost = 0
        first = RowFile(out)
        self.file: RowFile | Nowhere = first
        self._held = [first]  # files that are still open
        self._swap = threading.Lock()  # taken only where files change, never for a row

    def room(self) -> tuple[RowFile | Nowhere, int]:
        """(file, offset) for one row when the file in use seemed full."""
        with self._swap:
            file = self.file
            if isinstance(file, RowFile) and file.end >= file.limit:
                try:
                    file.grow()
                except (OSError, ValueError) as error:
                    say(f"witness stopped: {error} ({file.path}); requests are served, their rows are lost")
                    file = self.file = Nowhere()
            if isinstance(file, Nowhere):
                self.lost += 1
                return file, 0
            offset = file.end
            file.end += ROW_SIZE
            return file, offset

    def reopen(self) -> None:
        """The next rows go to a new file in `out`, which may be a link that has moved; the old ones are sealed."""
        with self._swap:
            old, self._held = self._held, []
            left, self.folder = self.folder, os.path.realpath(self.out)
            try:
                self.file = new = RowFile(self.out)
                self._held.append(new)
            except OSError as error:
                say(f"witness stopped: {error}; requests are served, their rows are lost")
                self.file = Nowhere()
        deadline = time.monotonic() + SETTLE_S
        for file in old:
            file.settle(deadline - time.monotonic())
            file.close()
        if left != self.folder:
            move_logs(left, self.folder)

    def close(self) -> None:
        """Seals everything at once; rows of later requests are lost."""
        with self._swap:
            old, self._held, self.file = self._held, [], Nowhere()
        for file in old:
            file.close()


def move_logs(left: str, folder: str) -> None:
    """Lets stdout and stderr go on in `folder` where they were files of the folder `left`."""
    for fd in (1, 2):
        try:
            path = os.readlink(f"/proc/self/fd/{fd}")
            if os.path.dirname(path) != left:
                continue
            new = open_log(folder, os.path.basename(path))
        except OSError as error:
            say(f"log stays where it is: {error}")
            continue
        os.dup2(new, fd)
        os.close(new)


def open_log(folder: str, name: str) -> int:
    """A descriptor that appends to `name` in `folder`, or to a file of our own beside one that is not ours."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(os.path.join(folder, name), flags, 0o644)
    except PermissionError:
        # systemd made it as root for an earlier start
        return os.open(os.path.join(folder, f"app-{os.getpid()}.log"), flags, 0o644)
