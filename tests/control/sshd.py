"""An ssh server for tests, in a process of its own: commands really run, on this machine, as the tester.

    python tests/control/sshd.py FOLDER [MORE_HOST_KEYS …]

makes FOLDER/{host_key,client_key,authorized}, prints the port, serves until its standard input ends.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import subprocess
import sys
from pathlib import Path

import asyncssh


async def handle(process: asyncssh.SSHServerProcess[bytes]) -> None:
    """Run one command with its three streams."""
    environment = dict(os.environ)
    shell = await asyncio.create_subprocess_exec(
        "/bin/sh", "-c", process.command or "true",
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
        start_new_session=True,
    )  # fmt: skip
    assert shell.stdin and shell.stdout and shell.stderr
    feeder = asyncio.create_task(feed(process.stdin, shell.stdin))
    await asyncio.gather(drain(shell.stdout, process.stdout), drain(shell.stderr, process.stderr))
    exited = await shell.wait()
    feeder.cancel()
    process.exit(exited) if exited >= 0 else process.exit_with_signal("KILL")


async def feed(source: asyncssh.SSHReader[bytes], pipe: asyncio.StreamWriter) -> None:
    """Copy standard input; the command may end without reading it."""
    with contextlib.suppress(ConnectionError, asyncssh.BreakReceived):
        while piece := await source.read(1 << 16):
            pipe.write(piece)
            await pipe.drain()
    pipe.close()


async def drain(pipe: asyncio.StreamReader, sink: asyncssh.SSHWriter[bytes]) -> None:
    """Copy an output; the other side may have closed the channel."""
    while piece := await pipe.read(1 << 16):
        with contextlib.suppress(ConnectionError):
            sink.write(piece)
            await sink.drain()


class Server(asyncssh.SSHServer):
    """Lets itself be used as a jump host."""

    def connection_requested(self, *asked: object) -> bool:
        """Any destination."""
        return True


async def serve(folder: Path, more_keys: list[Path]) -> None:
    """Listen on a free port of 127.0.0.1 until standard input ends."""
    for name in ("host_key", "client_key"):
        if not (folder / name).exists():
            key = asyncssh.generate_private_key("ssh-ed25519")
            key.write_private_key(str(folder / name))
            key.write_public_key(str(folder / f"{name}.pub"))
    server = await asyncssh.create_server(
        Server, "127.0.0.1", 0,
        server_host_keys=[str(path) for path in (folder / "host_key", *more_keys)],
        authorized_client_keys=str(folder / "client_key.pub"),
        process_factory=handle, encoding=None, line_editor=False,
    )  # fmt: skip
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    os._exit(0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("more_keys", type=Path, nargs="*")
    asyncio.run(serve(**vars(parser.parse_args())))
