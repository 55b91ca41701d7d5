"""What a failed connection means to a person: one message per cause, each with the next command."""

from __future__ import annotations

import os
import socket

import paramiko

from loadproof.control.hostkeys import HostKeyRefused
from loadproof.control.remote import ConnectionDropped
from loadproof.control.sshconfig import SshSettings
from loadproof.errors import HostUnreachable

KEPT = "nothing was touched on this host"


def trouble(name: str, settings: SshSettings, error: Exception, proxy: str = "") -> HostUnreachable:
    """What a failed connection means to a person: one message per cause. `proxy`: how the ProxyCommand ended."""
    at = f"{settings.hostname}:{settings.port}"
    where = f"host {name} ({settings.user}@{at})"
    if isinstance(error, HostKeyRefused):
        lax = settings.strict in ("no", "off", "false", "accept-new")
        note = (
            f"; StrictHostKeyChecking {settings.strict} is not honoured, keys are always checked"
            if lax
            else ""
        )
        return HostUnreachable(name, error.what + note, where=where, kept=KEPT, next="inv trust")
    if isinstance(error, paramiko.AuthenticationException):
        what = f"the login of {settings.user} was rejected: {words(error)}; tried {offered(settings)}"
        return HostUnreachable(name, what, where=where, kept=KEPT, next=settings.by_hand)
    if isinstance(error, socket.gaierror):
        return HostUnreachable(
            name,
            f"{settings.hostname} is not an address: {error.strerror}",
            where=where,
            kept=KEPT,
            next=settings.by_hand,
        )
    if isinstance(error, ConnectionRefusedError):
        what = f"nothing listens on {at}: connection refused"
        return ConnectionDropped(name, what, where=where, kept=KEPT, next=settings.by_hand)
    if isinstance(error, TimeoutError) or "timeout" in words(error).lower() or "timed out" in words(error):
        what = f"no answer from {at} within {settings.connect_s:.0f} s{through(settings, proxy)}"
        return HostUnreachable(name, what, where=where, kept=KEPT, next=settings.by_hand)
    dropped = isinstance(error, (ConnectionResetError, EOFError)) or "banner" in words(error)
    kind = ConnectionDropped if dropped else HostUnreachable
    what = f"no ssh session with {at}: {words(error)}{through(settings, proxy)}"
    return kind(name, what, where=where, kept=KEPT, next=settings.by_hand)


def through(settings: SshSettings, proxy: str) -> str:
    """The ProxyCommand on the way to a host, and how it ended, for a message."""
    if settings.jumps or not settings.proxy_command:
        return ""
    return f"\nthrough ProxyCommand {settings.proxy_command}" + (f": {proxy}" if proxy else "")


def offered(settings: SshSettings) -> str:
    """The keys that were offered, for a message."""
    files = [file for file in settings.identity_files if os.path.exists(file)]
    return ", ".join(files + (["the agent"] if settings.agent else [])) or "no key: there is none"


def words(error: BaseException) -> str:
    """An exception in words; some have none of their own."""
    ended = "the other side ended it" if isinstance(error, EOFError) else type(error).__name__
    return str(error) or ended
