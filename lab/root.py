"""Commands on this machine. Only single commands run as root, by `sudo -n` when the caller is not root.

Where sudo wants a password, it is asked for once, by `need_root`, before the first of them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadproof.errors import LabUnavailable

LAST_LINES = 8
# The command ends as soon as the other end of our standard input is closed: when the caller lets go, or is killed.
# A signal could not pass sudo, and a caller that was killed sends none.
TETHER = r"""
exec 3<&0 </dev/null
"$@" 3<&- &
child=$!
{ cat <&3; kill -KILL "$child"; } >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$child"
exited=$?
kill -KILL "$watcher" 2>/dev/null
exit "$exited"
"""


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
    tethered: bool = False,
) -> Done:
    """Run a command to its end. Exit code 124 when it took longer than `within` seconds, 127 when there is none.

    `env` is set for the command itself, on the far side of sudo too. `tethered`: it gets no input, and is killed when
    this process ends, however that comes about.
    """
    words = [*(["env", *(f"{key}={value}" for key, value in env.items())] if env else []), *argv]
    words = [*(sudo() if root else []), *(["sh", "-c", TETHER, "sh"] if tethered else []), *words]
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            words, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except (FileNotFoundError, PermissionError) as error:  # the latter: a folder of PATH that may not be read
        return Done(tuple(words), 127, "", str(error), time.monotonic() - began)
    exited, out, err = ended(process, stdin, within, tethered)
    return Done(
        tuple(words),
        exited,
        out.decode(errors="replace"),
        err.decode(errors="replace"),
        time.monotonic() - began,
    )


def ended(
    process: subprocess.Popen[bytes], stdin: bytes, within: float, tethered: bool
) -> tuple[int, bytes, bytes]:
    """Wait for the end of a command, or make it: exit code and output."""
    rope, process.stdin = (process.stdin, None) if tethered else (None, process.stdin)
    try:
        out, err = process.communicate(stdin or None, timeout=within)
        return process.returncode, out, err
    except subprocess.TimeoutExpired:
        rope.close() if rope else end(process)
        out, err = process.communicate()
        return 124, out, err + f"\nnot done within {within:.0f} s".encode()
    except BaseException:
        rope.close() if rope else end(process)
        process.communicate()
        raise
    finally:
        if rope:
            rope.close()


def must(
    argv: Sequence[str],
    *,
    what: str,
    root: bool = False,
    stdin: bytes = b"",
    within: float = 60.0,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    tethered: bool = False,
) -> str:
    """Run a command that has to work; gives its standard output. Raises LabUnavailable that begins with `what`."""
    done = run(argv, root=root, stdin=stdin, within=within, cwd=cwd, env=env, tethered=tethered)
    if done.exited == 0:
        return done.stdout
    # it may begin with a warning of sudo's (a host name that does not resolve), and go on with the command's own words
    if root and done.stderr.strip().rpartition("\n")[2].startswith("sudo:"):
        raise no_root(done.stderr, "what was done so far; the same command goes on from there")
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
    """Raises LabUnavailable when single commands cannot be run as root; on a terminal sudo may ask for a password."""
    if os.geteuid() == 0:
        return
    done = run(["true"], root=True, within=20)
    if done.exited not in (0, 127) and sys.stdin.isatty():
        subprocess.run(["sudo", "-v"], check=False)
        done = run(["true"], root=True, within=20)
    if done.exited != 0:
        raise no_root(done.stderr, "nothing was touched")


def no_root(said: str, kept: str) -> LabUnavailable:
    """The error for a caller who is not root and cannot become it."""
    return LabUnavailable(
        f"the lab needs root for single commands, and sudo does not give it: {said.strip()}",
        where="this machine",
        kept=kept,
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
