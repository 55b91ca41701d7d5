"""Warming: as many requests as asked, each with an id outside every figure."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.hostside.conftest import run


class App(BaseHTTPRequestHandler):
    """Answers /items/3, closes each connection on /close."""

    protocol_version = "HTTP/1.1"
    seen: list[tuple[str, str]]

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["X-Loadproof-Id"]))  # type: ignore[attr-defined]
        if self.path == "/close":
            self.close_connection = True
            return
        self.send_response(200 if self.path == "/items/3" else 503)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def app() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), App) as server:
        server.seen = []  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def warm(app: ThreadingHTTPServer, **question: Any) -> tuple[int, Any]:
    """Warm one backend; the exit code and what was said of it."""
    url = f"http://127.0.0.1:{app.server_address[1]}"
    said = run("warm", json.dumps({"targets": [url]} | question))
    return said.returncode, json.loads(said.stdout)["targets"][url]


def test_every_request_has_an_id_of_its_own(app: ThreadingHTTPServer) -> None:
    assert warm(app, requests=50, path="/items/3") == (0, {"ok": 50, "failed": 0, "last": ""})
    ids = [one for _, one in app.seen]  # type: ignore[attr-defined]
    assert len(set(ids)) == 50 and all(len(one) == 16 and one.startswith("fff0") for one in ids)


def test_no_warm_up_is_no_failure(app: ThreadingHTTPServer) -> None:
    assert warm(app, requests=0, path="/items/3") == (0, {"ok": 0, "failed": 0, "last": ""})
    assert app.seen == []  # type: ignore[attr-defined]


def test_the_worker_may_be_another(app: ThreadingHTTPServer) -> None:
    assert warm(app, requests=1, path="/items/3", worker=0xFFF1)[0] == 0
    assert app.seen[0][1].startswith("fff1")  # type: ignore[attr-defined]


@pytest.mark.parametrize(("path", "last"), [("/no", "HTTP 503"), ("/close", "RemoteDisconnected")])
def test_a_backend_that_fails_is_given_up(app: ThreadingHTTPServer, path: str, last: str) -> None:
    exited, said = warm(app, requests=200, path=path)
    assert exited == 3 and said["ok"] == 0 and 10 <= said["failed"] <= 14 and said["last"].startswith(last)


def test_nobody_there(app: ThreadingHTTPServer) -> None:
    said = run("warm", json.dumps({"targets": ["http://127.0.0.1:1"], "requests": 5}))
    assert said.returncode == 3
    assert "refused" in json.loads(said.stdout)["targets"]["http://127.0.0.1:1"]["last"]
