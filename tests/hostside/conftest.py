"""Real processes in a folder of their own, with stand-ins for what needs root or systemd."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

HOSTSIDE = Path(__file__).resolve().parents[2] / "hostside"
DATA = Path(__file__).resolve().parents[1] / "data" / "hostside"

SYSTEMCTL = """#!/bin/sh
# knows one unit: its main pid is in the file mainpid
case "$1" in
    show) read -r pid < "$FAKES/mainpid"; echo "$pid";;
    set-property) echo "$@" >> "$FAKES/properties";;
    is-active) [ -e "$FAKES/active" ]; exit;;
    --version) echo "systemd 252 (fake)";;
esac
exit 0
"""

BUSY = "import sys\nprint('up', flush=True)\nwhile True: pass"
FORKING = "import os\nprint('up', flush=True)\nos.fork()\nwhile True: pass"
# children that live for 0.1 s, with 0.2 s between them; a line of the file for each
BRIEFLY_FORKING = """import os, sys, time
print('up', flush=True)
while True:
    if not (child := os.fork()):
        time.sleep(0.1)
        os._exit(0)
    os.waitpid(child, 0)
    with open({path!r}, 'a') as file:
        file.write('one\\n')
    time.sleep(0.2)
"""
IDLE = "import time\nprint('up', flush=True)\nwhile True: time.sleep(60)"


def until(condition: Callable[[], Any], what: str, within: float = 5.0) -> Any:
    """Wait for a named condition; its value."""
    end = time.monotonic() + within
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {within} s: {what}"
        time.sleep(0.01)
    return value


def state_of(pid: int) -> str:
    """State letter of a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def cpu_ns(pid: int) -> int:
    """CPU of a process so far."""
    return time.clock_gettime_ns(((~pid) << 3) | 2)


def runs_free(pid: int) -> bool:
    """Whether a busy process is not stopped, seen over 200 ms."""
    before, seen = cpu_ns(pid), set()
    end = time.monotonic() + 0.2
    while time.monotonic() < end:
        seen.add(state_of(pid))
        time.sleep(0.005)
    return "T" not in seen and cpu_ns(pid) > before


def run(program: str, *words: str, stdin: str = "", env: dict[str, str] | None = None) -> Any:
    """Run a host program as hosts do."""
    return subprocess.run(
        [sys.executable, "-I", "-S", str(HOSTSIDE / f"{program}.py"), *words],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        env=env,
    )


def load_program(name: str) -> Any:
    """A host program as a module, for its pure functions; a new one each time."""
    spec = importlib.util.spec_from_file_location(f"{name}_under_test", HOSTSIDE / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Stage:
    """A folder with fake programs, one app unit, and the supervisor under test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started = folder, list[subprocess.Popen[str]]()
        self.bin, self.out = folder / "bin", folder / "out"
        self.state, self.trial_path = folder / "run" / "limit.json", folder / "trial.json"
        for one in (self.bin, self.out):
            one.mkdir()
        self.env = {"PATH": str(self.bin), "FAKES": str(folder), "FLAVOUR": "limitcpu"}
        self.program("systemctl", SYSTEMCTL)
        self.program("cpulimit", f"#!{sys.executable} -IS\n" + (DATA / "fake_cpulimit.py").read_text())
        for flavour in ("limitcpu-2.8", "opsengine-0.x"):
            (folder / f"{flavour.partition('-')[0]}.txt").write_text(
                (DATA / f"cpulimit-{flavour}.txt").read_text()
            )
        self.main_pid(0)
        self.trial("cpulimit")

    def program(self, name: str, text: str) -> None:
        """Put a program into the PATH of the supervisor."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)

    def trial(self, kind: str, percent: float = 5, deadline_s: float = 60) -> None:
        """Write trial.json."""
        limiter = {"kind": kind, "percent": percent, "unit": "loadproof-app.service"}
        trial = {"format": 1, "run": "r", "trial": "01", "deadline_s": deadline_s, "limiter": limiter}
        self.trial_path.write_text(json.dumps(trial))

    def main_pid(self, pid: int) -> None:
        """What systemd says."""
        (self.folder / "mainpid.new").write_text(f"{pid}\n")
        (self.folder / "mainpid.new").rename(self.folder / "mainpid")

    def spawn(self, *words: str, **how: Any) -> subprocess.Popen[str]:
        """Start a process that is ended with the test."""
        process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)
        self.started.append(process)
        return process

    def app(self, text: str = BUSY) -> subprocess.Popen[str]:
        """Start the app; systemd knows it."""
        process = self.spawn(sys.executable, "-I", "-S", "-c", text, start_new_session=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        self.main_pid(process.pid)
        return process

    def words(self, word: str, *more: str) -> list[str]:
        """Command line of limit.py for this folder."""
        options = ["--trial", self.trial_path, "--out", self.out, "--state", self.state]
        return [sys.executable, "-I", "-S", str(HOSTSIDE / "limit.py"), word, *map(str, options), *more]

    def supervise(self) -> subprocess.Popen[str]:
        """Start the supervisor."""
        return self.spawn(*self.words("supervise"), env=self.env)

    def limit(self, word: str, *more: str) -> Any:
        """Run another word of limit.py."""
        return subprocess.run(
            self.words(word, *more), env=self.env, capture_output=True, text=True, timeout=20
        )

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The events so far, or those of one name."""
        path = self.out / "limiter.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [event for event in map(json.loads, lines) if not name or event["event"] == name]

    def attached(self, number: int = 1, within: float = 5.0) -> dict[str, Any]:
        """Wait for the n-th attach."""
        until(lambda: len(self.events("attached")) >= number, f"attached {number} times", within)
        return self.events("attached")[number - 1]

    def close(self) -> None:
        """End everything that the test started."""
        for process in reversed(self.started):
            for pid in {process.pid, *self.group(process.pid)}:
                if process.poll() is None or pid != process.pid:
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()
        for event in self.events("attached"):
            if event["child"] and (Path("/proc") / str(event["child"])).exists():
                os.kill(event["child"], signal.SIGKILL)

    @staticmethod
    def group(leader: int) -> list[int]:
        """Living members of the session that a process leads (the app's forks)."""
        found = []
        for folder in Path("/proc").iterdir():
            if folder.name.isdigit():
                try:
                    words = (folder / "stat").read_text().rpartition(")")[2].split()
                except OSError:
                    continue
                if int(words[3]) == leader and words[0] not in "ZX":
                    found.append(int(folder.name))
        return found


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A stage that is cleared at the end."""
    made = Stage(tmp_path)
    yield made
    made.close()
