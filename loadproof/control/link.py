"""Opening an ssh connection with checked host keys and limits in time, and noticing when it falls silent."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import paramiko
from fabric import Config, Connection

from loadproof.control.hostkeys import HostKeyRefused, host_key_policy, transports
from loadproof.control.proxy import ProxySocket
from loadproof.control.sshconfig import SshSettings, hop
from loadproof.control.trouble import trouble
from loadproof.errors import LoadproofError

PING = "keepalive@openssh.com"

# What a connection says of its end comes to the person as an error of ours, once.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False


Stream = socket.socket | paramiko.Channel


class Jumps:
    """The jump hosts of a fleet, each connected once and first, however many hosts are behind it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._locks: dict[tuple[str, ...], threading.Lock] = {}
        self._open: dict[tuple[str, ...], tuple[Connection, Watchdog]] = {}

    def through(self, name: str, hops: tuple[str, ...], config_args: tuple[str, ...]) -> Connection:
        """The connection to the last of `hops`, opened through those before it."""
        key = (*config_args, "|", *hops)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            held = self._open.get(key)
            if held is not None and held[0].is_connected:
                return held[0]
            settings = hop(name, hops, config_args)
            connection = open_connection(settings.alias, settings, self)
            watchdog = Watchdog(connection.transport, settings.connect_s)
            watchdog.always()
            self._open[key] = (connection, watchdog)
            return connection

    def close(self) -> None:
        """End all of them."""
        with self._lock:
            held = list(self._open.values())
            self._open.clear()
        for connection, watchdog in reversed(held):
            watchdog.stop()
            with suppress(Exception):
                connection.close()


class Watchdog:
    """Closes a transport whose peer does not answer: paramiko would wait for ever.

    While an operation is under way it asks every third of the limit; one more third without an answer beyond that
    is silence.
    """

    def __init__(self, transport: paramiko.Transport, silence_s: float) -> None:
        self.why = ""
        self._transport = transport
        self._every = silence_s / 3
        self._patience = silence_s - self._every
        self._busy = 0
        self._wake = threading.Condition()
        self._stopped = False
        self._thread: threading.Thread | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch as long as the block runs."""
        self.always()
        try:
            yield
        finally:
            with self._wake:
                self._busy -= 1

    def always(self) -> None:
        """Watch from now on."""
        with self._wake:
            self._busy += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._watch, name="ssh watchdog", daemon=True)
                self._thread.start()
            elif self._busy == 1:
                self._wake.notify()

    def stop(self) -> None:
        """Watch no longer."""
        with self._wake:
            self._stopped = True
            self._wake.notify()

    def _watch(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._stopped or self._busy > 0)
                self._wake.wait_for(lambda: self._stopped, timeout=self._every)
                if self._stopped or not self._transport.is_active():
                    return
                if self._busy == 0:
                    continue
            timer = threading.Timer(self._patience, self._give_up)
            timer.daemon = True
            timer.start()
            with suppress(paramiko.SSHException, OSError, EOFError):
                self._transport.global_request(PING, wait=True)
            timer.cancel()

    def _give_up(self) -> None:
        self.why = f"no answer for {self._every + self._patience:.0f} s"
        self._transport.close()


def open_connection(name: str, settings: SshSettings, jumps: Jumps) -> Connection:
    """Connect and log in. Raises HostUnreachable (ConnectionDropped when it may pass by itself)."""
    deadline = time.monotonic() + settings.connect_s
    connection = Connection(
        settings.hostname, user=settings.user, port=settings.port, gateway=False, forward_agent=False,
        config=Config(lazy=True, ssh_config=paramiko.SSHConfig()), connect_timeout=int(settings.connect_s),
    )  # fmt: skip
    sock: Stream | None = None
    policy = host_key_policy(settings)
    connection.client.set_missing_host_key_policy(policy)
    try:
        sock = open_socket(settings, jumps)
        left = max(1.0, deadline - time.monotonic())
        connection.connect_kwargs = {
            "sock": sock,
            "key_filename": [file for file in settings.identity_files if os.path.exists(file)],
            "look_for_keys": False,
            "allow_agent": settings.agent and not (settings.identities_only and has_plain_key(settings)),
            "compress": settings.compression,
            "banner_timeout": left,
            "auth_timeout": settings.connect_s,
            "channel_timeout": settings.connect_s,
            "transport_factory": transports(settings, policy),
        }
        connection.open()
    except BaseException as error:
        with suppress(Exception):
            connection.client.close()
        if sock is not None:
            sock.close()
        if isinstance(error, LoadproofError) or not isinstance(error, Exception):
            raise
        raise trouble(name, settings, named(error, deadline), proxy_end(sock)) from None
    return connection


def named(error: Exception, deadline: float) -> Exception:
    """A TimeoutError from the deadline (time.monotonic()) on: paramiko calls a peer that says nothing by several names."""
    if isinstance(error, (HostKeyRefused, paramiko.AuthenticationException)):
        return error
    return TimeoutError() if time.monotonic() >= deadline - 0.1 else error


def has_plain_key(settings: SshSettings) -> bool:
    """Whether one of the identity files can be used without an agent."""
    for file in settings.identity_files:
        with suppress(paramiko.SSHException, OSError, ValueError, TypeError):
            paramiko.PKey.from_path(file)
            return True
    return False


def open_socket(settings: SshSettings, jumps: Jumps) -> Stream:
    """The byte stream to the host's sshd: through jump hosts, a ProxyCommand, or TCP."""
    if settings.jumps:
        jump = jumps.through(settings.alias, settings.jumps, settings.config_args)
        channel: paramiko.Channel = jump.transport.open_channel(
            "direct-tcpip", (settings.hostname, settings.port), ("", 0), timeout=settings.connect_s
        )
        return channel
    return ProxySocket(settings.proxy_command) if settings.proxy_command else open_tcp(settings)


def proxy_end(stream: Stream | None) -> str:
    """What became of the ProxyCommand behind a stream, "" where there is none."""
    return stream.end() if isinstance(stream, ProxySocket) else ""


def open_tcp(settings: SshSettings) -> socket.socket:
    """A TCP connection to the first address of the host that answers, within the connect timeout over all."""
    family = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}.get(settings.family, socket.AF_UNSPEC)
    deadline = time.monotonic() + settings.connect_s
    first: OSError | None = None
    for kind, _, _, _, address in socket.getaddrinfo(
        settings.hostname, settings.port, family, socket.SOCK_STREAM
    ):
        sock = socket.socket(kind, socket.SOCK_STREAM)
        try:
            sock.settimeout(max(0.1, deadline - time.monotonic()))
            if settings.bind_address:
                sock.bind((settings.bind_address, 0))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
        except OSError as error:
            sock.close()
            first = first or error
    raise first or OSError("no address")
