"""The witness protocol: uvicorn's httptools protocol that leaves one row per request in a `Book`.

A row is written when the head of a request was read and completed in place: status when the response starts, `handed`
when its last byte was given to the transport, `lost` when the connection ended while the request was its last one, or
not answered yet. "Handed" does not mean delivered: that is decided by joining client, proxy and app rows.

Reads private parts of uvicorn (cycle, pipeline, on_response_complete), which is therefore pinned to one minor version.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Coroutine, Iterable
from itertools import count
from struct import Struct
from time import monotonic_ns
from types import FunctionType
from typing import Any, ClassVar, Final

from uvicorn.protocols.http import httptools_impl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from app.rows import (
    EXCEPTION_AT,
    HANDED,
    HANDED_AT,
    LOST,
    LOST_AT,
    READ,
    ROW,
    ROW_SIZE,
    SEALED,
    STATE_AT,
    STATUS_AT,
    Book,
)

ID_HEADER: Final = b"x-loadproof-id"
HEX: Final = b"0123456789abcdef"
HEALTH: Final = "/healthz"
EXCEPTIONS: Final = ("", "BrokenPipeError", "ConnectionResetError", "other")  # formats.APP_EXCEPTIONS

# bound once: these run several times for each request
pack_row: Final = ROW.pack_into
pack_time: Final = Struct("<q").pack_into
pack_status: Final = Struct("<H").pack_into
# and these without super(), which costs more than most of what is done here
uvicorn_send = RequestResponseCycle.send
uvicorn_connection_made = HttpToolsProtocol.connection_made
uvicorn_response_complete = HttpToolsProtocol.on_response_complete
uvicorn_connection_lost = HttpToolsProtocol.connection_lost


def request_id(headers: Iterable[tuple[bytes, bytes]]) -> int:
    """The id of a request, from its headers with lower-case names; 0: none, not valid, or more than one."""
    found = None
    for name, value in headers:
        if name == ID_HEADER:
            if found is not None:
                return 0
            found = value
    # int() alone would also take upper case, signs, spaces and underscores
    if found is None or len(found) != 16 or found.translate(None, HEX):
        return 0
    return int(found, 16)


def exception_class(error: Exception | None) -> int:
    """Index in EXCEPTIONS of what connection_lost was given."""
    if error is None:
        return 0
    name = type(error).__name__
    return EXCEPTIONS.index(name) if name in EXCEPTIONS else 3


class WitnessCycle(RequestResponseCycle):  # type: ignore[misc]
    """A request and its response, with the place of its row."""

    file: Any
    offset: int

    def send(self, message: dict[str, Any]) -> Coroutine[Any, Any, None]:
        """Notes the status; returns uvicorn's own coroutine, so no layer is added."""
        if message["type"] == "http.response.start" and not self.disconnected:
            note_status(self, message["status"])
        return uvicorn_send(self, message)  # type: ignore[no-any-return]


def note_status(cycle: WitnessCycle, status: int) -> None:
    """The response of this request starts."""
    try:
        pack_status(cycle.file.mapping, cycle.offset + STATUS_AT, status)
    except SEALED:
        return  # the file was sealed: what happens now belongs to no trial


# uvicorn's own method, making our cycles: changing the class of a cycle already made costs it its fast attributes
uvicorn_headers_complete = FunctionType(
    HttpToolsProtocol.on_headers_complete.__code__,
    {**vars(httptools_impl), "RequestResponseCycle": WitnessCycle},
)


class WitnessProtocol(HttpToolsProtocol):  # type: ignore[misc]
    """One connection. Subclassed with its `book` by `protocol_for`."""

    book: ClassVar[Book]
    numbers: ClassVar[count[int]]
    behind: deque[WitnessCycle] | tuple[()] = ()  # pipelined: requests before the last one, not answered yet

    def connection_made(self, transport: Any) -> None:
        accepted = monotonic_ns()
        uvicorn_connection_made(self, transport)
        # one attribute: with more than 30 in all, CPython 3.11 gives each instance a dictionary of its own
        self.origin = (accepted, next(self.numbers) & 0xFFFFFFFF, self.client[1] if self.client else 0)

    def on_headers_complete(self) -> None:
        before = self.cycle
        uvicorn_headers_complete(self)
        cycle = self.cycle
        if cycle is before:
            return  # an upgrade that uvicorn took elsewhere
        if before is not None and not before.response_complete:
            if not self.behind:
                self.behind = deque()
            self.behind.append(before)
        self.write_row(cycle, monotonic_ns())

    def write_row(self, cycle: WitnessCycle, now: int) -> None:
        """A new row for this request, its state last: a row cut by kill -9 counts as not written."""
        file = self.book.file
        offset = file.end
        if offset < file.limit:
            file.end = offset + ROW_SIZE
        else:
            file, offset = self.book.room()
        cycle.file = file
        cycle.offset = offset
        shift = file.shift
        accepted, number, port = self.origin
        accepted, read = (accepted + shift) // 1000, (now + shift) // 1000
        wanted = request_id(self.headers)
        try:
            mapping = file.mapping
            pack_row(mapping, offset, wanted, number, port, 0, 0, 0, accepted, read, 0, 0, 0)
            mapping[offset + STATE_AT] = READ
        except SEALED:
            self.write_row(cycle, now)  # sealed between two lines: the file in use is another one now

    def on_response_complete(self) -> None:
        # answers go out in the order of the requests: it is the oldest one
        self.hand_over(self.behind.popleft() if self.behind else self.cycle)
        uvicorn_response_complete(self)

    def hand_over(self, cycle: WitnessCycle) -> None:
        """The last byte of this response was given to the transport."""
        file = cycle.file
        try:
            mapping = file.mapping
            pack_time(mapping, cycle.offset + HANDED_AT, (monotonic_ns() + file.shift) // 1000)
            mapping[cycle.offset + STATE_AT] |= HANDED
        except SEALED:
            return

    def send_400_response(self, msg: str) -> None:
        cycle = self.cycle
        super().send_400_response(msg)
        # the head was read, the rest of the request could not be
        if cycle is not None and not cycle.response_started:
            note_status(cycle, 400)
            self.hand_over(cycle)
            cycle.__class__ = RequestResponseCycle  # what the handler says from now on is sent to nobody

    def connection_lost(self, exc: Exception | None) -> None:
        if self.cycle is not None:
            now, kind = monotonic_ns(), exception_class(exc)
            self.lose(self.cycle, now, kind)
            for cycle in self.behind:
                self.lose(cycle, now, kind)
        uvicorn_connection_lost(self, exc)

    def lose(self, cycle: WitnessCycle, now: int, kind: int) -> None:
        """The connection of this request is gone, for the reason `kind`."""
        file, offset = cycle.file, cycle.offset
        try:
            mapping = file.mapping
            pack_time(mapping, offset + LOST_AT, (now + file.shift) // 1000)
            if kind:
                mapping[offset + EXCEPTION_AT] = kind
            mapping[offset + STATE_AT] |= LOST
        except SEALED:
            return

    def in_flight(self) -> int:
        """Requests of this connection that are read and not answered; questions for our health do not count."""
        last = () if self.cycle is None or self.cycle.response_complete else (self.cycle,)
        return sum(cycle.scope["path"] != HEALTH for cycle in (*self.behind, *last))


def protocol_for(book: Book) -> type[WitnessProtocol]:
    """The protocol class that writes into `book`."""
    return type("Witness", (WitnessProtocol,), {"book": book, "numbers": count(1)})
