"""A Locust master and its workers as real processes, and what they wrote, read with the control machine's schema."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from loadproof.runfolder import formats
from loadtests.profiles import steps


def wait_until(condition: Callable[[], Any], within: float, what: str) -> Any:
    """The first true value of `condition`; AssertionError naming `what` after `within` seconds."""
    end = time.monotonic() + within
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.01)
    raise AssertionError(f"not within {within} s: {what}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Fleet:
    """One trial's load processes. Settings overwrite keys of trial.json's `load`, and give the table."""

    def __init__(self, tree: Path, repo: Path, folder: Path, settings: dict[str, Any]) -> None:
        self.out = folder / "out"
        self.out.mkdir(parents=True)
        self.path = [str(tree), str(repo)]
        self.trial = folder / "trial.json"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.workers = int(settings.get("workers", 1))
        users, step = int(settings.get("users", 2)), int(settings.pop("step", settings.get("users", 2)))
        table = steps.table(users, step, step, float(settings.pop("interval", 0.5)))
        load = {
            "master_host": "127.0.0.1",
            "master_port": free_port(),
            "bind": "127.0.0.1",
            "workers": 1,
            "first_worker": 1,
            "table": table,
            "end_s": table[-1][0] + settings.pop("hold", 1.0),
            "users": 2,
            "scenario": "items",
            "timeout_s": 5,
            "think_s": 0.02,
            "seed": 1,
            "rows": 100,
        }
        trial = {
            "format": 1,
            "run": "20260101T000000Z-test",
            "trial": "01",
            "host": "here",
            "out": str(self.out),
        }
        self.table = table
        self.trial.write_text(json.dumps({**trial, "load": {**load, **settings}}))

    def own_package(self, repo: Path, into: Path) -> Path:
        """Run a copy of loadtests, which the test may change: returns the copy's folder."""
        shutil.copytree(repo / "loadtests", into / "loadtests", ignore=shutil.ignore_patterns("__pycache__"))
        self.path[1] = str(into)
        return into / "loadtests"

    def start(self, *instances: str) -> Fleet:
        """Start these instances; without any, the master and all workers."""
        for instance in instances or ("master", *(str(n + 1) for n in range(self.workers))):
            environment = {
                "PATH": os.defpath,
                "PYTHONPATH": os.pathsep.join(self.path),
                "LOADPROOF_TRIAL": str(self.trial),
                "LOCUST_USERS": "77",  # to be ignored: only the trial decides
            }
            with open(self.out / f"locust-{instance}.log", "wb") as log:
                # -S: only the tree and ours, nothing of the environment that runs the tests
                self.processes[instance] = subprocess.Popen(
                    [sys.executable, "-S", "-m", "loadtests.start", instance],
                    env=environment,
                    cwd="/",
                    stdout=log,
                    stderr=subprocess.STDOUT,
                )
        return self

    def wait(self, within: float = 20) -> list[int]:
        """Exit codes of all processes, in the order they were started."""
        end = time.monotonic() + within
        try:
            return [process.wait(max(0.1, end - time.monotonic())) for process in self.processes.values()]
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{error}\n{self.logs()}") from error

    def run(self) -> Fleet:
        """Start everything and wait for its good end."""
        codes = self.start().wait()
        assert not any(codes), self.logs()
        return self

    def signal(self, instance: str, number: signal.Signals) -> None:
        """Send a signal to one process of this fleet."""
        self.processes[instance].send_signal(number)

    def end(self) -> None:
        """Kill what still runs."""
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()

    def logs(self) -> str:
        """All that the processes said."""
        return "\n".join(f"== {path.name}\n{path.read_text()}" for path in sorted(self.out.glob("*.log")))

    def rows(self, worker: int, dtype: Any = formats.CLIENT_ROW) -> Any:
        """All rows of a worker's file; rows of kind 0 were reserved and never written."""
        raw = (self.out / f"requests-{worker}.rows").read_bytes()[formats.HEADER.itemsize :]
        rows = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype)
        return rows[rows["kind"] != 0]

    def requests(self, worker: int | None = None) -> Any:
        """The request rows of one worker or of all."""
        workers = range(1, self.workers + 1) if worker is None else [worker]
        rows = np.concatenate([self.rows(number) for number in workers])
        return rows[rows["kind"] == formats.KIND_REQUEST]

    def json(self, name: str) -> Any:
        """A side file."""
        return json.loads((self.out / name).read_text())

    def live(self) -> list[dict[str, Any]]:
        """The whole lines of live.jsonl so far."""
        path = self.out / "live.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def errors(self) -> dict[str, int]:
        """Number of requests by error class, as reports name them."""
        names = {number: self.json(f"names-{number}.json") for number in range(1, self.workers + 1)}
        counts: dict[str, int] = {}
        for row in self.requests():
            name = formats.ERROR_CLASSES[row["error"]]
            if name == "http":
                name = f"http_{row['status']}"
            elif name == "other":
                name = f"other:{names[int(row['id']) >> 48][row['error_name']]}"
            counts[name] = counts.get(name, 0) + 1
        return counts
