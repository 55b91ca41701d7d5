"""`inv trust`: the host keys that hosts offer, as values; then, after somebody's yes, into known_hosts."""

from __future__ import annotations

import base64
import os
import shlex
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import paramiko

from loadproof.control import hostkeys, known_hosts, link
from loadproof.control.fleet import each, good
from loadproof.control.sshconfig import SshSettings, hop, resolve
from loadproof.control.trouble import trouble
from loadproof.errors import LoadproofError, Refused
from loadproof.plan.values import Host, Inventory


@dataclass(frozen=True)
class OfferedKey:
    """One host key as a host offers it now."""

    host: str
    name: str  # as known_hosts has it: host, or [host]:port
    kind: str  # ssh-ed25519
    key: bytes
    known: str  # "known", "new", or why it must be looked at
    file: str  # the known_hosts file it belongs into

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
    for number, text in enumerate(settings.jumps):
        before = hop(host.name, text, settings.config_args)
        offered = offer(before, jumps, settings.jumps[:number] or before.jumps)
        if offered.known != "known":
            return (offered,)
    return (offer(settings, jumps, settings.jumps),)


def offer(settings: SshSettings, jumps: link.Jumps, through: tuple[str, ...]) -> OfferedKey:
    """The key that a host offers, held against known_hosts."""
    try:
        key = ask(settings, jumps, through)
    except (paramiko.SSHException, OSError, EOFError) as error:
        raise trouble(settings.alias, settings, error) from None
    candidates, policy = hostkeys.host_key_policy(settings)
    problem = known_hosts.host_key_problem(policy.name, candidates, key.get_name(), key.asbytes())
    old = next((line for line in candidates if line.marker == ""), None)
    known = "new" if problem else "known"
    if "revoked" in problem:
        known = problem
    elif problem and old is not None:
        known = f"CHANGED: {old.where} has {known_hosts.fingerprint(old.key)}"
    file = settings.known_hosts[0] if settings.known_hosts else str(Path.home() / ".ssh" / "known_hosts")
    return OfferedKey(settings.alias, policy.name, key.get_name(), key.asbytes(), known, file)


def ask(settings: SshSettings, jumps: link.Jumps, through: tuple[str, ...]) -> paramiko.PKey:
    """The host key that the other side proves to hold; the connection ends before any login."""
    sock = link.open_socket(settings.alias, settings, jumps, through)
    transport = paramiko.Transport(sock)
    try:
        transport.banner_timeout = settings.connect_s
        transport.start_client(timeout=settings.connect_s)
        return transport.get_remote_server_key()
    finally:
        with suppress(Exception):
            transport.close()
        sock.close()


def remember(offered: Iterable[OfferedKey]) -> list[str]:
    """Append the new keys to their known_hosts files; one sentence for each. Raises Refused for a changed key.

    A changed key is never replaced here: whoever changed it must be found first, and the old line removed by hand.
    """
    keys = tuple(offered)
    changed = [key for key in keys if key.known not in ("known", "new")]
    if changed:
        raise Refused(
            "\n".join(f"{key.host}: offers {key.fingerprint}; {key.known}" for key in changed),
            where=", ".join(key.host for key in changed),
            kept="nothing was touched",
            next=f"if you know why: ssh-keygen -R '{changed[0].name}' -f {shlex.quote(changed[0].file)}, then inv trust",
        )
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


def append(path: Path, line: str) -> None:
    """Add one line to a known_hosts file, made private when it is new; others may append at the same time."""
    if str(path) == os.devnull:
        raise Refused(
            "UserKnownHostsFile is /dev/null: no key can be remembered", next="change that ssh option"
        )
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(handle, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        lead = b""
        if size:
            file.seek(size - 1)
            lead = b"" if file.read(1) == b"\n" else b"\n"
        file.write(lead + line.encode() + b"\n")
