"""SVG to PNG, where there is much of it by a process beside this one: what makes it holds Python's lock.

That process imports this module and nothing that is large.
"""

from __future__ import annotations

import signal
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import get_context

import vl_convert

SCALE = 1.25
MUCH = 100_000  # letters of SVG that take as long as another process to start
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def png(svg: str, scale: float = SCALE) -> bytes:
    """A drawing as PNG, at so many times its size."""
    data: bytes = vl_convert.svg_to_png(svg, scale=scale)
    return data


def packed(data: bytes) -> bytes:
    """A PNG with its pixels compressed as well as they go: a third of its size, for what is sent around."""
    begin, parts, pixels = len(SIGNATURE), [], b""
    while begin < len(data):
        (length,) = struct.unpack(">I", data[begin : begin + 4])
        kind, body = data[begin + 4 : begin + 8], data[begin + 8 : begin + 8 + length]
        if kind == b"IDAT":
            pixels += body
        else:
            parts.append((kind, body))
        begin += 12 + length
    last = parts.pop()  # IEND
    chunks = [*parts, (b"IDAT", zlib.compress(zlib.decompress(pixels), 9)), last]
    return SIGNATURE + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )


@contextmanager
def beside() -> Iterator[Callable[[str], Callable[[], bytes]]]:
    """Gives a function that takes a drawing and gives what waits for its PNG. The first few are made when they are asked
    for, all after MUCH by the other process."""
    others: list[ProcessPoolExecutor] = []
    letters = 0

    def begin(svg: str) -> Callable[[], bytes]:
        nonlocal letters
        letters += len(svg)
        if letters < MUCH:
            return partial(png, svg)
        if not others:
            # spawned: a fork would copy locks that threads of this process hold
            others.append(ProcessPoolExecutor(1, get_context("spawn"), _deaf))
        made: Future[bytes] = others[0].submit(png, svg)
        return made.result

    try:
        yield begin
    finally:
        for one in others:
            one.shutdown(cancel_futures=True)


def _deaf() -> None:
    """Ctrl-C goes to all processes of a terminal; that one ends with its parent's."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
