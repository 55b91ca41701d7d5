"""Reading known_hosts files as OpenSSH does: hashed names, patterns, [host]:port, @revoked, with file and line."""

from __future__ import annotations

import base64
import binascii
import fnmatch
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Known:
    """One line of a known_hosts file."""

    file: str
    line: int
    marker: str  # "", "@revoked" or "@cert-authority"
    names: str
    kind: str  # "ssh-ed25519"
    key: bytes

    @property
    def where(self) -> str:
        """file:line."""
        return f"{self.file}:{self.line}"

    def speaks_of(self, name: str) -> bool:
        """Whether the line is about `name` ("host" or "[host]:port")."""
        if self.names.startswith("|1|"):
            return hashed_name(self.names, name)
        said = False
        for pattern in self.names.lower().split(","):
            if pattern.startswith("!"):
                if same_name(pattern[1:], name):
                    return False
            elif same_name(pattern, name):
                said = True
        return said


def same_name(pattern: str, name: str) -> bool:
    """Whether a pattern of ssh (only * and ? are special) matches a name."""
    return fnmatch.fnmatchcase(name.lower(), pattern.replace("[", "[[]"))


def hashed_name(field: str, name: str) -> bool:
    """Whether a hashed host name, `|1|salt|hash`, is the hash of `name`."""
    try:
        _, _, salt, wanted = field.split("|")
        digest = hmac.new(base64.b64decode(salt), name.lower().encode(), hashlib.sha1).digest()
        return hmac.compare_digest(digest, base64.b64decode(wanted))
    except (ValueError, binascii.Error):
        return False


def read(files: Iterable[str]) -> tuple[Known, ...]:
    """All readable lines of the files that exist, in order; lines that are no known_hosts lines are skipped."""
    known: list[Known] = []
    for file in files:
        try:
            text = Path(file).read_text(errors="replace")
        except OSError:
            continue
        for number, line in enumerate(text.splitlines(), start=1):
            entry = parse(file, number, line)
            if entry is not None:
                known.append(entry)
    return tuple(known)


def parse(file: str, number: int, line: str) -> Known | None:
    """One line; None for comments, empty and broken lines."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return None
    marker = words.pop(0) if words[0].startswith("@") else ""
    if len(words) < 3:
        return None
    try:
        return Known(file, number, marker, words[0], words[1], base64.b64decode(words[2], validate=True))
    except (ValueError, binascii.Error):
        return None


def name_of(hostname: str, port: int) -> str:
    """The name that known_hosts uses: the host, or [host]:port off port 22."""
    return hostname.lower() if port == 22 else f"[{hostname.lower()}]:{port}"


def about(known: Iterable[Known], name: str) -> tuple[Known, ...]:
    """The lines that speak of a name."""
    return tuple(entry for entry in known if entry.speaks_of(name))


def fingerprint(key: bytes) -> str:
    """SHA256 fingerprint of a public key, as ssh prints it."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key).digest()).decode().rstrip("=")


def host_key_problem(name: str, candidates: tuple[Known, ...], kind: str, key: bytes) -> str:
    """Why a presented host key is not accepted, "" when it is: one sentence with both fingerprints, file and line."""
    for entry in candidates:
        if entry.marker == "@revoked" and entry.key == key:
            return f"the host key of {name} ({kind} {fingerprint(key)}) is revoked in {entry.where}"
    trusted = [entry for entry in candidates if entry.marker == ""]
    if any(entry.key == key for entry in trusted):
        return ""
    same = [entry for entry in trusted if entry.kind == kind] or trusted
    if same:
        entry = same[0]
        return (
            f"the host key of {name} has CHANGED: it presents {kind} {fingerprint(key)}, "
            f"{entry.where} says {entry.kind} {fingerprint(entry.key)}"
        )
    authorities = [entry.where for entry in candidates if entry.marker == "@cert-authority"]
    note = f" ({authorities[0]} trusts a host CA, which is not supported here)" if authorities else ""
    return f"the host key of {name} is not known: it presents {kind} {fingerprint(key)}{note}"
