"""One 64-byte row per event, in the kernel before the greenlet yields: readable after any kill.

The layout is that of the raw file `requests-<worker>.rows`; tests read what is written here with the control
machine's schema. No Locust import.
"""

from __future__ import annotations

import json
import mmap
import os
import struct
import sys
import time
from typing import Protocol

MAGIC, FORMAT = b"LPCLIENT", 1
HEADER = struct.Struct("<8sHHHHqqI28s")
ROW = struct.Struct("<BBHHHQIHHqqqqII")
SECOND = struct.Struct("<B7xQIIqqqqq")
KIND_REQUEST, KIND_USER_STARTED, KIND_USER_STOPPED, KIND_SECOND = 1, 2, 3, 4

ROW_SIZE = ROW.size
MOST = 0xFFFFFFFF  # what a field of 32 bits holds
WINDOW = 1 << 18  # bytes mapped at a time: whole pages, whole rows

ERRORS = (
    "",
    "refused",
    "connect_timeout",
    "reset",
    "closed",
    "timeout",
    "http",
    "scenario",
    "cut",
    "other",
    "not_made",
)
OK, REFUSED, CONNECT_TIMEOUT, RESET, CLOSED, TIMEOUT, HTTP, SCENARIO, CUT, OTHER, NOT_MADE = range(
    len(ERRORS)
)

MOST_NAMES = 2000  # a scenario that does not group its names must not make the side file grow without end
MOST_ERRORS = 200  # names of errors for which there is room all the same
MORE_NAMES = "(more names)"


class Request(Protocol):
    """What a row says of a request; see the layout of the raw file."""

    id: int
    name: str
    port: int
    status: int
    received: int
    think_us: int
    intended_ns: int  # 0: when it was sent
    start_ns: int
    first_ns: int
    end_ns: int


class Recorder:
    """Writes the rows of one Locust worker. Times passed in are CLOCK_MONOTONIC nanoseconds; 0 means never.

    The file is a shared mapping: a row is in the kernel's page cache when it is in memory, for the price of a copy
    (a system call for each row cost 9 % more CPU per request, measured). The file grows by whole windows, so after a
    kill it ends in rows of kind 0, which were never written; `close` cuts them off. The kind is written last: a row
    that has one is whole.
    """

    def __init__(self, folder: str, worker: int) -> None:
        self._names_path = os.path.join(folder, f"names-{worker}.json")
        # Two trials in one file could not be told apart afterwards: an existing file is an error (FileExistsError).
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._fd = os.open(os.path.join(folder, f"requests-{worker}.rows"), flags, 0o644)
        self._base, self._next = -WINDOW, WINDOW
        self._map: mmap.mmap
        self._pack = ROW.pack_into
        self._names: dict[str, int] = {}
        self.lost_rows = 0
        self._reserve()
        monotonic_ns = time.monotonic_ns()
        realtime_us = time.time_ns() // 1000
        self._offset_ns = realtime_us * 1000 - monotonic_ns
        pid = os.getpid() & 0xFFFFFFFF
        HEADER.pack_into(
            self._map, 0, MAGIC, FORMAT, ROW.size, worker, 0, realtime_us, monotonic_ns, pid, b""
        )
        self._next = HEADER.size
        self.name("")

    def request(self, attempt: Request, error: int, error_name: str, user: int) -> None:
        """Write the row of one request that ended: answered, failed or cut off."""
        # Runs once a request, its code cold each time: every step taken here is paid in the users' CPU.
        at = self._next
        if at >= WINDOW:
            if not self._grow():
                return
            at = 0
        offset, first_ns = self._offset_ns, attempt.first_ns
        start_us = (attempt.start_ns + offset) // 1000
        # a closed loop means to send when it sends
        intended_ns = attempt.intended_ns
        try:
            self._pack(
                self._map,
                at,
                0,
                error,
                attempt.status,
                self._names[attempt.name],
                self.name(error_name) if error_name else 0,
                attempt.id,
                user,
                attempt.port,
                0,
                (intended_ns + offset) // 1000 if intended_ns else start_us,
                start_us,
                (first_ns + offset) // 1000 if first_ns else 0,
                (attempt.end_ns + offset) // 1000,
                attempt.received,
                attempt.think_us,
            )
        except KeyError:
            attempt.name = self._known(attempt.name, MOST_NAMES)
            self.request(attempt, error, error_name, user)
            return
        except struct.error:  # a body of 4 GiB
            attempt.received = min(attempt.received, MOST)
            attempt.think_us = min(attempt.think_us, MOST)
            self.request(attempt, error, error_name, user)
            return
        self._map[at] = KIND_REQUEST
        self._next = at + ROW_SIZE

    def user(self, kind: int, user: int) -> None:
        """Write that a user started or stopped, now."""
        now_us = (time.monotonic_ns() + self._offset_ns) // 1000
        self._write(kind, ROW.pack(0, 0, 0, 0, 0, 0, user, 0, 0, 0, now_us, 0, 0, 0, 0))

    def second(self, users: int, lag_max_us: int, lag_p99_us: int, cpu_ns: int) -> None:
        """Write the state of the worker in the second that ends now."""
        now_us = (time.monotonic_ns() + self._offset_ns) // 1000
        self._write(KIND_SECOND, SECOND.pack(0, 0, users, 0, now_us, lag_max_us, lag_p99_us, cpu_ns, 0))

    def name(self, name: str) -> int:
        """Index of the name of an error in the side file, which holds it before any row can refer to it."""
        return self._names[self._known(name, MOST_NAMES + MOST_ERRORS)]

    def _known(self, name: str, most: int) -> str:
        """The name itself, entered if it is new; or the one that stands for all when there are too many."""
        if name in self._names:
            return name
        if len(self._names) >= most and name != MORE_NAMES:
            return self._known(MORE_NAMES, most)
        self._names[name] = len(self._names)
        replace_json(self._names_path, list(self._names))
        return name

    def close(self) -> None:
        """Cut off what was reserved and not written, and close; later calls write nothing. May be called twice."""
        if self._fd < 0:
            return
        end = self._base + self._next
        self._map.close()
        os.ftruncate(self._fd, end)
        os.close(self._fd)
        self._fd, self._next = -1, WINDOW

    def _write(self, kind: int, row: bytes) -> None:
        if self._next >= WINDOW and not self._grow():
            return
        at = self._next
        self._map[at : at + ROW_SIZE] = row
        self._map[at] = kind
        self._next = at + ROW_SIZE

    def _grow(self) -> bool:
        """Make room for the next row; False: there is none, and the row is lost (a gap will tell)."""
        if self._fd < 0:
            return False
        try:
            self._reserve()
        except OSError as error:
            self.lost_rows += 1
            if self.lost_rows == 1:
                sys.stderr.write(f"loadproof: a row was lost: {error}\n")
            return False
        return True

    def _reserve(self) -> None:
        # Blocks are allocated before they are mapped: a full disk is an error here, not a deadly signal later.
        os.posix_fallocate(self._fd, self._base + WINDOW, WINDOW)
        # All pages at once: 64 faults, one each 64 rows, cost more than the rows.
        flags = mmap.MAP_SHARED | mmap.MAP_POPULATE
        self._map = mmap.mmap(self._fd, WINDOW, flags, offset=self._base + WINDOW)
        self._base += WINDOW
        self._next = 0


def replace_json(path: str, value: object) -> None:
    """Write `value` as JSON to `path`: at any moment there is the old file or the new one, whole."""
    temporary = f"{path}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(temporary, path)
