"""One process at a time conducts a run: a lock on its folder, which the kernel gives back when that process ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

from loadproof.errors import Refused
from loadproof.runfolder.paths import RunFolder

NAME = ".conductor"


@contextlib.contextmanager
def conducted(folder: RunFolder) -> Iterator[None]:
    """Hold the run while the block conducts it. Raises Refused, naming the process, while another does."""
    descriptor = os.open(folder.path / NAME, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            pid = os.pread(descriptor, 20, 0).decode(errors="replace").strip() or "?"
            raise Refused(
                f"run {folder.id} is being conducted right now, by process {pid} of this machine",
                where=f"run {folder.id}",
                kept="nothing was touched",
                next="wait for it, or end it with Ctrl-C where it runs",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def is_conducted(folder: RunFolder) -> bool:
    """Whether some process conducts the run now."""
    try:
        descriptor = os.open(folder.path / NAME, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False
