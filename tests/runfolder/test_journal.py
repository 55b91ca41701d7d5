"""The journal: in order, flushed, readable after a kill at any byte."""

from __future__ import annotations

import json
import resource
import threading
from pathlib import Path

import pytest

from loadproof.errors import LocalDisk, RecordUnreadable
from loadproof.runfolder import journal
from loadproof.runfolder.journal import Journal


def test_every_line_is_there_before_the_next(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as open_journal:
        open_journal.write("reset", "begin")
        assert len(journal.read(path).lines) == 1
        open_journal.write("reset", "action", action="stop", host="a", seconds="0.1", detail="ü\n\x1b")
    lines = journal.read(path).lines
    assert [(line["stage"], line["event"]) for line in lines] == [("reset", "begin"), ("reset", "action")]
    assert lines[1]["detail"] == "ü\n\x1b"
    assert lines[0]["realtime_us"] <= lines[1]["realtime_us"]
    assert lines[0]["monotonic_ns"] < lines[1]["monotonic_ns"]


def test_cut_at_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as open_journal:
        for number in range(3):
            open_journal.write("load", "action", detail=f"ü{number}")
    data = path.read_bytes()
    ends = [number + 1 for number, byte in enumerate(data) if byte == 10]
    for cut in range(len(data) + 1):
        path.write_bytes(data[:cut])
        whole = sum(end <= cut for end in ends)
        on_end = cut == 0 or cut in ends
        # a line that lacks only its end is whole
        complete = whole + (cut + 1 in ends)
        found = journal.read(path)
        assert len(found.lines) == complete
        assert found.cut == (0 if on_end or cut + 1 in ends else 1)


def test_going_on_after_a_cut_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"stage":"a","event":"begin"}\n{"stage":"a","ev')
    with Journal(path) as open_journal:
        open_journal.write("b", "begin")
    found = journal.read(path)
    assert [line["stage"] for line in found.lines] == ["a", "b"]
    assert found.cut == 1


def test_threads_do_not_mix_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path) as open_journal:
        work = [
            threading.Thread(
                target=lambda n=n: [open_journal.write("x", "action", host=str(n)) for _ in range(50)]  # type: ignore[misc]
            )
            for n in range(8)
        ]
        for thread in work:
            thread.start()
        for thread in work:
            thread.join()
    assert len(journal.read(path).lines) == 400
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_no_journal(tmp_path: Path) -> None:
    with pytest.raises(RecordUnreadable, match="No such file"):
        journal.read(tmp_path / "none")


def test_what_is_no_object_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.write_bytes(b'1\n"x"\n{}\n\xff\xfe\n')
    found = journal.read(path)
    assert (len(found.lines), found.cut) == (1, 3)


def test_a_full_disk_is_said_and_a_torn_line_does_not_spoil_the_next(tmp_path: Path) -> None:
    with Journal(Path("/dev/full")) as full, pytest.raises(LocalDisk, match="No space left"):
        full.write("load", "begin")
    path = tmp_path / "journal.jsonl"
    with Journal(path) as open_journal:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
        try:
            with pytest.raises(LocalDisk, match="too large"):
                open_journal.write("load", "begin", detail="x" * 100)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        assert path.stat().st_size == 100
        open_journal.write("load", "end")
    found = journal.read(path)
    assert ([line["event"] for line in found.lines], found.cut) == (["end"], 1)


def test_a_line_nested_too_deeply_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_text("[" * 100_000 + "\n" + '{"a": 1}\n')
    assert journal.read(path) == journal.Lines(({"a": 1},), 1)
