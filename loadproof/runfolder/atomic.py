"""Files that are whole or not there: temporary name, fsync, rename, fsync of the folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from loadproof.runfolder import disk


def write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Replace `path` by `data`. On any error what was there before stays, and no temporary file. Raises LocalDisk."""
    with disk.writing(path), whole(path, mode) as file:
        file.write(data)


@contextmanager
def replacing(path: Path, mode: int = 0o644, lasting: bool = True) -> Iterator[Path]:
    """The name of an empty file to write into, which takes the place of `path` at the end of the block; on any error what
    was there before stays, and no temporary file. `lasting`: as for `settle`."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    try:
        yield Path(name)
        os.chmod(name, mode)
        settle(Path(name), path, lasting)
    except BaseException:
        with suppress(OSError):
            os.unlink(name)
        raise


@contextmanager
def whole(path: Path, mode: int = 0o644) -> Iterator[BinaryIO]:
    """The same, as a file that is open."""
    with replacing(path, mode) as name, name.open("wb") as file:
        yield file


def write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace `path` by `text` in UTF-8."""
    write_bytes(path, text.encode(), mode)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by a JSON document, indented for people, keys as they come."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    # words and file names that are not UTF-8 come as half surrogate pairs, which JSON can spell and UTF-8 cannot
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


def link(path: Path, target: str) -> None:
    """Make `path` a symbolic link to `target`, replacing the link that was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with suppress(FileNotFoundError):
        temporary.unlink()
    temporary.symlink_to(target)
    os.rename(temporary, path)
    sync_folder(path.parent)


def settle(temporary: Path, path: Path, lasting: bool = True) -> None:
    """Put a file that was written whole in its place, so that it survives a power cut. Not `lasting`: a file that is made
    again when it cannot be read is not waited for until it is on the disk."""
    if lasting:
        _sync(temporary)
    os.rename(temporary, path)
    if lasting:
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Make renames in a folder survive a power cut."""
    _sync(path)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
