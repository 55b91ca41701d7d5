"""Three verbs on a host: run, put, fetch. Everything that happens on a host goes through a `Remote`.

Implementations: `ssh` (Fabric), `local` (a subprocess, for `ansible_connection: local`), `fake` (scripted, for tests),
`retry` (wraps one of them). One contract test runs against all (tests/control/test_remote.py).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from loadproof.errors import HostUnreachable, StepFailed
from loadproof.plan.values import Host

if TYPE_CHECKING:
    from loadproof.control.link import Jumps

LAST_LINES = 12


@dataclass(frozen=True)
class Finished:
    """A command that ran to its end on a host; `exited` is its own exit code (128 + N for signal N)."""

    host: str
    command: str
    exited: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether it exited 0."""
        return self.exited == 0

    @property
    def last_lines(self) -> str:
        """The last lines of what it said, errors after output."""
        said = "\n".join(part.rstrip() for part in (self.stdout, self.stderr) if part.strip())
        return "\n".join(said.splitlines()[-LAST_LINES:])

    def json(self) -> Any:
        """Standard output as JSON. Raises StepFailed when it is none."""
        try:
            return json.loads(self.stdout)
        except ValueError:
            raise failed(self, what=f"the answer of this command is no JSON: {short(self.command)}") from None


class ConnectionDropped(HostUnreachable):
    """No session, for a reason that may pass by itself: a host that boots, a login queue that is full, a connection
    that went away before anything ran."""


class Remote(Protocol):
    """One host. All verbs act as root; each may be called from several threads at once.

    `run` returns whatever the exit code is. Errors: HostUnreachable (no session, nothing ran), LinkLost (the
    connection went away, outcome unknown), NotReady (`within` seconds passed and the command was ended),
    StepFailed (sudo refuses, or a put or fetch failed on the host).
    """

    @property
    def host(self) -> Host:
        """The host it speaks to."""
        ...

    def run(self, command: str, within: float, stdin: str = "") -> Finished:
        """Run a shell command with `stdin` as its whole input, at most `within` seconds."""
        ...

    def put(self, data: bytes | Path, path: str, mode: int = 0o644) -> None:
        """Write a file owned by root, atomically; the folder must exist."""
        ...

    def fetch(self, path: str, into: Path) -> None:
        """Copy a file of the host to the local path `into`, under `<into>.part` until it is whole."""
        ...

    def close(self) -> None:
        """End the connection. May be called twice; never raises."""
        ...


def connect(host: Host, jumps: Jumps | None = None) -> Remote:
    """The Remote for a host as its inventory declares it; connects at the first verb, not before.

    Hosts behind the same jump hosts share their connections when they are given the same `jumps`.
    """
    if host.connection == "local":
        from loadproof.control.local import LocalRemote

        return LocalRemote(host)
    from loadproof.control.retry import RetryingRemote
    from loadproof.control.ssh import SshRemote

    return RetryingRemote(SshRemote(host, jumps))


def checked(
    remote: Remote, command: str, within: float, stdin: str = "", ok: tuple[int, ...] = (0,)
) -> Finished:
    """Run, and raise StepFailed unless the exit code is one of `ok`."""
    finished = remote.run(command, within, stdin)
    if finished.exited not in ok:
        raise failed(finished)
    return finished


def failed(finished: Finished, *, what: str = "") -> StepFailed:
    """The StepFailed that tells of a finished command."""
    return StepFailed(
        finished.host,
        short(finished.command),
        finished.exited,
        finished.last_lines,
        what=f"{what}\n{finished.last_lines}".rstrip() if what else "",
    )


def short(command: str, width: int = 160) -> str:
    """A command in one line for a message; a program text sent along is cut."""
    line = " ".join(command.split())
    return line if len(line) <= width else line[: width - 1] + "…"
