"""An HTTP client that sends each request exactly once. The one place where silent resending is switched off.

geventhttpclient's own `request` sends idempotent requests again when a connection closes, with the same id and without
a word: its loop is replaced here by code that has no loop. Keep-alive stays on: a connection that the server closed
while it was idle is noticed *before* anything is sent, and replaced.
"""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="misc"
from __future__ import annotations

import errno
from select import POLLIN  # a constant: the poll object itself must be the kernel's, see `idle_and_alive`
from time import monotonic_ns
from typing import Any

from gevent import monkey
from geventhttpclient.client import HTTPClient, HTTPClientPool
from geventhttpclient.response import HTTPParseError, HTTPSocketPoolResponse

kernel_poll = monkey.get_original("select", "poll")


class Attempt:
    """What was seen of one request on the wire. Times are CLOCK_MONOTONIC nanoseconds, 0: did not happen."""

    __slots__ = (
        "end_ns",
        "failure",
        "first_ns",
        "id",
        "intended_ns",
        "name",
        "port",
        "received",
        "server_closed",
        "start_ns",
        "status",
        "think_us",
    )

    def __init__(self, request_id: int, name: str, think_us: int) -> None:
        self.id = request_id
        self.name = name
        self.think_us = think_us
        self.port = 0  # local port, 0: not connected
        self.status = 0  # 0: no complete response head
        self.received = 0  # bytes of the body
        self.server_closed = False
        self.failure: BaseException | None = None  # what went wrong before the scenario looked at the answer
        self.intended_ns = 0  # when it was to be sent; a closed loop has no such moment
        self.start_ns = self.first_ns = self.end_ns = 0


class WitnessedResponse(HTTPSocketPoolResponse):
    """A response that notes its first byte, its body bytes and the server's close in an Attempt."""

    def __init__(self, sock: Any, pool: Any, attempt: Attempt, **kw: Any) -> None:
        self.attempt = attempt
        super().__init__(sock, pool, **kw)

    def feed(self, data: Any) -> None:
        """Parse what was received; an empty `data` is the end of the stream."""
        attempt = self.attempt
        if not data:
            attempt.server_closed = True
        elif not attempt.first_ns:
            attempt.first_ns = monotonic_ns()
        super().feed(data)

    def _on_body(self, buf: Any) -> None:
        self.attempt.received += len(buf)
        super()._on_body(buf)


def idle_and_alive(sock: Any) -> bool:
    """Whether an idle keep-alive connection can be used: open, and nothing to read (neither data nor a close)."""
    if sock is None or sock.fileno() < 0:
        return False
    # The library asks with select(), which takes no descriptor above 1023 and then reconnects for every request.
    poller = kernel_poll()
    poller.register(sock.fileno(), POLLIN)
    return not poller.poll(0)


class OneShotClient(HTTPClient):
    """geventhttpclient's client for one server, with a `request` that sends once."""

    def __init__(self, *args: Any, **kw: Any) -> None:
        super().__init__(*args, **kw)
        self._connection_pool._is_socket_alive = idle_and_alive
        self._last_socket: Any = None
        self._last_port = 0

    def request(
        self,
        method: str,
        request_uri: str,
        body: str | bytes | None = None,
        headers: Any = None,
        attempt: Attempt | None = None,
    ) -> WitnessedResponse:
        """Send one request and read the head of its answer. Raises OSError, HTTPParseError, gevent.Timeout."""
        attempt = attempt or Attempt(0, request_uri, 0)
        payload = body.encode() if isinstance(body, str) else body or b""
        head = self._build_request(method, request_uri, body=payload, headers=headers)
        pool = self._connection_pool
        sock = pool.get_socket()
        attempt.port = self._port(sock)
        refusal: OSError | None = None
        try:
            sock.sendall(head.encode("latin-1") + payload)
        except OSError as error:
            if error.errno not in (errno.ECONNRESET, errno.EPIPE):
                pool.release_socket(sock)
                raise
            refusal = (
                error  # the server may have answered (413, 401) before it closed: read, never send again
            )
        except BaseException:
            pool.release_socket(sock)
            raise
        try:
            response = WitnessedResponse(
                sock,
                pool,
                attempt,
                block_size=self.block_size,
                method=method.upper(),
                headers_type=self.headers_type,
            )
        except (OSError, HTTPParseError):
            if refusal is not None:
                raise refusal from None
            raise
        response._sent_request = head
        return response

    def _port(self, sock: Any) -> int:
        if sock is not self._last_socket:
            self._last_socket = sock
            self._last_port = sock.getsockname()[1]
        return self._last_port


class OneShotPool(HTTPClientPool):
    """geventhttpclient's clients by server, all of them OneShotClient."""

    def get_client(self, url: Any) -> OneShotClient:
        """The client for the server of `url` (a geventhttpclient URL), made at its first use."""
        key = url.host, url.port
        client: OneShotClient | None = self.clients.get(key)
        if client is None:
            client = self.clients[key] = OneShotClient.from_url(url, **self.client_args)
        return client
