"""How a command is given to a host: as root, with an end of its own, its exit code kept apart from ours."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadproof.control.remote import Finished, failed, short
from loadproof.errors import NotReady, StepFailed
from loadproof.plan.shell import quote
from loadproof.runfolder import disk

KILL_AFTER_S = 5
GRACE_S = KILL_AFTER_S + 3  # beyond `within`, for the host's own timeout to act first
CHUNK = 1 << 17
SLOWEST_BYTES_PER_S = 200_000  # a transfer slower than this is given up

# The command is an argument, so that it is quoted once however deep it runs; `exit $?` keeps the shell, which turns
# death by signal N into 128 + N; `timeout` ends on the host what would otherwise outlive a closed channel.
WRAPPER = 'timeout -k {kill} "$0" /bin/sh -c "$1"; exit $?'

SUDO_TROUBLE = (
    (re.compile(r"sudo: (a password is required|.*askpass|.*password)"), "sudo wants a password"),
    (
        re.compile(r"not in the sudoers file|may not run sudo|not allowed to (run|execute)"),
        "sudo is not allowed",
    ),
    (re.compile(r"(sudo: (command )?not found|exec: sudo|sudo: No such file)"), "sudo is missing"),
    (re.compile(r"sudo: .*(tty|terminal)"), "sudo wants a terminal"),
)


def wrapped(command: str, within: float, sudo: bool) -> str:
    """The line a login shell is given so that `command` runs as root for at most `within` seconds."""
    # its own words are recognised below: English, whatever the login's language
    script = ("LC_ALL=C sudo -n " if sudo else "") + WRAPPER.format(kill=KILL_AFTER_S)
    return "exec " + quote("/bin/sh", "-c", script, f"{within:.3f}", command)


def judge(finished: Finished, within: float, user: str, sudo: bool) -> Finished:
    """Return it, or raise: NotReady when its time was over, StepFailed when it was sudo that refused."""
    if finished.exited in (124, 137) and finished.seconds >= within:
        raise overdue(finished.host, finished.command, within, finished.last_lines)
    if sudo and finished.exited in (1, 127):
        said = finished.stderr.strip()
        for pattern, trouble in SUDO_TROUBLE:
            if pattern.search(said) and not finished.stdout:
                raise StepFailed(
                    finished.host, short(finished.command), finished.exited, said,
                    what=f"{trouble} for user {user}: {said.splitlines()[-1]}", kept="nothing ran",
                    next=f"allow it on the host: echo '{user} ALL=(ALL) NOPASSWD: ALL' | sudo tee "
                    f"/etc/sudoers.d/{user}, or log in as root",
                )  # fmt: skip
    return finished


def overdue(host: str, command: str, within: float, seen: str) -> NotReady:
    """The error for a command that did not end in time; it was ended on the host."""
    return NotReady(host, f"end of: {short(command)}", within, seen, kept="the command was ended on the host")


# --- put and fetch, over one command each ----------------------------------------------------------

# The size is checked before the rename: a link cut in the middle looks like an ordinary end of input to `cat`.
PUT = (
    'set -e; umask 077; t="$0.part.$$"; trap \'rm -f "$t"\' EXIT; cat >"$t"; '
    's=$(stat -c %s "$t"); if [ "$s" != "$1" ]; then echo "got $s of $1 bytes" >&2; exit 74; fi; '
    'chown 0:0 "$t"; chmod "$2" "$t"; mv -fT "$t" "$0"'
)


@dataclass(frozen=True)
class Upload:
    """What a put sends: its size, and its bytes in pieces, from the beginning at each call."""

    size: int
    pieces: Callable[[], Iterator[bytes]]


def upload(data: bytes | Path) -> Upload:
    """Make an Upload of bytes or of a local file."""
    if isinstance(data, bytes):
        return Upload(len(data), lambda: iter([data]))
    return Upload(data.stat().st_size, lambda: file_pieces(data))


def file_pieces(path: Path) -> Iterator[bytes]:
    """The bytes of a file, piece by piece."""
    with path.open("rb") as file:
        while piece := file.read(CHUNK):
            yield piece


def put_command(path: str, size: int, mode: int) -> str:
    """The command that writes its whole standard input to `path`, atomically."""
    return quote("/bin/sh", "-c", PUT, path, str(size), f"{mode:o}")


def transfer_s(size: int) -> float:
    """Seconds after which a transfer of `size` bytes is given up."""
    return 60.0 + size / SLOWEST_BYTES_PER_S


def part_of(into: Path) -> Path:
    """The temporary name of a fetched file."""
    return into.with_name(into.name + ".part")


@contextmanager
def part(into: Path) -> Iterator[Callable[[bytes], object]]:
    """A fetched file under its temporary name: gives what writes its bytes. Raises LocalDisk; then nothing is left."""
    path = part_of(into)

    def sink(piece: bytes) -> None:
        # here, where it cannot be taken for an error of the link
        with disk.writing(path):
            file.write(piece)

    try:
        with disk.writing(path), path.open("wb") as file:
            yield sink
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def finish_put(finished: Finished, path: str) -> None:
    """Raise StepFailed when a put did not succeed."""
    if not finished.ok:
        raise failed(finished, what=f"cannot write {path} on the host")


def finish_fetch(finished: Finished, path: str, into: Path) -> None:
    """Give a fetched file its name, or drop what came and raise StepFailed."""
    part = part_of(into)
    if not finished.ok:
        part.unlink(missing_ok=True)
        raise failed(finished, what=f"cannot read {path} on the host")
    part.replace(into)
