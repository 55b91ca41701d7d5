"""What happened, in order: one JSON object per line, appended and flushed at once, readable after any kill."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadproof.errors import RecordUnreadable
from loadproof.runfolder import disk


class Journal:
    """An open journal.jsonl. Lines of several threads do not mix; a line cut by an earlier kill is ended first."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        with disk.writing(path):
            # without a buffer: what a full disk did not take must not come later, in the middle of something else
            self._file = path.open("ab", buffering=0)
            self._torn = self._file.tell() > 0 and not path.read_bytes().endswith(b"\n")

    def write(self, stage: str, event: str, **fields: Any) -> None:
        """Append one event: both clocks, stage, event, and fields (action, host, seconds, detail). Raises LocalDisk."""
        line = {
            "realtime_us": time.time_ns() // 1000,
            "monotonic_ns": time.monotonic_ns(),
            "stage": stage,
            "event": event,
            **fields,
        }
        data = json.dumps(line, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n"
        with self._lock, disk.writing(self.path):
            left = memoryview(b"\n" + data if self._torn else data)
            self._torn = True  # until all of it is there
            while left:
                left = left[self._file.write(left) :]
            self._torn = False

    def close(self) -> None:
        """End it."""
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


@dataclass(frozen=True)
class Lines:
    """What a file of JSON lines holds, and how many of its lines could not be read (cut by a kill)."""

    lines: tuple[dict[str, Any], ...]
    cut: int


def last_try(lines: Sequence[dict[str, Any]]) -> tuple[dict[str, Any], ...]:
    """Of the lines of a journal those since its trial was last run from its beginning: what ended before its load is no
    part of what was measured later."""
    begun = [
        number
        for number, line in enumerate(lines)
        if (line.get("stage"), line.get("event")) == ("reset", "begin")
    ]
    return tuple(lines[begun[-1] :] if begun else lines)


def read(path: Path) -> Lines:
    """Read a journal, or any file of JSON objects. Raises RecordUnreadable when there is no such file."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise RecordUnreadable(f"{path}: {error.strerror}", where=str(path)) from None
    lines: list[dict[str, Any]] = []
    cut = 0
    for line in text.split("\n"):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            cut += 1
            continue
        if isinstance(value, dict):
            lines.append(value)
        else:
            cut += 1
    return Lines(tuple(lines), cut)
