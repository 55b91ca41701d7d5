"""The disk of this machine: what goes wrong there is said as such, and never blamed on a host or on us."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadproof.errors import LocalDisk

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around everything that makes or writes `path`. Raises LocalDisk for a full, closed or broken disk."""
    try:
        yield
    except OSError as error:
        problem = trouble(error, path)
        if problem is None:
            raise
        raise problem from error


def trouble(error: BaseException, path: Path | None = None) -> LocalDisk | None:
    """What an OSError means when it is the disk's; None when it is something else. `path`: what was being written."""
    if not isinstance(error, OSError) or error.errno not in (*FULL, *FORBIDDEN, errno.EIO):
        return None
    if path is None and not error.filename and error.errno not in FULL:
        return None  # not of a file, as far as we know
    what = "cannot write" if path else "cannot read or write"
    # of a file that nobody spoke of, only its name is known
    elsewhere = "or name another folder in $LOADPROOF_RESULTS; " if path else ""
    path = path or Path(str(error.filename or "."))
    folder = next(one for one in (path, *path.absolute().parents) if one.is_dir())
    if error.errno in FULL:
        then = f"make room for {folder} (or raise its limit), then the same command again"
    elif error.errno in FORBIDDEN:
        then = f"allow us to {what.removeprefix('cannot ')} in {folder}, {elsewhere}then the same command"
    else:
        then = f"look after the disk of {folder}"
    free = shutil.disk_usage(folder).free // 10**6
    return LocalDisk(
        # of what Arrow raises the errno is the system's, the words are not
        f"{what} {path}: {os.strerror(error.errno)} ({free} MB are free there)",
        where=f"this machine, {folder}",
        kept="what was written before; the hosts keep what is theirs",
        next=then,
    )


def output_trouble(error: OSError) -> LocalDisk:
    """Standard output cannot be written: the file it goes to is on a full disk, for example."""
    return LocalDisk(
        f"standard output could not be written: {error.strerror}",
        where="this machine, where the output goes to",
        kept="whatever was done until then; only its output is not whole",
        next="let the output go to where there is room, then the same command",
    )
