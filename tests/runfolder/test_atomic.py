"""Whole files or none."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from loadproof.errors import LocalDisk
from loadproof.runfolder import atomic, disk


def test_replaces_whole_and_leaves_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    atomic.write_text(path, "old")
    atomic.write_json(path, {"b": 1, "a": "ü"})
    assert json.loads(path.read_text()) == {"b": 1, "a": "ü"}
    assert os.listdir(tmp_path) == ["a.json"]
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("step", ["fsync", "rename"])
def test_an_error_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    path = tmp_path / "a"
    atomic.write_bytes(path, b"old")

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(LocalDisk, match="No space") as caught:
        atomic.write_bytes(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a"]
    assert all((str(tmp_path) in caught.value.where, caught.value.kept, "make room" in caught.value.next))


def test_what_can_be_made_again_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    for lasting, waits in ((False, 0), (True, 2)):
        with atomic.replacing(tmp_path / "a", lasting=lasting) as temporary:
            temporary.write_text(str(lasting))
        assert (tmp_path / "a").read_text() == str(lasting) and os.listdir(tmp_path) == ["a"]
        assert len(synced) == waits


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        atomic.write_bytes(tmp_path / "none" / "a", b"new")


def test_a_link_is_replaced(tmp_path: Path) -> None:
    atomic.link(tmp_path / "latest", "one")
    atomic.link(tmp_path / "latest", "two")
    assert os.readlink(tmp_path / "latest") == "two"
    assert os.listdir(tmp_path) == ["latest"]


def test_only_what_is_the_disks_is_blamed_on_it() -> None:
    full, closed = OSError(28, "No space left on device"), PermissionError(13, "Permission denied", "/etc/x")
    assert "No space left" in str(disk.trouble(full)) and "/etc/x" in str(disk.trouble(closed))
    assert disk.trouble(PermissionError(13, "Permission denied")) is None  # of a socket, perhaps
    assert disk.trouble(FileNotFoundError(2, "No such file", "/etc/x")) is None
    assert disk.trouble(ValueError()) is None


def test_the_folder_of_results_is_named_only_where_they_are_written(tmp_path: Path) -> None:
    closed = PermissionError(13, "Permission denied", str(tmp_path / "x"))
    ours, other = disk.trouble(closed, tmp_path), disk.trouble(closed)
    assert ours is not None and "LOADPROOF_RESULTS" in ours.next
    assert other is not None and "LOADPROOF_RESULTS" not in other.next and "read or write" in other.next
