"""What `ssh -G` says about a host: if `ssh NAME` works, we work.

The inventory's ansible_* keys become arguments of `ssh -G`; its answer, with Include, Match and every default resolved
by OpenSSH itself, is the only source of settings. An option that cannot be honoured is an error that names it.
"""

from __future__ import annotations

import functools
import os
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from paramiko import Transport

from loadproof.control import tokens
from loadproof.errors import BadInput, HostUnreachable, Problem
from loadproof.plan.shell import quote, ssh_path
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
    known_hosts: tuple[str, ...]  # the user's own first, /dev/null for none
    key_alias: str  # HostKeyAlias, or ""
    strict: str  # StrictHostKeyChecking as set; we are always strict
    connect_s: float
    jumps: tuple[str, ...]
    proxy_command: str
    family: str  # any, inet, inet6
    bind_address: str
    compression: bool
    disabled: tuple[tuple[str, tuple[str, ...]], ...]  # paramiko's disabled_algorithms
    words: tuple[str, ...]  # what ssh was given, options first, the name of the host last

    @property
    def by_hand(self) -> str:
        """The command that a person may try to see the same trouble: it goes the same way."""
        return quote("ssh", *self.words, "true")

    @property
    def config_args(self) -> tuple[str, ...]:
        """`-F FILE`, which OpenSSH hands on to jump hosts; empty without one."""
        for number, word in enumerate(self.words[:-1]):
            if word == "-F":
                return ("-F", self.words[number + 1])
            if word.startswith("-F"):
                return ("-F", word[2:])
        return ()


def resolve(host: Host) -> SshSettings:
    """The settings of an inventory host. Raises BadInput for options we cannot honour or ssh rejects."""
    words = ssh_words(host)
    return settings(host.name, host.ssh_host, words)


def ssh_words(host: Host) -> list[str]:
    """The inventory's connection keys as words of an ssh command line, without the host."""
    words: list[str] = []
    if host.ssh_port is not None:
        words += ["-p", str(host.ssh_port)]
    if host.ssh_user is not None:
        words += ["-l", host.ssh_user]
    if host.identity_file is not None:
        words += ["-o", f"IdentityFile={ssh_path(host.identity_file)}"]
    try:
        return words + shlex.split(host.ssh_common_args)
    except ValueError as error:
        problem = Problem(f"ansible_ssh_common_args: {error}", f"host {host.name}")
        raise BadInput([problem], next="close the quotes of its ansible_ssh_common_args") from None


def hop(name: str, hops: tuple[str, ...], config_args: tuple[str, ...]) -> SshSettings:
    """The settings of the last of some ProxyJump hops, [user@]host[:port] or ssh://…; `name` is the host behind it."""
    text = hops[-1].removeprefix("ssh://").rstrip("/")
    user, _, rest = text.rpartition("@")
    address, port = rest, ""
    if rest.startswith("["):
        address, _, port = rest[1:].partition("]")
        port = port.removeprefix(":")
    elif rest.count(":") == 1:
        address, _, port = rest.partition(":")
    words = list(config_args)
    words += ["-p", port] if port else []
    words += ["-l", user] if user else []
    words += ["-J", ",".join(hops[:-1])] if hops[:-1] else []
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
        problem = Problem(f"ssh does not accept its configuration: {said}", f"host {name}")
        raise BadInput([problem], next=quote("ssh", "-G", *words, address))
    return parse(name, asked.stdout, (*words, address))


def parse(name: str, text: str, words: tuple[str, ...]) -> SshSettings:
    """Read what `ssh -G` says to these words. Raises BadInput that names every option we cannot honour."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        found.setdefault(key.lower(), []).append(value.strip())

    def one(key: str, default: str = "") -> str:
        value = found.get(key, [default])[0]
        return default if value == "none" else value

    user, hostname = one("user", tokens.me().pw_name), one("hostname", words[-1])
    port = int(one("port", "22"))
    known = tokens.values(words[-1], one("hostkeyalias"), hostname, user, port)
    problems = cannot_honour(name, found)
    replaced = functools.partial(without_tokens, found, known, problems, f"host {name}")
    jump, command = replaced("proxyjump", tokens.WAY), replaced("proxycommand", tokens.WAY)
    identities = replaced("identityfile", tokens.FILE)
    if problems:
        raise BadInput(
            problems, next="change that option for this host, in ~/.ssh/config or its inventory keys"
        )
    timeout = one("connecttimeout", "0")
    return SshSettings(
        alias=name,
        hostname=hostname,
        port=port,
        user=user,
        identity_files=identities,
        identities_only=one("identitiesonly", "no") in ("yes", "true"),
        agent=found.get("identityagent", [""])[0] != "none" and bool(os.environ.get("SSH_AUTH_SOCK")),
        known_hosts=(*paths(one("userknownhostsfile", os.devnull)), *paths(one("globalknownhostsfile"))),
        key_alias=one("hostkeyalias"),
        strict=one("stricthostkeychecking", "ask"),
        connect_s=float(timeout) if timeout.isdigit() and int(timeout) else CONNECT_S,
        jumps=tuple(part.strip() for part in ",".join(jump).split(",") if part.strip()),
        proxy_command="".join(command),
        family=one("addressfamily", "any"),
        bind_address=one("bindaddress"),
        compression=one("compression", "no") in ("yes", "true"),
        disabled=tuple(disabled(found).items()),
        words=words,
    )


def without_tokens(
    found: dict[str, list[str]], known: Mapping[str, str], problems: list[Problem], where: str, option: str,
    allowed: str,
) -> tuple[str, ...]:  # fmt: skip
    """The values of an option with all their tokens replaced; one more problem for each where that cannot be done."""
    values: list[str] = []
    for value in found.get(option, []):
        try:
            values += [tokens.expand(value, known, allowed)] if value not in ("", "none") else []
        except ValueError as error:
            problems.append(Problem(f"ssh option {option} {value} cannot be honoured: {error}", where))
    return tuple(values)


def paths(text: str) -> tuple[str, ...]:
    """The files of a list in `ssh -G`, which puts spaces between them and quotes none that has spaces itself.

    Its tokens ssh has replaced already.

    A word that is no beginning of a path belongs to the one before it; so do others as long as that names a file.
    """
    found: list[str] = []
    words = text.split(" ") if text else []
    while words:
        new = [at for at, word in enumerate(words) if at and word.startswith(("/", "~"))] + [len(words)]
        there = [
            at for at in range(1, len(words) + 1) if os.path.isfile(tokens.at_home(" ".join(words[:at])))
        ]
        end = max(there, default=new[0])
        found.append(tokens.at_home(" ".join(words[:end])))
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
