"""What the witness costs: CPU of the app's process per request, with it and without it, in interleaved pairs.

    python timings/witness.py [--tree TREE] [--pairs 9] [--requests 20000] [--variant plain] [--keep-alive]

TREE is a site-packages folder made from locks/app.lock (default: made in .cache when missing, as tests do).
Connections are as nginx makes them by default: HTTP/1.0, one request each; with --keep-alive 16 connections carry all requests. Asked: at most 5 % more CPU for each request.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONNECTIONS = 16
WARM = 1000  # requests before the clock is read
SLICE = 250  # short, so that what else the machine does hits both arms alike
ARMS = ("without", "with")
SERVE = """
import asyncio, os, sys, uvloop
from app import rows, serve
async def both():
    settings, _ = serve.read_settings(os.environ)
    serving = []
    for arm in sys.argv[1:]:
        book = rows.Book(settings.out) if arm == "with" else None
        server = serve.make_server(settings, book, "uvloop")
        serving.append(asyncio.create_task(server.serve()))
        while not server.started:
            await asyncio.sleep(0.01)
    await asyncio.gather(*serving)
uvloop.run(both())
"""


def start(
    order: tuple[str, ...], tree: str, variant: str, folder: str
) -> tuple[subprocess.Popen[str], dict[str, int]]:
    """One process that serves both arms, and their ports: two processes differ by 10 % for no reason of ours."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{tree}:{ROOT}",
        "LOADPROOF_VARIANT": variant,
        "LOADPROOF_DATA": f"{folder}/items.parquet",
        "LOADPROOF_PORT": "0",
        "LOADPROOF_OUT": folder,
    }
    process = subprocess.Popen(
        ["/usr/bin/python3", "-c", SERVE, *order], env=environment, stderr=subprocess.PIPE, text=True
    )
    ports: list[int] = []
    assert process.stderr
    for line in process.stderr:
        if found := re.search(r"running on http://127.0.0.1:(\d+)", line):
            ports.append(int(found[1]))
        if len(ports) == len(ARMS):
            return process, dict(zip(order, ports, strict=True))
    raise SystemExit(f"the app did not start: exit {process.wait()}")


async def send(port: int, requests: list[int], keep_alive: bool) -> None:
    """Sends the requests of these numbers, one after the other."""
    version = "1.1" if keep_alive else "1.0"
    reader = writer = None
    for number in requests:
        if reader is None or writer is None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = (
            f"GET /items/{number % 1000} HTTP/{version}\r\nHost: a\r\nUser-Agent: timing\r\nAccept: */*\r\n"
        )
        writer.write(f"{head}X-Loadproof-Id: {(1 << 48) + number:016x}\r\n\r\n".encode())
        answer = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in answer[:16]:
            raise SystemExit(f"not 200: {answer!r}")
        length = re.search(rb"content-length: (\d+)", answer)
        await reader.readexactly(int(length[1]) if length else 0)
        if not keep_alive:
            writer.close()
            reader = None
    if writer:
        writer.close()


async def spread(port: int, first: int, count: int, keep_alive: bool) -> None:
    """Sends `count` requests over all connections."""
    numbers = range(first, first + count)
    await asyncio.gather(
        *(send(port, list(numbers[lane::CONNECTIONS]), keep_alive) for lane in range(CONNECTIONS))
    )


def measure(order: tuple[str, ...], options: argparse.Namespace, folder: str) -> dict[str, float]:
    """CPU µs for one request of each arm: the median of slices that go to one arm and the other in turn."""
    process, ports = start(order, options.tree, options.variant, folder)
    clock = ((~process.pid) << 3) | 2
    used: dict[str, list[int]] = {arm: [] for arm in ARMS}
    try:
        for port in ports.values():
            asyncio.run(spread(port, 0, WARM, options.keep_alive))
        for number, first in enumerate(range(WARM, WARM + options.requests, SLICE)):
            for arm in order if number % 2 else reversed(order):
                before = time.clock_gettime_ns(clock)
                asyncio.run(spread(ports[arm], first, SLICE, options.keep_alive))
                used[arm].append(time.clock_gettime_ns(clock) - before)
    finally:
        process.terminate()
        process.wait()
    return {arm: statistics.median(used[arm]) / 1000 / SLICE for arm in ARMS}


def main() -> int:
    """Runs the pairs and prints medians and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tree", help="default: installed into .cache, as tests do")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--requests", type=int, default=20000)
    parser.add_argument("--variant", default="plain")
    parser.add_argument("--keep-alive", action="store_true")
    options = parser.parse_args()
    if not options.tree:
        sys.path.insert(0, str(ROOT))
        from tests.trees import tree

        options.tree = str(tree("app"))
    sys.path.insert(0, str(ROOT))
    from app.data import write

    pairs = []
    with tempfile.TemporaryDirectory() as folder:
        write(f"{folder}/items.parquet", 1000, 1)
        for number in range(options.pairs):
            costs = measure(ARMS if number % 2 else ARMS[::-1], options, folder)
            pairs.append((costs["without"], costs["with"]))
            print(f"pair {number + 1}: without {pairs[-1][0]:.1f} us, with {pairs[-1][1]:.1f} us", flush=True)
    without, with_it = (statistics.median(column) for column in zip(*pairs, strict=True))
    more = [100 * (b / a - 1) for a, b in pairs]
    print(
        f"median CPU per request: without {without:.1f} us, with {with_it:.1f} us; median of the pairs' ratios "
        f"{statistics.median(more):+.1f} % (from {min(more):+.1f} to {max(more):+.1f}; asked: <= 5 %)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
