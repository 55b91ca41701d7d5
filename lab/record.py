"""What is written down of a lab: state.json, enough to repair it or to end it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lab.config import LabConfig, LabHost
from loadproof.errors import LabUnavailable

FORMAT = 1
LOCK_WAIT_S = 180.0


@dataclass(frozen=True)
class Record:
    """What `up` began: enough to repair it or to end it, whatever happened since."""

    suite: str = ""
    image: str = ""
    bridge: str = ""
    net: str = ""
    hosts: tuple[LabHost, ...] = ()
    inotify_before: int | None = None  # fs.inotify.max_user_instances as it was before we raised it
    inotify_raised: int | None = None
    network_manager: bool = False  # a file of ours tells NetworkManager to leave the bridge alone


@contextmanager
def locked(config: LabConfig) -> Iterator[None]:
    """Hold the lab's lock. Raises LabUnavailable when somebody else holds it for minutes."""
    config.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(config.lock, timeout=LOCK_WAIT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise LabUnavailable(
            f"another lab command of this clone has been at work for {LOCK_WAIT_S:.0f} s",
            where=str(config.lock),
            kept="nothing was touched",
            next="inv lab.status",
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_text(path: Path, text: str) -> None:
    """Write a file whole: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


def read_record(config: LabConfig) -> Record:
    """The record of this lab; an empty one when there is none, or none that can be read."""
    values = read_json(config.record)
    if not values or values.get("format") != FORMAT:
        return Record()
    hosts = tuple(LabHost(**host) for host in values["hosts"])
    return Record(**{**{key: values[key] for key in values if key != "format"}, "hosts": hosts})


def write_record(config: LabConfig, record: Record) -> None:
    """Write the record, if it says anything new."""
    if read_record(config) != record:
        write_text(config.record, json.dumps({"format": FORMAT, **asdict(record)}, indent=1) + "\n")


def without(record: Record, name: str) -> Record:
    """The record less one host."""
    return replace(record, hosts=tuple(host for host in record.hosts if host.name != name))


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when there is none."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None
