"""Where a run came from, as a value: commit, whether dirty, versions, locks, the machine; also without git."""

from __future__ import annotations

import getpass
import hashlib
import platform
import socket
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("fabric", "invoke", "paramiko", "jinja2", "numpy", "pandas", "pyarrow", "altair", "zstandard")


@dataclass(frozen=True)
class Provenance:
    """What made a run. `commit` is "" where the clone is a tarball without git; `dirty` is None then."""

    commit: str
    dirty: bool | None
    changed: tuple[str, ...]  # paths that differ from the commit, at most 50
    python: str
    system: str
    user: str
    machine: str
    versions: tuple[tuple[str, str], ...]
    locks: tuple[tuple[str, str], ...]  # file, sha256


def collect(root: Path) -> Provenance:
    """Look at the clone and at this machine; nothing here fails."""
    commit = git(root, "rev-parse", "HEAD").strip()
    status = git(root, "status", "--porcelain=v1", "--untracked-files=normal") if commit else ""
    changed = tuple(line[3:] for line in status.splitlines())
    return Provenance(
        commit=commit,
        dirty=bool(changed) if commit else None,
        changed=changed[:50],
        python=sys.version.split()[0],
        system=platform.platform(),
        user=getpass.getuser(),
        machine=socket.gethostname(),
        versions=tuple((name, version(name)) for name in PACKAGES),
        locks=tuple(
            (path.name, hashlib.sha256(path.read_bytes()).hexdigest())
            for path in sorted((root / "locks").glob("*.lock"))
        ),
    )


def git(root: Path, *words: str) -> str:
    """What git says of the clone itself; "" without git, without a repository, or when it refuses."""
    if not (root / ".git").exists():  # not somebody else's repository further up
        return ""
    try:
        ran = subprocess.run(
            ["git", "-C", str(root), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=20,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout if ran.returncode == 0 else ""


def version(name: str) -> str:
    """The installed version of a package, "" when it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
