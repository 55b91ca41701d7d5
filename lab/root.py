"""Commands on this machine. Only single commands run as root, by `sudo -n` when the caller is not root."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadproof.errors import LabUnavailable

LAST_LINES = 8


@dataclass(frozen=True)
class Done:
    """A command that ended."""

    argv: tuple[str, ...]
    exited: int
    stdout: str
    stderr: str
    seconds: float

    @property
    def last_lines(self) -> str:
        """The end of what it said, for a message."""
        text = (self.stderr or self.stdout).strip()
        return "\n".join(text.splitlines()[-LAST_LINES:])


def run(
    argv: Sequence[str],
    *,
    root: bool = False,
    stdin: bytes = b"",
    within: float = 60.0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> Done:
    """Run a command to its end. Exit code 124 when it took longer than `within` seconds, 127 when there is none.

    `env` is set for the command itself, on the far side of sudo too.
    """
    words = [*(["env", *(f"{key}={value}" for key, value in env.items())] if env else []), *argv]
    words = [*(sudo() if root else []), *words]
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            words, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except (FileNotFoundError, PermissionError) as error:  # the latter: a folder of PATH that may not be read
        return Done(tuple(words), 127, "", str(error), time.monotonic() - began)
    try:
        out, err = process.communicate(stdin, timeout=within)
        exited = process.returncode
    except subprocess.TimeoutExpired:
        end(process)
        out, err = process.communicate()
        exited, err = 124, err + f"\nnot done within {within:.0f} s".encode()
    except BaseException:
        end(process)
        process.communicate()
        raise
    return Done(
        tuple(words),
        exited,
        out.decode(errors="replace"),
        err.decode(errors="replace"),
        time.monotonic() - began,
    )


def must(
    argv: Sequence[str],
    *,
    what: str,
    root: bool = False,
    stdin: bytes = b"",
    within: float = 60.0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a command that has to work; gives its standard output. Raises LabUnavailable that begins with `what`."""
    done = run(argv, root=root, stdin=stdin, within=within, cwd=cwd, env=env)
    if done.exited == 0:
        return done.stdout
    if root and done.stderr.startswith("sudo:"):
        raise no_root(done.stderr)
    raise LabUnavailable(
        f"{what}: exit {done.exited} from {argv[0]}\n{done.last_lines}".rstrip(),
        where="lab",
        kept="what was made so far; lab.up repairs it",
        next="inv lab.up, or inv lab.down",
    )


def sudo() -> list[str]:
    """Words that make the command after them run as root."""
    return [] if os.geteuid() == 0 else ["sudo", "-n"]


def need_root() -> None:
    """Raises LabUnavailable when single commands cannot be run as root."""
    if os.geteuid() != 0:
        done = run(["true"], root=True, within=20)
        if done.exited != 0:
            raise no_root(done.stderr)


def no_root(said: str) -> LabUnavailable:
    """The error for a caller who is not root and cannot become it."""
    return LabUnavailable(
        f"the lab needs root for single commands, and sudo does not give it: {said.strip()}",
        where="this machine",
        kept="nothing was touched",
        next="sudo -v, then the same command again",
    )


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill a command of ours, behind sudo too, where our own signal is not allowed."""
    try:
        process.kill()
    except PermissionError:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        with contextlib.suppress(OSError):
            for child in children.read_text().split():
                subprocess.run([*sudo(), "kill", "-KILL", child], check=False, capture_output=True)
