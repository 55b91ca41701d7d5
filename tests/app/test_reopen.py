"""SIGUSR1 and full disks: the rows of a trial end with it, and the app goes on serving."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from app.rows import HEADER_SIZE, READ, ROW_SIZE, STATE_AT, Book, Nowhere, RowFile
from loadproof.runfolder.formats import APP_STATE_HANDED, APP_STATE_LOST, APP_STATE_READ
from tests.app.server import ODD, AppServer, app_with, read_rows, request, wait_for

Serve = Callable[..., AppServer]
DONE = APP_STATE_READ | APP_STATE_HANDED
SMALL = "import app.rows; app.rows.GROWTH = 8 * 64; from app.serve import main; sys.exit(main())"


@pytest.fixture
def odd(serve: Serve, tmp_path: Path) -> AppServer:
    """A server of the variant for faults."""
    return serve("odd", source=app_with(tmp_path / "copy", odd=ODD))


def released(server: AppServer, name: str = "first") -> float:
    """Waits until the process holds nothing of the folder; the seconds it took."""
    begun = time.monotonic()
    wait_for(lambda: not server.holds(name), "the folder is let go")
    return time.monotonic() - begun


def test_rows_and_log_go_on_in_the_new_folder(serve: Serve) -> None:
    server = serve()
    assert server.get("/", 1)[0] == 200
    assert server.holds()
    server.turn("second")
    released(server)
    (first,) = server.files()
    assert first.stat().st_size == 64 + 64
    assert server.get("/", 2)[0] == 200
    assert server.state(2, DONE | APP_STATE_LOST, "second")["connection"] == 2
    before = server.log()
    client = server.connect()
    client.send(b"nonsense\r\n\r\n")
    client.answer()
    wait_for(lambda: "Invalid HTTP request" in server.log("second"), "the log has moved")
    assert server.log() == before


def test_a_request_in_flight_is_completed_where_it_began(odd: AppServer) -> None:
    client = odd.connect()
    client.send(request("/items/1?q=wait", 1))
    odd.started(1)
    odd.turn("second")
    wait_for(lambda: odd.files("second"), "the new file")
    other = odd.connect()
    assert other.ask("/", 2)[0] == 200
    odd.go(1)
    assert client.answer()[0] == 200
    released(odd)
    assert odd.row(1)["state"] == DONE
    assert [int(row["id"]) & 0xFF for row in odd.rows("second")] == [2]
    assert odd.files()[0].stat().st_size == 64 + 64


@pytest.mark.parametrize("how", ["wait", "block"])
def test_no_request_holds_a_folder_for_long(how: str, odd: AppServer) -> None:
    client = odd.connect()
    client.send(request(f"/items/1?q={how}", 1))
    odd.started(1)
    odd.turn("second")
    released(odd)  # though the handler runs on, and in one case blocks the loop
    sealed = odd.files()[0].read_bytes()
    assert odd.row(1)["state"] == READ
    odd.go(1)
    assert client.answer()[0] == 200
    assert client.ask("/", 2)[0] == 200
    client.close()
    odd.state(2, DONE | APP_STATE_LOST, "second")
    assert odd.files()[0].read_bytes() == sealed


def test_many_turns_under_requests_lose_no_row(odd: AppServer) -> None:
    client = odd.connect()
    number = 0
    for turn in range(5):
        odd.turn(f"turn{turn}")
        name = f"turn{turn}"
        while not (odd.files(name) and len(odd.rows(name)) >= 20):
            assert client.ask("/", number)[0] == 200
            number += 1
    folders = ["first", *(f"turn{turn}" for turn in range(5))]
    ids = [int(row["id"]) - (1 << 48) for name in folders for row in odd.rows(name)]
    assert ids == list(range(number))


def test_a_folder_that_cannot_be_written_is_said_and_counted(serve: Serve) -> None:
    server = serve()
    server.out.unlink()
    server.out.symlink_to(server.folder / "nowhere")
    server.process.send_signal(10)
    wait_for(lambda: "witness stopped" in server.log(), "the sentence")
    assert server.get("/", 1)[0] == 200
    assert server.get("/healthz")[1]["witness_lost"] == 2  # the health request has no row either
    server.out.unlink()
    server.turn("second")
    wait_for(lambda: server.files("second"), "the new file")
    assert server.get("/", 2)[0] == 200
    assert len(server.rows("second")) == 1


def test_a_full_disk_is_said_once_and_counted(serve: Serve) -> None:
    server = serve(code=SMALL)
    assert server.files()[0].stat().st_size == 64 + 8 * 64
    limit = 64 + 16 * 64  # room to grow once
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    client = server.connect()
    for number in range(40):
        assert client.ask("/", number)[0] == 200
    assert [int(row["id"]) - (1 << 48) for row in server.rows()] == list(range(16))
    client.close()
    assert server.get("/healthz", None)[1]["witness_lost"] == 40 - 16 + 1
    said = server.log()
    assert said.count("witness stopped") == 1
    assert str(server.files()[0]) in said
    server.turn("second")
    released(server)
    assert server.get("/", 99)[0] == 200
    assert len(server.rows("second")) == 1


def write(book: Book, state: int = READ) -> tuple[RowFile | Nowhere, int]:
    """A row as the protocol writes it: id 7 and a state."""
    file = book.file
    offset = file.end
    if offset < file.limit:
        file.end = offset + ROW_SIZE
    else:
        file, offset = book.room()
    file.mapping[offset] = 7
    file.mapping[offset + STATE_AT] = state
    return file, offset


def test_a_file_grows_and_is_cut_to_its_rows(tmp_path: Path) -> None:
    book = Book(str(tmp_path))
    for _ in range(40_000):
        write(book, state=3)
    book.close()
    (path,) = tmp_path.iterdir()
    assert path.stat().st_size == HEADER_SIZE + 40_000 * ROW_SIZE
    assert (read_rows(path)["id"] == 7).all()
    book.close()  # again, without harm
    assert isinstance(write(book)[0], Nowhere)
    assert book.lost == 1


def test_settling_ends_with_the_last_row_or_in_time(tmp_path: Path) -> None:
    book = Book(str(tmp_path))
    file, offset = write(book)
    assert isinstance(file, RowFile)
    assert file.settle(0.05) == 1
    file.mapping[offset + STATE_AT] |= 4
    assert file.settle(5) == 0
    book.close()
    with pytest.raises(ValueError):
        file.mapping[offset] = 1
    with pytest.raises(ValueError):
        file.grow()


def test_a_file_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match="No space"):
        Book(str(tmp_path))
    assert list(tmp_path.iterdir()) == []
