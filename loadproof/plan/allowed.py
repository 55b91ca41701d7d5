"""Which values may come near a template, a command or a path: allow-lists, one per kind.

Each function takes the text as written and gives the sentence that says what is wrong, or None. Nothing is repaired:
what is not clearly fine is rejected by name.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from collections.abc import Iterable

_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
# ssh aliases and inventory names may carry underscores, which RFC 1123 does not know.
_ALIAS_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_PROGRAM = re.compile(r"(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)+")
_PLATFORM = re.compile(
    r"cp3(1[1-9]|[2-9][0-9])-(x86_64|aarch64|armv7l|ppc64le|s390x|riscv64)(-glibc2\.[0-9]{1,2})?"
)
_RUN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str:
    """The known word most like `word`, or ""."""
    found = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return found[0] if found else ""


def one_slip(word: str, meant: str) -> bool:
    """Whether `word` is `meant` but for at most one letter: missing, too many, another, or two neighbours swapped."""
    same = len(os.path.commonprefix((word, meant)))
    rest, due = word[same:], meant[same:]
    swapped = rest[1::-1] + rest[2:] == due
    return swapped or due in (rest, rest[1:]) or rest[1:] == due[1:] or rest == due[1:]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """ "; did you mean X?", or "" when nothing is near."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""


def shown(value: str) -> str:
    """A value for a message: quoted, control characters escaped, at most 60 characters."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…'"


def _labels(text: str, label: re.Pattern[str]) -> bool:
    parts = text.split(".")
    # A last label of digits only would be read as an IPv4 address by somebody.
    return len(text) <= 253 and all(label.fullmatch(part) for part in parts) and not parts[-1].isdigit()


def _is_ip(text: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(text).version == version and "%" not in text
    except ValueError:
        return False


def is_ipv4(text: str) -> bool:
    """Whether it is an IPv4 address."""
    return _is_ip(text, 4)


def is_ipv6(text: str) -> bool:
    """Whether it is an IPv6 address."""
    return _is_ip(text, 6)


def _nowhere(text: str) -> str | None:
    """The sentence for an IP address that no machine can have."""
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return None
    if ip.is_unspecified or ip.is_multicast or text == "255.255.255.255":
        return f"{shown(text)} is not the address of one machine"
    return None


def host_name(text: str) -> str | None:
    """A host's name in the inventory: it becomes a folder's name."""
    if _is_ip(text, 4) or _labels(text, _ALIAS_LABEL):
        return _nowhere(text)
    return f"{shown(text)} is no host name: letters, digits, '.', '-' and '_', not beginning with '-' or '.'"


def ssh_host(text: str) -> str | None:
    """ansible_host: a name of RFC 1123, an alias of ssh's configuration, an IPv4 or an IPv6 address."""
    if _is_ip(text, 4) or _is_ip(text, 6) or _labels(text, _ALIAS_LABEL):
        return _nowhere(text)
    return f"{shown(text)} is neither a host name (RFC 1123) nor an IP address"


def address(text: str) -> str | None:
    """loadproof_address: where traffic goes; a name of RFC 1123 or an IPv4 address."""
    if _is_ip(text, 4) or _labels(text, _LABEL):
        return _nowhere(text)
    if _is_ip(text, 6):
        return (
            f"{shown(text)} is an IPv6 address: traffic goes over IPv4 for now, say an IPv4 address or a name"
        )
    return f"{shown(text)} is neither a host name (RFC 1123) nor an IPv4 address"


def port(text: str) -> str | None:
    """A TCP port, 1 to 65535, written plainly."""
    if _PORT.fullmatch(text) and int(text) <= 65535:
        return None
    return f"{shown(text)} is no port: a whole number from 1 to 65535"


def user(text: str) -> str | None:
    """A login name."""
    if _USER.fullmatch(text):
        return None
    return f"{shown(text)} is no user name: letters, digits, '_', '.', '-', beginning with a letter or '_'"


def local_path(text: str) -> str | None:
    """A path on this machine (a key file)."""
    if not text.strip() or text.startswith("-") or _CONTROL.search(text) or '"' in text:
        return f"{shown(text)} is no path: no control characters, no '\"', not beginning with '-'"
    return None


def program(text: str) -> str | None:
    """An absolute path of a program on a host; it is written into unit files."""
    if _PROGRAM.fullmatch(text) and len(text) <= 200:
        return None
    return f"{shown(text)} is no absolute path of a program: letters, digits, '.', '_', '+', '-' and '/', no '..'"


def platform(text: str) -> str | None:
    """loadproof_platform: Python and machine, "cp311-x86_64", with the C library if one likes: "…-glibc2.36"."""
    if _PLATFORM.fullmatch(text):
        return None
    return f"{shown(text)} is no platform: Python 3.11 or newer and a machine, like cp311-x86_64"


def words(text: str) -> str | None:
    """Free text in one line (ssh arguments, a note)."""
    return f"{shown(text)} has control characters" if _CONTROL.search(text) else None


def run_name(text: str) -> str | None:
    """The name of a run: it becomes part of a folder's name."""
    if _RUN_NAME.fullmatch(text):
        return None
    return f"{shown(text)} is no name: small letters, digits, '-' and '_', at most 40"
