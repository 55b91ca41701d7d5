"""One row per request, whatever becomes of it: real servers, real sockets."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from loadproof.runfolder.formats import APP_EXCEPTIONS, APP_STATE_HANDED, APP_STATE_LOST, APP_STATE_READ
from tests.app.server import ODD, AppServer, app_with, request, wait_for

Serve = Callable[..., AppServer]
READ, HANDED, LOST = APP_STATE_READ, APP_STATE_HANDED, APP_STATE_LOST
BROKEN_PIPE, RESET = APP_EXCEPTIONS.index("BrokenPipeError"), APP_EXCEPTIONS.index("ConnectionResetError")
LOOPS = ("uvloop", "asyncio")


@pytest.fixture
def odd(serve: Serve, tmp_path: Path) -> Callable[[str], AppServer]:
    """Starts the variant for faults on a loop of either kind."""

    def start(loop: str = "uvloop") -> AppServer:
        code = f"from app.serve import main; sys.exit(main(loop={loop!r}))"
        return serve("odd", source=app_with(tmp_path / "copy", odd=ODD), code=code)

    return start


def test_a_complete_request(serve: Serve) -> None:
    server = serve()
    client = server.connect()
    assert client.ask("/items/3", 5)[0] == 200
    row = server.state(5, READ | HANDED)
    assert (row["connection"], row["peer_port"], row["status"]) == (1, client.port, 200)
    assert 0 < row["accepted_us"] <= row["read_us"] <= row["handed_us"]
    assert row["lost_us"] == 0
    client.close()
    row = server.state(5, READ | HANDED | LOST)
    assert row["handed_us"] <= row["lost_us"]
    assert row["exception"] == 0


def test_keep_alive_marks_only_the_last_request_as_lost(serve: Serve) -> None:
    server = serve()
    client = server.connect()
    for number in range(4):
        assert client.ask("/items/1", number)[0] == 200
    client.close()
    server.state(3, READ | HANDED | LOST)
    rows = server.rows()
    assert rows["connection"].tolist() == [1] * 4
    assert (rows["id"] - (1 << 48)).tolist() == [0, 1, 2, 3]
    assert rows["state"].tolist() == [READ | HANDED] * 3 + [READ | HANDED | LOST]
    assert (np.diff(rows["read_us"]) > 0).all() and (np.diff(rows["accepted_us"]) == 0).all()


def test_connections_have_numbers_of_their_own(serve: Serve) -> None:
    server = serve()
    clients = [server.connect() for _ in range(5)]
    for turn in range(2):
        for number, client in enumerate(clients):
            assert client.ask("/", 10 * turn + number)[0] == 200
    rows = server.rows()
    numbers = {int(row["peer_port"]): set() for row in rows}  # type: dict[int, set[int]]
    for row in rows:
        numbers[int(row["peer_port"])].add(int(row["connection"]))
    assert sorted(numbers) == sorted(client.port for client in clients)
    assert sorted(number for (number,) in numbers.values()) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ("X-Loadproof-Id: 00010000000000ff\r\n", 0x00010000000000FF),
        ("x-loadPROOF-id:fff0ffffffffffff\r\n", 0xFFF0FFFFFFFFFFFF),
        ("", 0),
        ("X-Loadproof-Id: \r\n", 0),
        ("X-Loadproof-Id: 00010000000000FF\r\n", 0),
        ("X-Loadproof-Id: 1000000000000ff\r\n", 0),
        ("X-Loadproof-Id: 000010000000000ff\r\n", 0),
        ("X-Loadproof-Id: 0001_000000000ff\r\n", 0),
        ("X-Loadproof-Id: 0x010000000000ff\r\n", 0),
        ("X-Loadproof-Id: +0010000000000ff\r\n", 0),
        ("X-Loadproof-Id: 0001000000 000ff\r\n", 0),
        ("X-Loadproof-Id: 00010000000000ff\r\nX-Loadproof-Id: 00010000000000ff\r\n", 0),
        ("X-Loadproof-Ids: 00010000000000ff\r\n", 0),
    ],
)
def test_ids(headers: str, expected: int, one_server: AppServer) -> None:
    client = one_server.connect()
    client.send(request("/", None, more=headers))
    assert client.answer()[0] == 200
    (row,) = [row for row in one_server.rows() if row["peer_port"] == client.port]
    assert row["id"] == expected
    client.close()


@pytest.fixture(scope="module")
def one_server(
    app_tree: Path, items_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[AppServer]:
    """One plain server for the cases that only ask."""
    server = AppServer(app_tree, tmp_path_factory.mktemp("one"), "plain", items_file)
    try:
        yield server.wait_until_listening()
    finally:
        server.end()


def test_http_1_0_and_head(serve: Serve) -> None:
    server = serve()
    client = server.connect()
    client.send(request("/items/1", 1, version="1.0"))
    assert client.answer()[0] == 200
    assert client.file.read() == b""  # the server closes
    row = server.state(1, READ | HANDED | LOST)
    assert (row["status"], row["exception"]) == (200, 0)
    client = server.connect()
    client.send(request("/items/1", 2).replace(b"GET", b"HEAD", 1))
    assert client.answer(body=False)[0] == 405
    assert server.state(2, READ | HANDED)["status"] == 405


def test_what_is_not_a_200(odd: Callable[..., AppServer]) -> None:
    server = odd()
    client = server.connect()
    assert client.ask("/nowhere", 1)[0] == 404
    assert client.ask("/items/x", 2)[0] == 422
    assert client.ask("/items/1?q=fail", 3)[0] == 500
    for number, status in ((1, 404), (2, 422), (3, 500)):
        assert server.handed(number)["status"] == status
    client = server.connect()
    assert client.ask("/items/1?q=stream", 4) == (200, b"x" * 3000)
    assert server.state(4, READ | HANDED)["status"] == 200
    assert client.ask("/", 5, more="Connection: Upgrade\r\nUpgrade: websocket\r\n")[0] == 200
    assert server.state(5, READ | HANDED)["status"] == 200


def test_a_body_that_cannot_be_read(odd: Callable[..., AppServer]) -> None:
    server = odd()
    client = server.connect()
    more = "Transfer-Encoding: chunked\r\n"
    client.send(request("/items/1?q=wait", 1, more=more))
    server.started(1)
    client.send(b"this is no chunk\r\n")
    assert client.answer()[0] == 400
    assert server.state(1, READ | HANDED | LOST)["status"] == 400


def test_no_request_no_row(serve: Serve) -> None:
    server = serve()
    client = server.connect()
    client.send(b"this is not HTTP\r\n\r\n")
    assert client.answer()[0] == 400
    server.connect().close()
    assert server.get("/", 1)[0] == 200
    assert len(server.rows()) == 1


def test_pipelined_requests_are_answered_in_order(odd: Callable[..., AppServer]) -> None:
    server = odd()
    client = server.connect()
    client.send(request("/items/1?q=wait", 1) + request("/items/2", 2) + request("/", 3))
    server.started(1)
    wait_for(lambda: len(server.rows()) == 3, "all three are read")
    assert server.rows()["state"].tolist() == [READ] * 3
    assert server.get("/healthz")[1]["in_flight"] == 3
    server.go(1)
    assert [client.answer()[0] for _ in range(3)] == [200] * 3
    server.state(3, READ | HANDED)
    rows = server.rows()[[0, 1, 2]]
    assert rows["state"].tolist() == [READ | HANDED] * 3
    assert (np.diff(rows["handed_us"]) > 0).all()


def test_pipelined_requests_are_lost_together(odd: Callable[..., AppServer]) -> None:
    server = odd()
    client = server.connect()
    client.send(b"".join(request(f"/items/{number}?q=wait", number) for number in (1, 2, 3)))
    server.started(1)
    server.go(1)
    assert client.answer()[0] == 200
    server.started(2)
    client.close(reset=True)
    for number in (2, 3):
        assert server.state(number, READ | LOST)["status"] == 0
    assert server.row(1)["state"] == READ | HANDED


@pytest.mark.parametrize("loop", LOOPS)
def test_lost_in_flight_on_a_free_loop(loop: str, odd: Callable[..., AppServer]) -> None:
    server = odd(loop)
    for number, reset, kind in ((1, False, 0), (2, True, RESET)):
        client = server.connect()
        client.send(request(f"/items/{number}?q=wait", number))
        server.started(number)
        client.close(reset)
        row = server.state(number, READ | LOST)
        assert (row["exception"], row["status"], row["handed_us"]) == (kind, 0, 0)
        server.go(number)
    assert (
        server.get("/items/3", 3)[0] == 200
    )  # both handlers have ended by now, or soon: nothing is written late
    assert server.row(1)["state"] == server.row(2)["state"] == READ | LOST


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_broken_pipe_is_a_broken_pipe(loop: str, version: str, odd: Callable[..., AppServer]) -> None:
    server = odd(loop)
    client = server.connect()
    client.send(request("/items/1?q=block", 1, version))  # nginx asks in 1.0 unless told otherwise
    server.started(1)
    client.close()  # the loop is blocked: it cannot see this
    server.go(1)
    row = server.state(1, READ | HANDED | LOST)
    assert (row["exception"], row["status"]) == (BROKEN_PIPE, 200)
    assert 0 < row["handed_us"] <= row["lost_us"]


@pytest.mark.parametrize("loop", LOOPS)
def test_lost_in_the_middle_of_a_large_answer(loop: str, odd: Callable[..., AppServer]) -> None:
    server = odd(loop)
    client = server.connect()
    client.send(request("/items/1?q=endless", 1))
    assert client.file.read(100_000)
    client.close()
    row = server.state(1, READ | LOST)
    assert (row["status"], row["handed_us"]) == (200, 0)
    assert row["exception"] in (RESET, BROKEN_PIPE)


def test_kill_9_loses_no_row(odd: Callable[..., AppServer]) -> None:
    server = odd()
    clients = [server.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        assert client.ask("/", number)[0] == 200
        client.send(request(f"/items/{number}?q=wait", 10 + number))
        server.started(number)
    server.process.kill()
    server.process.wait()
    rows = server.rows()
    assert (rows["id"] - (1 << 48)).tolist() == [0, 10, 1, 11, 2, 12]
    assert rows["state"].tolist() == [READ | HANDED, READ] * 3


def test_an_end_by_sigterm_leaves_a_file_cut_to_its_rows(serve: Serve) -> None:
    server = serve()
    for number in range(3):
        server.get("/", number)
    server.process.send_signal(signal.SIGTERM)
    server.process.wait(20)
    (path,) = server.files()
    assert path.stat().st_size == 64 + 3 * 64


def test_health_does_not_count_itself(odd: Callable[..., AppServer]) -> None:
    server = odd()
    clients = [server.connect() for _ in range(3)]
    for number, client in enumerate(clients):
        client.send(request(f"/items/{number}?q=wait", number))
        server.started(number)
    assert server.get("/healthz")[1]["in_flight"] == 3
    clients[0].close()
    server.state(0, READ | LOST)
    assert server.get("/healthz")[1]["in_flight"] == 2
    for number in (1, 2):
        server.go(number)
        clients[number].answer()
    assert server.get("/healthz")[1]["in_flight"] == 0
