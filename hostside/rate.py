"""Counts how many requests the Locust workers of this host got answered each second, while they run flat out.

    rate.py '{"out": "/var/lib/loadproof/idle", "workers": [1, 2, 3], "from_s": 1, "to_s": 3, "within": 20}'

Waits until `to_s` seconds have passed since the first user of this host started, then reads the rows of these workers
and prints {"rate": answers per second between from_s and to_s, "failed": n, "workers": n, "measured_us": now}. Exits 0,
or 3 with {"why": text} when the workers did not get so far within `within` seconds.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import time
from typing import Any

HEADER_SIZE = 64
MAGIC = b"LPCLIENT"
# kind, error, status, start and end of a row of requests-<worker>.rows (64 bytes); the rest is not looked at
ROW = struct.Struct("<BBH28xq8xq8x")
KIND_REQUEST, KIND_USER_STARTED = 1, 2
CUT = 8  # by the end of the load: neither answered nor failed
EVERY_S = 0.05
FLUSH_S = 0.1  # a row stands for a request that ended: the last ones are given time to be written


def rows(path: str, most: int = -1) -> list[tuple[int, int, int, int, int]]:
    """(kind, error, status, start_us, end_us) of a row file so far, of at most so many rows; empty: not there yet."""
    try:
        with open(path, "rb") as file:
            data = file.read(HEADER_SIZE + most * ROW.size if most >= 0 else -1)
    except OSError:
        return []
    whole = len(data) - (len(data) - HEADER_SIZE) % ROW.size
    if not data.startswith(MAGIC):
        return []
    return list(ROW.iter_unpack(data[HEADER_SIZE:whole]))


def first_user(paths: list[str]) -> int:
    """When the first user of these workers started, µs since the epoch; 0 when some worker has none yet."""
    seen = [[row[3] for row in rows(path, 200) if row[0] == KIND_USER_STARTED] for path in paths]
    return min(min(one) for one in seen) if all(seen) else 0


def count(paths: list[str], from_us: int, to_us: int) -> tuple[int, int]:
    """(answered, failed) requests that ended in [from, to)."""
    answered = failed = 0
    for path in paths:
        for kind, error, _, _, end_us in rows(path):
            if kind == KIND_REQUEST and from_us <= end_us < to_us and error != CUT:
                answered += error == 0
                failed += error != 0
    return answered, failed


def measure(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to a question. Raises TimeoutError with the reason when there is nothing to count in time."""
    paths = [os.path.join(question["out"], f"requests-{number}.rows") for number in question["workers"]]
    late = time.monotonic() + question["within"]
    while not (begun_us := first_user(paths)):
        if time.monotonic() > late:
            missing = [os.path.basename(path) for path in paths if not first_user([path])]
            raise TimeoutError(f"no user started within {question['within']:g} s: {', '.join(missing)}")
        time.sleep(EVERY_S)
    from_us, to_us = (begun_us + round(question[edge] * 1e6) for edge in ("from_s", "to_s"))
    time.sleep(max(0.0, to_us / 1e6 - time.time()) + FLUSH_S)
    answered, failed = count(paths, from_us, to_us)
    return {
        "rate": round(answered / (question["to_s"] - question["from_s"]), 1),
        "failed": failed,
        "workers": len(paths),
        "measured_us": time.time_ns() // 1000,
    }


def main(argument: str) -> int:
    """Measure and print."""
    try:
        said, code = measure(json.loads(argument)), 0
    except TimeoutError as error:
        said, code = {"why": str(error)}, 3
    print(json.dumps(said))
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
