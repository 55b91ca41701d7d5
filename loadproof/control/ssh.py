"""The Remote over ssh: Fabric's Connection, with each setting taken from `ssh -G`.

Fabric opens the connection and logs in. Three things are done here, each for a reason that is tested: host keys are
checked (Fabric accepts any), a silent peer is noticed (neither keepalive nor run(timeout=) does), and commands run on a
channel of the connection directly, because invoke's runner feeds standard input one character per 10 ms.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import paramiko
from fabric import Connection

from loadproof.control import command as commands
from loadproof.control import link
from loadproof.control.order import sending
from loadproof.control.remote import ConnectionDropped, Finished, short
from loadproof.control.sshconfig import SshSettings, resolve
from loadproof.control.trouble import words
from loadproof.errors import HostUnreachable, LinkLost
from loadproof.plan.shell import quote
from loadproof.plan.values import Host

SESSIONS = 8  # sshd's MaxSessions is 10
SILENCE_S = 9.0  # without an answer for so long a link counts as lost
LATE_OUTPUT_S = 0.5  # a process left behind may hold the output open after the command's own end


class SshRemote:
    """One host over ssh. Connects at the first verb; connects again when an idle connection has gone."""

    def __init__(self, host: Host, jumps: link.Jumps | None = None, silence_s: float = SILENCE_S) -> None:
        self._host = host
        self._own_jumps = jumps is None
        self._jumps = jumps or link.Jumps()
        self._silence_s = silence_s
        self._settings: SshSettings | None = None
        self._connection: Connection | None = None
        self._watchdog: link.Watchdog | None = None
        self._opening = threading.Lock()
        self._closed = False
        self._sessions = threading.BoundedSemaphore(SESSIONS)

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
        return self._judge(finished, within)

    def put(self, data: bytes | Path, path: str, mode: int = 0o644) -> None:
        """Write a file owned by root, atomically; see Remote."""
        upload = commands.upload(data)
        command = commands.put_command(path, upload.size, mode)
        within = commands.transfer_s(upload.size)
        finished = self._exchange(command, within, upload.pieces, lambda piece: None)
        commands.finish_put(self._judge(finished, within), path)

    def fetch(self, path: str, into: Path) -> None:
        """Copy a file of the host to `into`; see Remote."""
        within = commands.transfer_s(1 << 32)
        with commands.part(into) as sink:
            finished = self._exchange(quote("cat", "--", path), within, lambda: iter([]), sink)
        commands.finish_fetch(self._judge(finished, within), path, into)

    def close(self) -> None:
        """End the connection, for good: a thread that still works with it must not open another one."""
        self._closed = True
        # hardly waited for: who is opening one now sees that it is closed, and ends it
        if self._opening.acquire(timeout=0.02):
            try:
                self._drop()
            finally:
                self._opening.release()
        if self._own_jumps:
            self._jumps.close()

    def _drop(self) -> None:
        watchdog, connection = self._watchdog, self._connection
        self._watchdog = self._connection = None
        if watchdog is not None:
            watchdog.stop()
        if connection is not None:
            with suppress(Exception):
                connection.close()

    # --- inside ---

    def _judge(self, finished: Finished, within: float) -> Finished:
        settings = self._resolved()
        return commands.judge(finished, within, settings.user, settings.user != "root")

    def _resolved(self) -> SshSettings:
        if self._settings is None:
            self._settings = resolve(self._host)
        return self._settings

    def _open(self) -> tuple[Connection, link.Watchdog]:
        with self._opening:
            self._refuse_if_closed()
            if self._connection is None or not self._connection.is_connected or self._watchdog is None:
                if self._watchdog is not None:
                    self._watchdog.stop()
                self._connection = link.open_connection(self._host.name, self._resolved(), self._jumps)
                self._watchdog = link.Watchdog(self._connection.transport, self._silence_s)
                self._refuse_if_closed()
            return self._connection, self._watchdog

    def _refuse_if_closed(self) -> None:
        if self._closed:
            self._drop()
            raise HostUnreachable(self._host.name, "its connection was closed by us", kept="nothing ran")

    def _exchange(
        self, command: str, within: float, source: Callable[[], Iterator[bytes]],
        sink: Callable[[bytes], object],
    ) -> Finished:  # fmt: skip
        with self._sessions:
            connection, watchdog = self._open()
            started = time.monotonic()
            with watchdog.watching():
                try:
                    channel = connection.create_session()
                except (paramiko.SSHException, OSError, EOFError) as error:
                    raise ConnectionDropped(
                        self._host.name, f"the connection is gone: {words(error)}", kept="nothing ran"
                    ) from None
                line = commands.wrapped(command, within, self._resolved().user != "root")
                try:
                    channel.exec_command(line)
                    exited, stderr = pump(channel, source(), sink, started + within + commands.GRACE_S)
                except (paramiko.SSHException, OSError, EOFError) as error:
                    raise self._lost(command, words(error)) from None
                except TimeoutError:
                    raise commands.overdue(self._host.name, command, within, "") from None
                finally:
                    channel.close()
            if exited < 0:
                raise self._lost(command, watchdog.why or "the host closed it")
            return Finished(self._host.name, command, exited, "", stderr, time.monotonic() - started)

    def _lost(self, command: str, why: str) -> LinkLost:
        return LinkLost(
            self._host.name,
            f"the connection went away during: {short(command)} ({why}); the outcome is unknown",
            kept="what runs on the host runs on",
            next="inv status",
        )


class Arrivals(threading.Event):
    """Set when something comes on a channel, until it is `seen`. paramiko would clear it whenever one of the channel's two
    buffers is empty, so that is left to whoever looks.

    Instead of Channel.fileno(): its pipe goes with the channel, and what arrives at that moment is written to a
    descriptor that is closed by then, which ends the connection, or to whatever was opened since.
    """

    @classmethod
    def on(cls, channel: paramiko.Channel) -> Arrivals:
        """Of a channel that was just opened."""
        made = cls()
        for buffer in (channel.in_buffer, channel.in_stderr_buffer):
            buffer.set_event(made)
        return made

    def clear(self) -> None:
        """Not yet."""

    def seen(self) -> None:
        """Whatever came is being looked at now."""
        super().clear()


def pump(
    channel: paramiko.Channel, source: Iterator[bytes], sink: Callable[[bytes], object], deadline: float
) -> tuple[int, str]:
    """Feed and drain a channel until the command ended: exit code (-1: it was not told) and standard error.

    Raises TimeoutError at the deadline (time.monotonic()).
    """
    errors: list[bytes] = []
    arrivals = Arrivals.on(channel)
    pending: memoryview | None = memoryview(b"")
    ended = 0.0
    while True:
        arrivals.seen()
        with sending(channel):
            busy = drain(channel, sink, errors.append)
            if pending is not None:
                pending, fed = feed(channel, pending, source)
                busy = busy or fed
        if busy:
            continue
        now = time.monotonic()
        if channel.exit_status_ready():
            ended = ended or now
            if channel.eof_received or channel.closed or now - ended > LATE_OUTPUT_S:
                drain(channel, sink, errors.append)
                return channel.recv_exit_status(), b"".join(errors).decode(errors="replace")
        if now > deadline:
            raise TimeoutError
        # a closed window or a late exit code does not wake us: look again soon while one is awaited
        soon = pending is not None or channel.eof_received or ended > 0
        arrivals.wait(0.005 if soon else 0.2)


def drain(channel: paramiko.Channel, out: Callable[[bytes], object], err: Callable[[bytes], object]) -> bool:
    """Hand over what has come; True when there was something."""
    busy = False
    while channel.recv_ready():
        out(channel.recv(commands.CHUNK))
        busy = True
    while channel.recv_stderr_ready():
        err(channel.recv_stderr(commands.CHUNK))
        busy = True
    return busy


def feed(
    channel: paramiko.Channel, pending: memoryview, source: Iterator[bytes]
) -> tuple[memoryview | None, bool]:
    """Send what the window takes: what is left (None: all sent, input ended), and whether something went."""
    if channel.closed or channel.exit_status_ready():
        return None, False
    if not pending:
        piece = next(source, None)
        if piece is None:
            with suppress(OSError, EOFError):
                channel.shutdown_write()
            return None, True
        pending = memoryview(piece)
        if not pending:
            return pending, True
    if not channel.send_ready():
        return pending, False
    try:
        sent = channel.send(bytes(pending[: 1 << 15]))
    except OSError:  # the command ended without reading its input: that is its own affair
        if channel.get_transport().is_active():
            return None, False
        raise
    return pending[sent:], True
