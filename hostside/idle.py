"""Waits until nothing is in flight: at the app (its /healthz) or at nginx (its status server).

    python3 -I -S idle.py '{"app": 8000, "within": 15}'
    python3 -I -S idle.py '{"status": 8079, "within": 15}'

Prints {"idle": bool, "waited_s": x, "last": n} and exits 0, or 3 when requests were still in flight at the end, or when
nobody answered: then `last` is why.
"""

from __future__ import annotations

import http.client
import json
import re
import sys
import time
from typing import Any

EVERY_S = 0.1


def fetch(port: int, path: str) -> str:
    """Body of GET http://127.0.0.1:port/path; OSError when nobody answers within 5 s."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path, headers={"X-Loadproof-Id": f"{0xFFF1:04x}{0:012x}"})
        return connection.getresponse().read().decode("utf-8", "replace")
    finally:
        connection.close()


def in_flight(question: dict[str, Any]) -> int:
    """Requests in flight, without this one."""
    if "app" in question:
        return int(json.loads(fetch(question["app"], "/healthz"))["in_flight"])
    text = fetch(question["status"], "/status")
    found = re.search(r"Reading: (\d+) Writing: (\d+)", text)
    if found is None:
        raise ValueError(f"no stub_status in {text[:80]!r}")
    # nginx counts the status request itself as one that it is writing to
    return int(found[1]) + int(found[2]) - 1


def main(argument: str) -> int:
    """Polls until idle or out of time."""
    question = json.loads(argument)
    begun = time.monotonic()
    last: int | str = "not asked"
    while True:
        try:
            last = in_flight(question)
        except (OSError, ValueError, KeyError, http.client.HTTPException) as error:
            last = f"{type(error).__name__}: {error}"
        waited = time.monotonic() - begun
        if last == 0 or waited >= float(question.get("within", 15)):
            sys.stdout.write(
                json.dumps({"idle": last == 0, "waited_s": round(waited, 3), "last": last}) + "\n"
            )
            return 0 if last == 0 else 3
        time.sleep(EVERY_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
