"""Remotes for tests: one that answers from a script and records calls, one that runs a plain shell."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from loadproof.control import command as commands
from loadproof.control.remote import Finished, failed
from loadproof.errors import LinkLost, LoadproofError
from loadproof.plan.values import Host

Answer = str | Finished | LoadproofError | Callable[["Call"], "str | Finished"]


@dataclass(frozen=True)
class Call:
    """One verb as it was called: verb "run", "put" or "fetch"; `what` is the command or the path."""

    host: str
    verb: str
    what: str
    stdin: str = ""
    data: bytes = b""
    mode: int = 0


@dataclass
class Script:
    """What fakes answer, shared by the hosts of a fleet, and every call in order.

    `answers` holds (pattern, answer): the first pattern found in the command decides; a text is standard output of
    exit 0; without a match the answer is exit 0 and no output. From call number `fail_at` (counted from 0 over all
    hosts) one call raises `failure`; with `dead` all later calls of that host do.
    """

    answers: list[tuple[str, Answer]] = field(default_factory=list)
    fail_at: int | None = None
    failure: Callable[[str], LoadproofError] = lambda host: LinkLost(host, "scripted: the link is lost")
    dead: bool = False
    calls: list[Call] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    lost: set[str] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def on(self, pattern: str, answer: Answer) -> Script:
        """Add an answer; returns itself."""
        self.answers.append((pattern, answer))
        return self

    def record(self, call: Call) -> None:
        """Note a call, and fail when its turn has come."""
        with self.lock:
            number = len(self.calls)
            self.calls.append(call)
            if call.host in self.lost or number == self.fail_at:
                if self.dead:
                    self.lost.add(call.host)
                raise self.failure(call.host)

    def commands(self, host: str | None = None) -> list[str]:
        """The commands run so far, of one host or of all."""
        return [call.what for call in self.calls if call.verb == "run" and host in (None, call.host)]


class FakeRemote:
    """Answers from a Script; files put are kept and can be fetched."""

    def __init__(self, host: Host, script: Script) -> None:
        self._host = host
        self.script = script
        self.files: dict[str, bytes] = {}

    @property
    def host(self) -> Host:
        """The host it stands for."""
        return self._host

    def run(self, command: str, within: float, stdin: str = "") -> Finished:
        """The scripted answer."""
        call = Call(self._host.name, "run", command, stdin=stdin)
        self.script.record(call)
        for pattern, answer in self.script.answers:
            if re.search(pattern, command, re.DOTALL):
                return self._finish(call, answer)
        return Finished(self._host.name, command, 0, "", "", 0.0)

    def put(self, data: bytes | Path, path: str, mode: int = 0o644) -> None:
        """Keep the bytes."""
        data = data if isinstance(data, bytes) else data.read_bytes()
        self.script.record(Call(self._host.name, "put", path, data=data, mode=mode))
        self.files[path] = data

    def fetch(self, path: str, into: Path) -> None:
        """Give the bytes back."""
        self.script.record(Call(self._host.name, "fetch", path))
        if path not in self.files:
            raise failed(Finished(self._host.name, f"cat {path}", 1, "", "No such file", 0.0))
        into.write_bytes(self.files[path])

    def close(self) -> None:
        """Note that it was closed."""
        self.script.closed.append(self._host.name)

    def _finish(self, call: Call, answer: Answer) -> Finished:
        if callable(answer):
            answer = answer(call)
        if isinstance(answer, LoadproofError):
            raise answer
        if isinstance(answer, Finished):
            return answer
        return Finished(call.host, call.what, 0, answer, "", 0.0)


class ShellFake:
    """The least that holds the contract of Remote: a plain shell on this machine, as whoever runs the test."""

    def __init__(self, host: Host) -> None:
        self._host = host

    @property
    def host(self) -> Host:
        """The host it stands for."""
        return self._host

    def run(self, command: str, within: float, stdin: str = "") -> Finished:
        """Run it in a shell."""
        started = time.monotonic()
        try:
            ran = subprocess.run(
                ["timeout", "-k", "5", str(within), "/bin/sh", "-c", command],
                input=stdin.encode(), capture_output=True, timeout=within + 10,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise commands.overdue(self._host.name, command, within, "") from None
        exited = ran.returncode if ran.returncode >= 0 else 128 - ran.returncode
        out, err = (stream.decode(errors="replace") for stream in (ran.stdout, ran.stderr))
        finished = Finished(self._host.name, command, exited, out, err, time.monotonic() - started)
        return commands.judge(finished, within, "", sudo=False)

    def put(self, data: bytes | Path, path: str, mode: int = 0o644) -> None:
        """Write a file."""
        target = Path(path)
        part = target.with_name(f"{target.name}.part")
        try:
            part.write_bytes(data if isinstance(data, bytes) else data.read_bytes())
        except OSError as error:
            commands.finish_put(Finished(self._host.name, f"put {path}", 1, "", str(error), 0.0), path)
        part.chmod(mode)
        part.replace(target)

    def fetch(self, path: str, into: Path) -> None:
        """Copy a file."""
        try:
            shutil.copyfile(path, commands.part_of(into))
            exited, said = 0, ""
        except OSError as error:
            exited, said = 1, str(error)
        commands.finish_fetch(Finished(self._host.name, f"cat {path}", exited, "", said, 0.0), path, into)

    def close(self) -> None:
        """Nothing is held open."""
