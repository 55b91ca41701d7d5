"""Starting the test ssh server, and hosts that point at it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from loadproof.plan.values import Host

PROGRAM = Path(__file__).with_name("sshd.py")
SUDO_PASSES = '#!/bin/sh\n[ "$1" = -n ] && shift\nexec "$@"\n'


@dataclass
class Server:
    """A running server: its folder, port and process."""

    folder: Path
    port: int
    process: subprocess.Popen[str]

    def host(self, user: str = "root", name: str = "h1", **args: str) -> Host:
        """An inventory host that leads here; `args` are further ssh options, known_hosts is the folder's."""
        options = {
            "UserKnownHostsFile": self.folder / "known_hosts", "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes", **args,
        }  # fmt: skip
        common = "-F none " + " ".join(f"-o {key}={value}" for key, value in options.items())
        return Host(
            name, ("app",), "127.0.0.1", ssh_port=self.port, ssh_user=user,
            identity_file=str(self.folder / "client_key"), ssh_common_args=common,
        )  # fmt: skip

    def know(self, line: str = "") -> None:
        """Write known_hosts: the right line, or the one given."""
        key = (self.folder / "host_key.pub").read_text().strip()
        (self.folder / "known_hosts").write_text(line or f"# ours\n[127.0.0.1]:{self.port} {key}\n")


@contextmanager
def serving(folder: Path, sudo: str = SUDO_PASSES, more_keys: tuple[Path, ...] = ()) -> Iterator[Server]:
    """A server of its own, with further host keys if any; ended, even when it was stopped by SIGSTOP."""
    programs = folder / "bin"
    programs.mkdir(parents=True, exist_ok=True)
    (programs / "sudo").write_text(sudo)
    (programs / "sudo").chmod(0o755)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"}
    process = subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder), *map(str, more_keys)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    try:
        server = Server(folder, int(process.stdout.readline()), process)
        server.know()
        yield server
    finally:
        process.send_signal(signal.SIGCONT)
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
