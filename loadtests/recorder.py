"""One 64-byte row per event, in the kernel before the greenlet yields: readable after any kill.

The layout is that of the raw file `requests-<worker>.rows`; tests read what is written here with the control
machine's schema. No Locust import.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time

MAGIC, FORMAT = b"LPCLIENT", 1
HEADER = struct.Struct("<8sHHHHqqI28s")
ROW = struct.Struct("<BBHHHQIHHqqqqII")
SECOND = struct.Struct("<B7xQIIqqqqq")
KIND_REQUEST, KIND_USER_STARTED, KIND_USER_STOPPED, KIND_SECOND = 1, 2, 3, 4

ERRORS = ("", "refused", "connect_timeout", "reset", "closed", "timeout", "http", "scenario", "cut", "other")
OK, REFUSED, CONNECT_TIMEOUT, RESET, CLOSED, TIMEOUT, HTTP, SCENARIO, CUT, OTHER = range(len(ERRORS))

MOST_NAMES = 2000  # a scenario that does not group its names must not make the side file grow without end
MORE_NAMES = "(more names)"


class Recorder:
    """Writes the rows of one Locust worker. Times passed in are CLOCK_MONOTONIC nanoseconds; 0 means never."""

    def __init__(self, folder: str, worker: int) -> None:
        self._names_path = os.path.join(folder, f"names-{worker}.json")
        # Two trials in one file could not be told apart afterwards: an existing file is an error (FileExistsError).
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(os.path.join(folder, f"requests-{worker}.rows"), flags, 0o644)
        monotonic_ns = time.monotonic_ns()
        realtime_us = time.time_ns() // 1000
        self._offset_ns = realtime_us * 1000 - monotonic_ns
        self._names: dict[str, int] = {}
        self.lost_rows = 0
        self._write(
            HEADER.pack(
                MAGIC, FORMAT, ROW.size, worker, 0, realtime_us, monotonic_ns, os.getpid() & 0xFFFFFFFF, b""
            )
        )
        self.name("")

    def request(
        self,
        error: int,
        status: int,
        name: str,
        error_name: str,
        request_id: int,
        user: int,
        port: int,
        start_ns: int,
        first_ns: int,
        end_ns: int,
        received: int,
        think_us: int,
    ) -> None:
        """Write the row of one request that ended: answered, failed or cut off."""
        offset, names = self._offset_ns, self._names
        start_us = (start_ns + offset) // 1000
        self._write(
            ROW.pack(
                KIND_REQUEST,
                error,
                status,
                names[name] if name in names else self.name(name),
                self.name(error_name) if error_name else 0,
                request_id,
                user,
                port,
                0,
                start_us,  # intended: a closed loop means to send when it sends
                start_us,
                (first_ns + offset) // 1000 if first_ns else 0,
                (end_ns + offset) // 1000,
                received if received < 0xFFFFFFFF else 0xFFFFFFFF,
                think_us if think_us < 0xFFFFFFFF else 0xFFFFFFFF,
            )
        )

    def user(self, kind: int, user: int) -> None:
        """Write that a user started or stopped, now."""
        now_us = (time.monotonic_ns() + self._offset_ns) // 1000
        self._write(ROW.pack(kind, 0, 0, 0, 0, 0, user, 0, 0, 0, now_us, 0, 0, 0, 0))

    def second(self, users: int, lag_max_us: int, lag_p99_us: int, cpu_ns: int) -> None:
        """Write the state of the worker in the second that ends now."""
        now_us = (time.monotonic_ns() + self._offset_ns) // 1000
        self._write(SECOND.pack(KIND_SECOND, 0, users, 0, now_us, lag_max_us, lag_p99_us, cpu_ns, 0))

    def name(self, name: str) -> int:
        """Index of `name` in the side file, which holds it before any row can refer to it."""
        index = self._names.get(name)
        if index is not None:
            return index
        if len(self._names) >= MOST_NAMES and name != MORE_NAMES:
            return self.name(MORE_NAMES)
        self._names[name] = len(self._names)
        replace_json(self._names_path, list(self._names))
        return self._names[name]

    def close(self) -> None:
        """Close the file; later calls write nothing. May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _write(self, row: bytes) -> None:
        try:
            written = os.write(self._fd, row)
        except OSError as error:
            self._lose(row, 0, error)
            return
        if written != len(row):
            self._lose(row, written, None)

    def _lose(self, row: bytes, written: int, error: OSError | None) -> None:
        """A full disk may take half a row: cut it off again, so that the rows after it can be read."""
        if self._fd < 0:
            return
        if written:
            os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
        self.lost_rows += 1
        if self.lost_rows == 1:
            sys.stderr.write(f"loadproof: a row was lost: {error or 'short write'}\n")


def replace_json(path: str, value: object) -> None:
    """Write `value` as JSON to `path`: at any moment there is the old file or the new one, whole."""
    temporary = f"{path}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        json.dump(value, file)
    os.replace(temporary, path)
