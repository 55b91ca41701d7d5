"""Warm every backend with requests of its own, before any limit or load.

    warm.py '{"targets":["http://10.0.0.1:8000", ...],"requests":200,"path":"/items/3"}'

Prints {"targets":{url:{"ok":n,"failed":n,"last":"what the last failure said"}}}; exits 0, or 3 when a request failed.
Ids carry worker 0xFFF0, or "worker" of the question, so that these requests are outside every figure. A target that
fails 10 times in a row is given up.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
import threading
import urllib.parse
from typing import Any

WORKER_WARM = 0xFFF0
CONNECTIONS = 4  # side by side per backend, so that its thread pool is warm too
TIMEOUT_S = 5.0
GIVE_UP_AFTER = 10


def ask(link: http.client.HTTPConnection, path: str, request_id: int) -> str:
    """One request over a kept connection; returns what failed, or nothing."""
    try:
        link.request("GET", path, headers={"X-Loadproof-Id": f"{request_id:016x}"})
        answer = link.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        link.close()
        return f"{type(error).__name__}: {error}"
    return "" if 200 <= answer.status < 300 else f"HTTP {answer.status}"


class Target:
    """One backend and what it answered so far. Its lock guards the counts, shared by the connections."""

    def __init__(self, first_id: int, url: str, requests: int, path: str) -> None:
        parts = urllib.parse.urlsplit(url)
        self.host, self.port, self.path = parts.hostname or "", parts.port or 80, path
        self.ids = itertools.count(first_id)
        self.left, self.ok, self.failed, self.in_a_row, self.last = requests, 0, 0, 0, ""
        self.lock = threading.Lock()

    def next_id(self) -> int | None:
        """The id of the next request; None when there is nothing more to do."""
        with self.lock:
            if self.left <= 0 or self.in_a_row >= GIVE_UP_AFTER:
                return None
            self.left -= 1
            return next(self.ids)

    def count(self, failure: str) -> None:
        """Add one answer to the counts."""
        with self.lock:
            self.ok += not failure
            self.failed += bool(failure)
            self.in_a_row = self.in_a_row + 1 if failure else 0
            self.last = failure or self.last

    def work(self) -> None:
        """What each connection does until nothing is left."""
        link = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        while (request_id := self.next_id()) is not None:
            self.count(ask(link, self.path, request_id))
        link.close()


def warm(question: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Warm all targets side by side."""
    worker = question.get("worker", WORKER_WARM)
    targets = {
        url: Target(
            (worker << 48) | (number << 32), url, question.get("requests", 200), question.get("path", "/")
        )
        for number, url in enumerate(question["targets"])
    }
    threads = [
        threading.Thread(target=target.work) for target in targets.values() for _ in range(CONNECTIONS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {url: {"ok": one.ok, "failed": one.failed, "last": one.last} for url, one in targets.items()}


def main(argument: str) -> int:
    """Warm, print, and say by the exit code whether every request was answered."""
    question = json.loads(argument)
    targets = warm(question)
    print(json.dumps({"targets": targets}))
    asked = question.get("requests", 200) > 0
    return 3 if any(one["failed"] or (asked and not one["ok"]) for one in targets.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
