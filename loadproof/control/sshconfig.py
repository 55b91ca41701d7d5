"""What `ssh -G` says about a host: if `ssh NAME` works, we work.

The inventory's ansible_* keys become arguments of `ssh -G`; its answer, with Include, Match and every default resolved
by OpenSSH itself, is the only source of settings. An option that cannot be honoured is an error that names it.
"""

from __future__ import annotations

import getpass
import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from paramiko import Transport

from loadproof.errors import BadInput, HostUnreachable, Problem
from loadproof.plan.shell import ssh_path
from loadproof.plan.values import Host

CONNECT_S = 10.0

# Options that change who is trusted or how the host is reached, and that paramiko does not have: option -> the only
# values that mean "not in use". Everything else that is not read below has no bearing on our sessions.
UNSUPPORTED: dict[str, tuple[str, ...]] = {
    "pkcs11provider": ("none",),
    "certificatefile": (),
    "knownhostscommand": ("none",),
    "revokedhostkeys": ("none",),
    "proxyusefdpass": ("no", "false"),
    "bindinterface": ("none",),
    "nohostauthenticationforlocalhost": ("no", "false"),
}
# Our name for each list of algorithms in paramiko, and the option that restricts it.
ALGORITHMS = {"ciphers": "ciphers", "macs": "macs", "kex": "kexalgorithms", "keys": "hostkeyalgorithms"}


@dataclass(frozen=True)
class SshSettings:
    """How to reach one host over ssh. `jumps` are ProxyJump hops as written, first hop first."""

    alias: str
    hostname: str
    port: int
    user: str
    identity_files: tuple[str, ...]
    identities_only: bool
    agent: bool
    known_hosts: tuple[str, ...]
    key_alias: str  # HostKeyAlias, or ""
    strict: str  # StrictHostKeyChecking as set; we are always strict
    connect_s: float
    jumps: tuple[str, ...]
    proxy_command: str
    family: str  # any, inet, inet6
    bind_address: str
    compression: bool
    disabled: tuple[tuple[str, tuple[str, ...]], ...]  # paramiko's disabled_algorithms
    config_args: tuple[str, ...]  # -F FILE, which OpenSSH hands on to jump hosts

    @property
    def by_hand(self) -> str:
        """The command that a person may try to see the same trouble."""
        where = "" if self.port == 22 else f"-p {self.port} "
        return f"ssh {where}{self.user}@{self.hostname} true"


def resolve(host: Host) -> SshSettings:
    """The settings of an inventory host. Raises BadInput for options we cannot honour or ssh rejects."""
    words = ssh_words(host)
    return settings(host.name, host.ssh_host, words)


def ssh_words(host: Host) -> list[str]:
    """The inventory's connection keys as words of an ssh command line, without the host."""
    words: list[str] = []
    if host.ssh_port is not None:
        words += ["-o", f"Port={host.ssh_port}"]
    if host.ssh_user is not None:
        words += ["-o", f"User={host.ssh_user}"]
    if host.identity_file is not None:
        words += ["-o", f"IdentityFile={ssh_path(host.identity_file)}"]
    try:
        return words + shlex.split(host.ssh_common_args)
    except ValueError as error:
        raise BadInput([Problem(f"ansible_ssh_common_args: {error}", f"host {host.name}")]) from None


def hop(name: str, text: str, config_args: tuple[str, ...]) -> SshSettings:
    """The settings of one ProxyJump hop, written [user@]host[:port] or ssh://…; `name` is the host behind it."""
    text = text.removeprefix("ssh://").rstrip("/")
    user, _, rest = text.rpartition("@")
    address, port = rest, ""
    if rest.startswith("["):
        address, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        address, _, port = rest.partition(":")
    words = list(config_args)
    words += ["-o", f"Port={port}"] if port else []
    words += ["-o", f"User={user}"] if user else []
    return settings(f"{name} (jump host {address})", address, words)


def settings(name: str, address: str, words: list[str]) -> SshSettings:
    """Ask `ssh -G` and read its answer."""
    try:
        asked = subprocess.run(
            ["ssh", "-G", *words, "--", address],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=CONNECT_S,
        )
    except FileNotFoundError:
        raise HostUnreachable(
            name, "the program ssh is missing here", next="install openssh-client"
        ) from None
    except subprocess.TimeoutExpired:
        raise HostUnreachable(name, f"ssh -G {address} gave no answer within 10 s") from None
    if asked.returncode:
        said = asked.stderr.strip() or f"exit {asked.returncode}"
        raise BadInput([Problem(f"ssh does not accept its configuration: {said}", f"host {name}")])
    return parse(name, address, asked.stdout, config_args(words))


def config_args(words: list[str]) -> tuple[str, ...]:
    """The `-F FILE` of an ssh command line, which also governs jump hosts; empty without one."""
    for number, word in enumerate(words):
        if word == "-F" and number + 1 < len(words):
            return ("-F", words[number + 1])
        if word.startswith("-F") and len(word) > 2:
            return ("-F", word[2:])
    return ()


def parse(name: str, address: str, text: str, config: tuple[str, ...] = ()) -> SshSettings:
    """Read the output of `ssh -G`. Raises BadInput that names every option we cannot honour."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key.lower(), []).append(value.strip())

    def one(key: str, default: str = "") -> str:
        value = found.get(key, [default])[0]
        return default if value == "none" else value

    user, hostname = one("user", getpass.getuser()), one("hostname", address)
    port = int(one("port", "22"))
    problems = cannot_honour(name, found)
    if problems:
        raise BadInput(
            problems, next="change that option for this host, in ~/.ssh/config or its inventory keys"
        )
    jump = one("proxyjump")
    timeout = one("connecttimeout", "0")
    return SshSettings(
        alias=name,
        hostname=hostname,
        port=port,
        user=user,
        identity_files=tuple(
            expand(value, hostname, user, port) for value in found.get("identityfile", []) if value != "none"
        ),
        identities_only=one("identitiesonly", "no") in ("yes", "true"),
        agent=found.get("identityagent", [""])[0] != "none" and bool(os.environ.get("SSH_AUTH_SOCK")),
        known_hosts=tuple(
            path
            for key in ("userknownhostsfile", "globalknownhostsfile")
            for path in paths(expand(one(key), hostname, user, port))
        ),
        key_alias=one("hostkeyalias"),
        strict=one("stricthostkeychecking", "ask"),
        connect_s=float(timeout) if timeout.isdigit() and int(timeout) else CONNECT_S,
        jumps=tuple(part.strip() for part in jump.split(",") if part.strip()),
        proxy_command=expand(one("proxycommand"), hostname, user, port),
        family=one("addressfamily", "any"),
        bind_address=one("bindaddress"),
        compression=one("compression", "no") in ("yes", "true"),
        disabled=tuple(disabled(found).items()),
        config_args=config,
    )


def paths(text: str) -> tuple[str, ...]:
    """The files of a list in `ssh -G`, which puts spaces between them and quotes none that has spaces itself.

    A word that is no beginning of a path belongs to the one before it; so do others as long as that names a file.
    """
    found: list[str] = []
    words = text.split(" ") if text else []
    while words:
        new = [at for at, word in enumerate(words) if at and word.startswith(("/", "~"))] + [len(words)]
        there = [at for at in range(1, len(words) + 1) if Path(" ".join(words[:at])).expanduser().is_file()]
        end = max(there, default=new[0])
        found.append(os.path.expanduser(" ".join(words[:end])))
        words = words[end:]
    return tuple(found)


def cannot_honour(name: str, found: dict[str, list[str]]) -> list[Problem]:
    """One problem for each option that is in use and that we do not have."""
    where = f"host {name}"
    problems = [
        Problem(f"ssh option {option} {value} cannot be honoured here", where)
        for option, unused in UNSUPPORTED.items()
        for value in found.get(option, [])
        if value not in unused
    ]
    problems += login_problems(where, found)
    off = disabled(found)
    for kind, option in ALGORITHMS.items():
        if kind in off and len(off[kind]) == len(available(kind)):
            problems.append(
                Problem(
                    f"ssh option {option} {found[option][0]} cannot be honoured: none of them is known", where
                )
            )
    return problems


def login_problems(where: str, found: dict[str, list[str]]) -> list[Problem]:
    """What is asked of the login that only OpenSSH could do."""
    problems: list[Problem] = []
    agent = found.get("identityagent", ["SSH_AUTH_SOCK"])[0]
    ours = ("none", "SSH_AUTH_SOCK", "$SSH_AUTH_SOCK", os.environ.get("SSH_AUTH_SOCK"))
    if agent not in ours:
        problems.append(
            Problem(f"ssh option identityagent {agent} cannot be honoured: only SSH_AUTH_SOCK or none", where)
        )
    if found.get("pubkeyauthentication", ["true"])[0] in ("no", "false"):
        problems.append(Problem("ssh option pubkeyauthentication no: we log in with keys only", where))
    preferred = found.get("preferredauthentications", ["publickey"])[0]
    if "publickey" not in preferred.split(","):
        problems.append(
            Problem(f"ssh option preferredauthentications {preferred}: we log in with keys only", where)
        )
    return problems


def disabled(found: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    """What paramiko would offer and the ssh configuration leaves out, by paramiko's name of the list."""
    off: dict[str, tuple[str, ...]] = {}
    for kind, option in ALGORITHMS.items():
        if option in found:
            allowed = found[option][0].split(",")
            missing = tuple(name for name in available(kind) if name not in allowed)
            if missing:
                off[kind] = missing
    return off


def available(kind: str) -> tuple[str, ...]:
    """What paramiko offers by itself, in its order."""
    return tuple(getattr(Transport, f"_preferred_{kind}"))


def expand(value: str, hostname: str, user: str, port: int) -> str:
    """A path or command of ssh_config with `~` and its percent tokens replaced."""
    home = str(Path.home())
    tokens = {
        "%": "%",
        "d": home,
        "h": hostname,
        "n": hostname,
        "r": user,
        "p": str(port),
        "u": getpass.getuser(),
    }
    text, rest = "", value
    while "%" in rest:
        before, _, rest = rest.partition("%")
        text += before + tokens.get(rest[:1], "%" + rest[:1])
        rest = rest[1:]
    text += rest
    return os.path.expanduser(text)
