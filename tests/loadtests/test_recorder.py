"""The recorder's bytes, read with the control machine's schema."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from loadproof.runfolder import formats
from loadtests import recorder
from loadtests.recorder import Recorder


def rows(folder: Path, worker: int) -> np.ndarray:
    raw = (folder / f"requests-{worker}.rows").read_bytes()
    read = np.frombuffer(raw[formats.HEADER.itemsize :], formats.CLIENT_ROW)
    return read[read["kind"] != 0]


def write_one(target: Recorder, name: str = "/", error_name: str = "") -> None:
    now = time.monotonic_ns()
    attempt = SimpleNamespace(
        id=7 << 48 | 5,
        name=name,
        port=40000,
        status=200,
        received=5,
        think_us=1234,
        intended_ns=0,
        start_ns=now,
        first_ns=now + 2_000_000,
        end_ns=now + 3_000_000,
    )
    target.request(attempt, recorder.OTHER if error_name else recorder.OK, error_name, 3)


def test_constants_are_the_schema() -> None:
    assert recorder.HEADER.size == formats.HEADER.itemsize
    assert recorder.ROW.size == recorder.SECOND.size == formats.CLIENT_ROW.itemsize
    assert recorder.ERRORS == formats.ERROR_CLASSES
    assert recorder.MAGIC == formats.CLIENT_MAGIC
    kinds = (
        recorder.KIND_REQUEST,
        recorder.KIND_USER_STARTED,
        recorder.KIND_USER_STOPPED,
        recorder.KIND_SECOND,
    )
    assert kinds == (
        formats.KIND_REQUEST,
        formats.KIND_USER_STARTED,
        formats.KIND_USER_STOPPED,
        formats.KIND_SECOND,
    )


def test_header_and_rows(tmp_path: Path) -> None:
    before = time.time_ns() // 1000
    target = Recorder(str(tmp_path), 7)
    write_one(target)
    target.user(recorder.KIND_USER_STARTED, 3)
    target.second(4, 900, 300, 123456789)
    raw = (tmp_path / "requests-7.rows").read_bytes()  # not closed yet: rows are in the kernel when written
    target.close()
    after = time.time_ns() // 1000
    header = np.frombuffer(raw[:64], formats.HEADER)[0]
    assert (header["magic"], header["format"], header["row_size"]) == (b"LPCLIENT", 1, 64)
    assert (header["worker"], header["pid"]) == (7, os.getpid())
    assert before <= header["realtime_us"] <= after
    request, user, _ = rows(tmp_path, 7)
    assert int(request["id"]) == 7 << 48 | 5
    assert formats.worker_of(request["id"]) == 7
    assert (request["status"], request["user"], request["port"], request["bytes"]) == (200, 3, 40000, 5)
    assert before <= request["start_us"] <= after
    assert request["intended_us"] == request["start_us"]
    assert request["first_us"] - request["start_us"] == pytest.approx(2000, abs=1)
    assert request["end_us"] - request["start_us"] == pytest.approx(3000, abs=1)
    assert request["think_us"] == 1234
    assert (user["kind"], user["user"]) == (formats.KIND_USER_STARTED, 3)
    second = np.frombuffer(raw[64 * 3 : 64 * 4], formats.SECOND_ROW)[0]
    assert not any(raw[64 * 4 :])
    assert (tmp_path / "requests-7.rows").stat().st_size == 64 * 4
    assert (second["kind"], second["users"], second["cpu_ns"]) == (formats.KIND_SECOND, 4, 123456789)
    assert (second["lag_max_us"], second["lag_p99_us"]) == (900, 300)


def test_names_are_there_before_their_row(tmp_path: Path) -> None:
    target = Recorder(str(tmp_path), 1)
    write_one(target, "/items/{item_id}")
    write_one(target, "/", "ValueError")
    names = json.loads((tmp_path / "names-1.json").read_text())
    read = rows(tmp_path, 1)
    assert [names[index] for index in read["name"]] == ["/items/{item_id}", "/"]
    assert [names[index] for index in read["error_name"]] == ["", "ValueError"]
    target.close()


def test_names_do_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_NAMES", 3)
    target = Recorder(str(tmp_path), 1)
    for number in range(9):
        write_one(target, f"/{number}")
    target.close()
    names = json.loads((tmp_path / "names-1.json").read_text())
    assert names == ["", "/0", "/1", recorder.MORE_NAMES]
    assert [names[index] for index in rows(tmp_path, 1)["name"]][2:] == [recorder.MORE_NAMES] * 7


def test_names_of_errors_have_room_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "MOST_NAMES", 3)
    monkeypatch.setattr(recorder, "MOST_ERRORS", 3)
    target = Recorder(str(tmp_path), 1)
    for number in range(9):
        write_one(target, f"/{number}")
    errors = ("ValueError", "EMFILE", "KeyError", "TypeError")
    for error in errors:
        write_one(target, "/", error)
    target.close()
    names = json.loads((tmp_path / "names-1.json").read_text())
    assert names == ["", "/0", "/1", recorder.MORE_NAMES, "ValueError", "EMFILE"]
    found = [names[index] for index in rows(tmp_path, 1)["error_name"]][9:]
    assert found == [*errors[:2], *[recorder.MORE_NAMES] * 2]


def test_more_rows_than_a_window(tmp_path: Path) -> None:
    target = Recorder(str(tmp_path), 1)
    for _ in range(3 * recorder.WINDOW // 64):
        write_one(target)
    assert len(rows(tmp_path, 1)) == 3 * recorder.WINDOW // 64
    target.user(recorder.KIND_USER_STOPPED, 9)
    target.close()
    read = rows(tmp_path, 1)
    assert len(read) == 3 * recorder.WINDOW // 64 + 1
    assert (read["status"][:-1] == 200).all()
    assert read["user"][-1] == 9


def test_a_full_disk_costs_whole_rows_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = Recorder(str(tmp_path), 1)
    full = OSError(28, "No space left on device")
    room = recorder.WINDOW // 64 - 1
    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", lambda *_: (_ for _ in ()).throw(full))
        for _ in range(room + 2):
            write_one(target)
    write_one(target)
    target.close()
    assert target.lost_rows == 2
    assert "a row was lost" in capsys.readouterr().err
    assert len(rows(tmp_path, 1)) == room + 1


def test_two_trials_never_share_a_file(tmp_path: Path) -> None:
    Recorder(str(tmp_path), 1).close()
    with pytest.raises(FileExistsError):
        Recorder(str(tmp_path), 1)


def test_closed_is_closed(tmp_path: Path) -> None:
    target = Recorder(str(tmp_path), 1)
    target.close()
    target.close()
    write_one(target)
    assert target.lost_rows == 0
    assert len(rows(tmp_path, 1)) == 0
