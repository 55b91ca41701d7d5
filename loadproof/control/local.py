"""The Remote for `ansible_connection: local`: the same commands, on this machine."""

from __future__ import annotations

import getpass
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from loadproof.control import command as commands
from loadproof.control.remote import Finished
from loadproof.errors import LocalDisk
from loadproof.plan.shell import quote
from loadproof.plan.values import Host


class LocalRemote:
    """Runs commands in sessions of their own on this machine, as root or through `sudo -n`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._user = getpass.getuser()
        self._sudo = os.geteuid() != 0

    @property
    def host(self) -> Host:
        """The host it speaks to."""
        return self._host

    def run(self, command: str, within: float, stdin: str = "") -> Finished:
        """Run a shell command; see Remote."""
        out: list[bytes] = []
        data = stdin.encode(errors="surrogateescape")
        finished = self._exchange(command, within, lambda: iter([data]), out.append)
        text = b"".join(out).decode(errors="replace")
        finished = Finished(finished.host, command, finished.exited, text, finished.stderr, finished.seconds)
        return commands.judge(finished, within, self._user, self._sudo)

    def put(self, data: bytes | Path, path: str, mode: int = 0o644) -> None:
        """Write a file owned by root, atomically; see Remote."""
        upload = commands.upload(data)
        command = commands.put_command(path, upload.size, mode)
        within = commands.transfer_s(upload.size)
        finished = self._exchange(command, within, upload.pieces, lambda piece: None)
        commands.finish_put(commands.judge(finished, within, self._user, self._sudo), path)

    def fetch(self, path: str, into: Path) -> None:
        """Copy a file to `into`; see Remote."""
        within = commands.transfer_s(1 << 32)
        with commands.part(into) as sink:
            finished = self._exchange(quote("cat", "--", path), within, lambda: iter([]), sink)
        commands.finish_fetch(commands.judge(finished, within, self._user, self._sudo), path, into)

    def close(self) -> None:
        """Nothing is held open."""

    def _exchange(
        self, command: str, within: float, source: Callable[[], Iterator[bytes]],
        sink: Callable[[bytes], object],
    ) -> Finished:  # fmt: skip
        started = time.monotonic()
        with tempfile.TemporaryFile() as errors:
            process = subprocess.Popen(
                ["/bin/sh", "-c", commands.wrapped(command, within, self._sudo)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            )  # fmt: skip
            assert process.stdin is not None and process.stdout is not None
            feeder = threading.Thread(target=feed, args=(process.stdin, source), daemon=True)
            feeder.start()
            guard = threading.Timer(within + commands.GRACE_S, kill_session, [process.pid])
            guard.start()
            try:
                with process.stdout as stdout:
                    while piece := os.read(stdout.fileno(), commands.CHUNK):
                        sink(piece)
                exited = process.wait()
            except LocalDisk:
                kill_session(process.pid)
                process.wait()
                raise
            finally:
                guard.cancel()
            feeder.join()
            errors.seek(0)
            stderr = errors.read().decode(errors="replace")
        exited = exited if exited >= 0 else 128 - exited
        return Finished(self._host.name, command, exited, "", stderr, time.monotonic() - started)


def feed(pipe: IO[bytes], source: Callable[[], Iterator[bytes]]) -> None:
    """Write all pieces to a command's input; it may end without reading them."""
    with suppress(OSError):
        for piece in source():
            pipe.write(piece)
    with suppress(OSError):
        pipe.close()


def kill_session(pid: int) -> None:
    """End a command that outlived even the host's own timeout."""
    with suppress(OSError):
        os.killpg(pid, signal.SIGKILL)
