"""Holding a presented host key against known_hosts: paramiko is told nothing and asks us for every key."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import paramiko

from loadproof.control import known_hosts
from loadproof.control.order import OrderedTransport
from loadproof.control.sshconfig import SshSettings


class HostKeyRefused(Exception):
    """The presented host key is not the one known_hosts speaks of."""

    def __init__(self, what: str, kind: str, key: bytes) -> None:
        super().__init__(what)
        self.what, self.kind, self.key = what, kind, key


class KnownHostsPolicy(paramiko.MissingHostKeyPolicy):
    """Accepts a host key only when known_hosts has it; asked for every key, as paramiko itself knows none."""

    def __init__(self, name: str, candidates: tuple[known_hosts.Known, ...]) -> None:
        self.name, self.candidates = name, candidates

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of keys that are trusted."""
        return frozenset(line.kind for line in self.candidates if line.marker == "")

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        """Raise HostKeyRefused unless the key is known."""
        what = known_hosts.host_key_problem(self.name, self.candidates, key.get_name(), key.asbytes())
        if what:
            raise HostKeyRefused(what, key.get_name(), key.asbytes())


def host_key_policy(settings: SshSettings) -> KnownHostsPolicy:
    """The policy that holds a key against the lines of known_hosts that speak of the host."""
    known = known_hosts.read(settings.known_hosts)
    name = key_name(settings)
    candidates = known_hosts.about(known, name)
    if not candidates and settings.port != 22 and not settings.key_alias:
        # as OpenSSH: a key known for the host without its port is good, but another one is merely unknown
        return KnownHostsPolicy(name, known_hosts.about(known, settings.hostname))
    return KnownHostsPolicy(name, candidates)


def key_name(settings: SshSettings) -> str:
    """The name under which known_hosts has this host."""
    return settings.key_alias or known_hosts.name_of(settings.hostname, settings.port)


def transports(settings: SshSettings, policy: KnownHostsPolicy) -> Callable[..., OrderedTransport]:
    """Make transports that use the algorithms of the settings, and ask for a host key of a kind we know, where the
    server has several."""
    kinds = policy.kinds
    known = kinds | {"rsa-sha2-512", "rsa-sha2-256"} if "ssh-rsa" in kinds else kinds
    disabled = {kind: list(names) for kind, names in settings.disabled}

    def make(sock: Any, **options: Any) -> OrderedTransport:
        transport = OrderedTransport(sock, **options | {"disabled_algorithms": disabled})
        security = transport.get_security_options()
        security.key_types = sorted(security.key_types, key=lambda kind: kind not in known)
        return transport

    return make
