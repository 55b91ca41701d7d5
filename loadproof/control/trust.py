"""`inv trust`: the host keys that hosts offer, as values; then, after somebody's yes, into known_hosts."""

from __future__ import annotations

import base64
import os
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko

from loadproof.control import hostkeys, known_hosts, link
from loadproof.control.fleet import each, good
from loadproof.control.sshconfig import SshSettings, hop, resolve
from loadproof.control.trouble import trouble
from loadproof.errors import LoadproofError, LocalDisk, Refused
from loadproof.plan.shell import quote
from loadproof.plan.values import Host, Inventory


@dataclass(frozen=True)
class OfferedKey:
    """One host key as a host offers it now."""

    host: str
    name: str  # as known_hosts has it: host, or [host]:port
    kind: str  # ssh-ed25519
    key: bytes
    known: str  # "known", "new", or why it must be looked at
    file: str  # the known_hosts file it belongs into, or that has another key

    @property
    def refused(self) -> bool:
        """Whether it is another key than the one that is known, or a revoked one."""
        return self.known not in ("known", "new")

    @property
    def fingerprint(self) -> str:
        """SHA256:… as ssh prints it, with the kind of key."""
        return f"{known_hosts.fingerprint(self.key)} ({self.kind})"


def collect(inventory: Inventory) -> tuple[tuple[OfferedKey, ...], dict[str, LoadproofError]]:
    """The keys that all hosts offer, side by side, and the errors of those that give none.

    Nobody logs in to a host for it (but to jump hosts, to pass).
    """
    remote = [host for host in inventory.hosts if host.connection == "ssh"]
    jumps = link.Jumps()
    try:
        answers = each(remote, lambda host: keys_of(host, jumps))
    finally:
        jumps.close()
    errors = {name: answer for name, answer in answers.items() if isinstance(answer, LoadproofError)}
    # several hosts behind one jump host offer that one's key together
    return tuple(dict.fromkeys(key for keys in good(answers).values() for key in keys)), errors


def keys_of(host: Host, jumps: link.Jumps) -> tuple[OfferedKey, ...]:
    """The key of one host; that of the first jump host on the way that is not known yet, where there is one.

    What is behind a jump host can be asked only once that one is trusted.
    """
    settings = resolve(host)
    for number in range(1, len(settings.jumps) + 1):
        offered = offer(hop(host.name, settings.jumps[:number], settings.config_args), jumps)
        if offered.known != "known":
            return (offered,)
    return (offer(settings, jumps),)


def offer(settings: SshSettings, jumps: link.Jumps) -> OfferedKey:
    """The key that a host offers, held against known_hosts."""
    policy = hostkeys.host_key_policy(settings)
    key = ask(settings, jumps, hostkeys.transports(settings, policy))
    problem = known_hosts.host_key_problem(policy.name, policy.candidates, key.get_name(), key.asbytes())
    trusted = [line for line in policy.candidates if line.marker == ""]
    old = min(trusted, key=lambda line: line.kind != key.get_name(), default=None)
    known = "new" if problem else "known"
    file = settings.known_hosts[0]
    if "revoked" in problem:
        known = problem
    elif problem and old is not None:
        known = f"CHANGED: {old.where} has {known_hosts.fingerprint(old.key)}"
        file = old.file
    return OfferedKey(settings.alias, policy.name, key.get_name(), key.asbytes(), known, file)


def ask(
    settings: SshSettings, jumps: link.Jumps, transports: Callable[..., paramiko.Transport]
) -> paramiko.PKey:
    """The host key that the other side proves to hold; the connection ends before any login."""
    stream = transport = None
    deadline = time.monotonic() + settings.connect_s
    try:
        stream = link.open_socket(settings, jumps)
        transport = transports(stream)
        transport.banner_timeout = settings.connect_s
        transport.start_client(timeout=settings.connect_s)
        return transport.get_remote_server_key()
    except (paramiko.SSHException, OSError, EOFError) as error:
        what = link.named(error, deadline)
        raise trouble(settings.alias, settings, what, link.proxy_end(stream)) from None
    finally:
        for opened in (transport, stream):
            if opened is not None:
                with suppress(Exception):
                    opened.close()


def remember(offered: Iterable[OfferedKey]) -> list[str]:
    """Append the new keys to their known_hosts files; one sentence for each. Raises LocalDisk where that fails."""
    keys = [key for key in offered if not key.refused]
    said: list[str] = []
    written: set[tuple[str, str, bytes]] = set()
    for key in keys:
        place = (key.file, key.name, key.key)
        if key.known == "known" or place in written:
            said.append(f"{key.host}: known already")
            continue
        written.add(place)
        append(Path(key.file), f"{key.name} {key.kind} {base64.b64encode(key.key).decode()}")
        said.append(f"{key.host}: {key.fingerprint} added to {key.file}")
    if any("(jump host " in key.host and key.known == "new" for key in keys):
        said.append("the hosts behind a jump host can be asked now: inv trust")
    return said


def refused(offered: Iterable[OfferedKey]) -> dict[str, LoadproofError]:
    """An error for each host whose key is changed or revoked.

    Such a key is never replaced here: whoever changed it must be found first, and the old line removed by hand.
    """
    return {
        key.host: Refused(
            f"{key.host}: offers {key.fingerprint}; {key.known}",
            where=f"host {key.host}",
            kept="the lines that known_hosts has of it",
            next=f"if you know why: {quote('ssh-keygen', '-R', key.name, '-f', key.file)}, then inv trust",
        )
        for key in offered
        if key.refused
    }


def append(path: Path, line: str) -> None:
    """Add one line to a known_hosts file, made private when it is new; others may append at the same time."""
    if str(path) == os.devnull:
        raise Refused(
            "UserKnownHostsFile is none or /dev/null: no key can be remembered",
            where=f"this machine, {path}",
            kept="the keys that were added before",
            next="name a file in that ssh option, then inv trust",
        )
    try:
        write(path, line.encode())
    except OSError as error:
        raise LocalDisk(
            f"no key can be written into {path}: {error.strerror}",
            where=f"this machine, {path}",
            kept="the keys that were added before",
            next="put that right, or name another file in the ssh option UserKnownHostsFile; then inv trust",
        ) from error


def write(path: Path, line: bytes) -> None:
    """See `append`."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        lead = b""
        if size:
            file.seek(size - 1)
            lead = b"" if file.read(1) == b"\n" else b"\n"
        file.write(lead + line + b"\n")
