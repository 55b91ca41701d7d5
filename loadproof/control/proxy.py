"""A ProxyCommand: somebody's program between us and a host. What it said last is kept for the message."""

from __future__ import annotations

import socket
import subprocess
import threading
from collections import deque

LINES = 5
ENDING_S = 0.5  # a program that has closed its output is about to end


class ProxySocket(socket.socket):
    """Our end of a ProxyCommand that runs; the program ends when its input does."""

    def __init__(self, command: str) -> None:
        ours, theirs = socket.socketpair()
        super().__init__(fileno=ours.detach())
        with theirs:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.PIPE,
                start_new_session=True,
                text=True,
                errors="replace",
            )
        self._process = process
        self._last: deque[str] = deque(maxlen=LINES)
        self._reader = threading.Thread(target=self._read, name="ssh proxy command", daemon=True)
        self._reader.start()

    def end(self) -> str:
        """How it ended, with its last lines of standard error; "" while it runs and has said nothing."""
        self._reader.join(ENDING_S)
        code = self._process.poll()
        lines = tuple(self._last)
        if code is None and not lines:
            return ""
        return "\n".join(("it runs on" if code is None else f"exit {code}", *lines))

    def _read(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as lines:
            self._last.extend(line.rstrip() for line in lines if line.strip())
        # somebody must ask for its exit code
        self._process.wait()
