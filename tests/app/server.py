"""A server in a process of its own, talked to over raw sockets, its rows read as the analysis reads them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from loadproof.runfolder.formats import APP_MAGIC, APP_ROW, APP_STATE_HANDED, HEADER
from tests.descriptors import open_files

REPO = Path(__file__).resolve().parents[2]

# A variant for faults: what the handler does is said by `q`; `item_id` names its files "started-" and "go-".
ODD = """
import asyncio, os, time
from fastapi import APIRouter
from starlette.responses import StreamingResponse

router = APIRouter()
FOLDER = os.environ["TEST_FOLDER"]


def go(item_id):
    return os.path.exists(f"{FOLDER}/go-{item_id}")


async def chunks():
    for _ in range(3):
        yield b"x" * 1000
        await asyncio.sleep(0)


async def endless():
    while True:
        yield b"x" * 65536
        await asyncio.sleep(0)


async def read_item(item_id: int, q: str | None = None):
    if q == "stream":
        return StreamingResponse(chunks())
    if q == "endless":
        return StreamingResponse(endless())
    if q == "fail":
        raise ValueError("as asked")
    open(f"{FOLDER}/started-{item_id}", "w").close()
    while q == "block" and not go(item_id):
        time.sleep(0.002)
    while q == "wait" and not go(item_id):
        await asyncio.sleep(0.002)
    return {"item_id": item_id, "q": q}


router.add_api_route("/items/{item_id}", read_item)
"""


def wait_for(condition: Callable[[], Any], what: str, within: float = 20.0) -> Any:
    """Asks until the answer is true, and returns it."""
    deadline = time.monotonic() + within
    while not (answer := condition()):
        assert time.monotonic() < deadline, f"not within {within} s: {what}"
        time.sleep(0.01)
    return answer


def app_with(folder: Path, **variants: str) -> Path:
    """A copy of app/ in `folder` with more variants (name = source); what to put on PYTHONPATH."""
    shutil.copytree(REPO / "app", folder / "app", ignore=shutil.ignore_patterns("__pycache__"))
    for name, source in variants.items():
        (folder / "app" / "variants" / f"{name}.py").write_text(source, encoding="utf-8")
    return folder


def request(path: str, number: int | str | None = 1, version: str = "1.1", more: str = "") -> bytes:
    """The bytes of a GET; `number` as id (a text goes as it is, None: no header)."""
    text = f"{(1 << 48) + number:016x}" if isinstance(number, int) else number
    header = f"X-Loadproof-Id: {text}\r\n" if text is not None else ""
    return f"GET {path} HTTP/{version}\r\nHost: a\r\n{header}{more}\r\n".encode()


class Client:
    """One connection to a server."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.port = self.socket.getsockname()[1]
        self.file = self.socket.makefile("rb")

    def send(self, raw: bytes) -> None:
        """Sends bytes as they are."""
        self.socket.sendall(raw)

    def answer(self, body: bool = True) -> tuple[int, bytes]:
        """(status, body) of the next response."""
        status = int(self.file.readline().split()[1])
        headers = {}
        while (line := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode().partition(":")
            headers[name.lower()] = value.strip()
        if not body:
            return status, b""
        if "chunked" in headers.get("transfer-encoding", ""):
            parts = []
            while size := int(self.file.readline(), 16):
                parts.append(self.file.read(size))
                self.file.readline()
            self.file.readline()
            return status, b"".join(parts)
        return status, self.file.read(int(headers.get("content-length", 0)))

    def ask(self, path: str, number: int | str | None = 1, more: str = "") -> tuple[int, bytes]:
        """Sends a GET and reads its answer."""
        self.send(request(path, number, more=more))
        return self.answer()

    def close(self, reset: bool = False) -> None:
        """Ends the connection: with FIN, or with RST."""
        if reset and self.socket.fileno() >= 0:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.file.close()
        self.socket.close()


class AppServer:
    """`python -m app.serve` (or `code`) on a free port of 127.0.0.1, writing below `folder` through a link."""

    def __init__(
        self,
        tree: Path,
        folder: Path,
        variant: str,
        items: Path,
        source: Path = REPO,
        code: str = "from app.serve import main; sys.exit(main())",
        **environment: str,
    ) -> None:
        self.folder = folder
        self.out = folder / "out"
        (folder / "first").mkdir()
        self.out.symlink_to(folder / "first")
        settings = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{source}:{tree}",
            "LOADPROOF_DEPLOY_ID": "deploy-1",
            "LOADPROOF_VARIANT": variant,
            "LOADPROOF_DATA": str(items),
            "LOADPROOF_HOST": "127.0.0.1",
            "LOADPROOF_PORT": "0",
            "LOADPROOF_OUT": str(self.out),
            "TEST_FOLDER": str(folder),
            **environment,
        }
        words = [sys.executable, "-S", "-c", f"import sys; {code}"]
        with (folder / "first" / "app.log").open("ab") as log:
            self.process = subprocess.Popen(words, env=settings, cwd=folder, stdout=log, stderr=log)
        self.port = 0
        self.clients: list[Client] = []

    def log(self, name: str = "first") -> str:
        """What the app said, into the log of that folder."""
        return (self.folder / name / "app.log").read_text(encoding="utf-8")

    def wait_until_listening(self) -> AppServer:
        """Waits for the line that names the port, or for the end of the process."""
        pattern = re.compile(r"running on http://127.0.0.1:(\d+)")
        wait_for(lambda: pattern.search(self.log()) or self.process.poll() is not None, "listening", 60)
        if found := pattern.search(self.log()):
            self.port = int(found[1])
        return self

    def connect(self) -> Client:
        """A new connection, closed with the server at the latest."""
        self.clients.append(Client(self.port))
        return self.clients[-1]

    def get(self, path: str, number: int | str | None = 1) -> tuple[int, Any]:
        """(status, JSON body) of one GET on a connection of its own."""
        client = self.connect()
        try:
            status, body = client.ask(path, number)
        finally:
            client.close()
        return status, json.loads(body) if body[:1] in (b"{", b"[") else body

    def started(self, item: int) -> None:
        """Waits until the odd handler of this item has begun."""
        wait_for((self.folder / f"started-{item}").exists, f"handler {item} started")

    def go(self, item: int) -> None:
        """Lets the odd handler of this item go on."""
        (self.folder / f"go-{item}").touch()

    def files(self, name: str = "first") -> list[Path]:
        """The row files of a folder."""
        return sorted((self.folder / name).glob("app-*.rows"))

    def rows(self, name: str = "first") -> np.ndarray:
        """All written rows of the folder's only row file."""
        (path,) = self.files(name)
        return read_rows(path)

    def row(self, number: int, name: str = "first") -> np.void:
        """The one row whose id has this sequence number."""
        rows = self.rows(name)
        (found,) = rows[rows["id"] == (1 << 48) + number]
        return found  # type: ignore[no-any-return]

    def state(self, number: int, state: int, name: str = "first") -> np.void:
        """Waits until the row of this number has that state, and returns it."""
        wait_for(lambda: self.row(number, name)["state"] == state, f"row {number} in state {state}")
        return self.row(number, name)

    def handed(self, number: int) -> np.void:
        """Waits until the response of this number was handed over: its client may have it a little earlier."""
        wait_for(lambda: self.row(number)["state"] & APP_STATE_HANDED, f"row {number} handed over")
        return self.row(number)

    def turn(self, name: str) -> None:
        """Points the link at a new folder and tells the app."""
        (self.folder / name).mkdir()
        link = self.folder / "next"
        link.symlink_to(self.folder / name)
        link.replace(self.out)
        self.process.send_signal(signal.SIGUSR1)

    def holds(self, name: str = "first") -> list[str]:
        """Files of a folder that the process holds, open or mapped."""
        proc, folder = Path(f"/proc/{self.process.pid}"), str(self.folder / name)
        found = open_files(self.process.pid)
        found += [line.split(maxsplit=5)[-1] for line in (proc / "maps").read_text().splitlines()]
        return [path for path in found if path.startswith(folder)]

    def end(self) -> None:
        """Ends the process, whatever it does."""
        self.process.kill()
        self.process.wait()
        for client in self.clients:
            client.close()


def read_rows(path: Path) -> np.ndarray:
    """The written rows of a file, read with the schema of the run folder."""
    raw = path.read_bytes()
    header = np.frombuffer(raw[: HEADER.itemsize], HEADER)[0]
    assert header["magic"] == APP_MAGIC
    assert (header["format"], header["row_size"], header["worker"]) == (1, APP_ROW.itemsize, 0)
    body = raw[HEADER.itemsize :]
    rows = np.frombuffer(body[: len(body) // APP_ROW.itemsize * APP_ROW.itemsize], APP_ROW)
    written: np.ndarray = rows[rows["state"] != 0]
    return written
