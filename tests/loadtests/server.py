"""A small HTTP server on 127.0.0.1 that behaves as badly as told, and remembers what it saw."""

from __future__ import annotations

import socket
import socketserver
import struct
import threading
import time
from collections.abc import Callable

Behaviour = Callable[
    ["Seen", int], str
]  # (what was seen so far, number of this request from 1) -> what to do


class Seen:
    """Ids of the requests read, in order, and connections accepted."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ids: list[int] = []
        self.paths: list[str] = []
        self.connections = 0
        self.released = threading.Event()  # ends every `hang` and `drip`


class BadServer(socketserver.ThreadingTCPServer):
    """Listens at once; `url` is where. `behaviour` decides for each request (see Handler), "" leaves it to the path."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 256

    def __init__(self, behaviour: Callable[[int], str]) -> None:
        self.seen = Seen()
        self.behaviour = behaviour
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __exit__(self, *_: object) -> None:
        self.seen.released.set()
        self.shutdown()
        self.server_close()


class Handler(socketserver.BaseRequestHandler):
    """ok, 503, slow; close, reset (before a byte); cut, cutreset (inside the body); hang, drip (until released)."""

    server: BadServer

    def handle(self) -> None:
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self.server.seen.lock:
            self.server.seen.connections += 1
        buffer = b""
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = self.request.recv(65536)
                    if not data:
                        return
                    buffer += data
                head, _, buffer = buffer.partition(b"\r\n\r\n")
                length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
                buffer = buffer[int(length[0].split(b":")[1]) if length else 0 :]
                if not self.answer(head.decode("latin-1")):
                    return
        except OSError:
            return

    def answer(self, head: str) -> bool:
        """Answer one request; False: the connection ends."""
        seen = self.server.seen
        lines = head.split("\r\n")
        ids = [line.split(":")[1].strip() for line in lines if line.lower().startswith("x-loadproof-id:")]
        with seen.lock:
            seen.ids.append(int(ids[0], 16) if ids else -1)
            seen.paths.append(lines[0].split(" ")[1])
            number = len(seen.ids)
        return self.act(self.server.behaviour(number) or seen.paths[-1].strip("/"), seen)

    def act(self, what: str, seen: Seen) -> bool:
        if what == "slow":
            time.sleep(0.02)
        if what in ("ok", "slow"):
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        elif what == "503":
            self.request.sendall(b"HTTP/1.1 503 No\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\x01")
        elif what == "redirect":
            self.request.sendall(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")
        elif what == "garbage":
            self.request.sendall(b"this is no HTTP at all\r\n\r\n")
            return False
        elif what in ("cut", "cutreset"):
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\nhello")
            time.sleep(0.02)
        elif what in ("hang", "drip"):
            self.request.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" if what == "drip" else b"")
            while not seen.released.wait(0.05):
                self.request.sendall(b"x" if what == "drip" else b"")
            return False
        if what in ("reset", "cutreset"):
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if what in ("close", "cut", "reset", "cutreset"):
            self.request.close()
            return False
        return True
