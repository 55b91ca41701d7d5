"""manifest.json of every host: were the files that were sealed there all fetched, and whole?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path
from typing import Any

from loadproof.plan.values import TrialPlan
from loadproof.runfolder.formats import MANIFEST
from loadproof.runfolder.paths import TrialPaths


@dataclass(frozen=True)
class Seal:
    """What the manifest of one host says. `sizes`: bytes by file name, empty without a manifest; `held`: files that
    their writer did not let go of, so that their last bytes may be missing; `other`: of what else than this trial the
    manifest speaks, or ""."""

    folder: Path
    sizes: Mapping[str, int]
    held: frozenset[str] = frozenset()
    other: str = ""
    read: bool = True

    def here(self, name: str) -> int | None:
        """The size of a file that is here; None when it is not."""
        try:
            path = self.folder / name
            return path.stat().st_size if path.is_file() else None
        except (OSError, ValueError):  # a damaged manifest may hold what can be no name
            return None

    @cached_property
    def _place(self) -> Path:
        return self.folder.resolve()

    def inside(self, name: str) -> bool:
        """Whether a name leads into the host's own folder: a manifest is data from a host, and may name anything."""
        try:
            return self._place in (self.folder / name).resolve().parents
        except (OSError, ValueError):
            return False

    def differs(self, name: str) -> str:
        """How a file that was sealed is not the one that is here, in words; "" when it is, or was never sealed."""
        if name not in self.sizes or not self.inside(name):
            return ""
        size = self.here(name)
        if size is None:
            return f"{name[:80]} was sealed and is missing"
        return "" if size == self.sizes[name] else f"{name} has {size} bytes, {self.sizes[name]} were sealed"

    def begins(self, name: str) -> bool:
        """Whether a file that differs can be the beginning of the one that was sealed."""
        size = self.here(name)
        return size is not None and size < self.sizes[name]

    def doubts(self, pattern: str) -> bool:
        """Whether any file of this pattern is missing, not the one that was sealed, or may lack its last bytes; without a
        manifest, which is fetched last, nobody knows."""
        names = [name for name in {*self.sizes, *self.held} if fnmatch(name, pattern)]
        return (
            not self.read
            or bool(self.other)
            or any(name in self.held or bool(self.differs(name)) for name in names)
        )


@dataclass(frozen=True)
class Seals:
    """The seal of each host."""

    hosts: Mapping[str, Seal]

    def of(self, host: str) -> Seal:
        """The seal of one host; an empty one when there is none."""
        return self.hosts.get(host) or Seal(Path(), {}, read=False)


def read(paths: TrialPaths, plan: TrialPlan, hosts: Iterable[str]) -> Seals:
    """The manifests of all hosts of a trial."""
    return Seals({host: _seal(paths.raw(host), host, plan) for host in dict.fromkeys(hosts)})


def _seal(folder: Path, host: str, plan: TrialPlan) -> Seal:
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        sizes = {str(file["path"]): int(file["size"]) for file in found["files"]}
        held = frozenset(str(name) for name in found.get("held") or ())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return Seal(folder, {}, read=False)
    return Seal(folder, sizes, held, _other(found, {"run": plan.run, "trial": plan.id, "host": host}))


def _other(found: Mapping[str, Any], wanted: Mapping[str, str]) -> str:
    """The names in a manifest that are not those of this trial; an early format had not all of them."""
    return ", ".join(
        f"{key} {str(found[key])[:80]!a}" for key, value in wanted.items() if found.get(key, value) != value
    )


def notes(seals: Seals) -> tuple[str, ...]:
    """What differs from the manifests, in words. Sizes only: hashes were verified when the files were fetched."""
    said: list[str] = []
    for host, seal in seals.hosts.items():
        if not seal.read:
            said.append(f"{host}: no manifest; whether its files are all here and whole is unknown")
            continue
        if seal.other:
            said.append(f"{host}: its manifest speaks of {seal.other}: its files may be another trial's")
        for name in sorted(seal.sizes):
            if not seal.inside(name):
                said.append(f"{host}: its manifest names a path outside the trial: {name[:80]!a}")
            elif why := seal.differs(name):
                said.append(f"{host}: {why}")
        said += [
            f"{host}: {name[:80]} was still being written when it was sealed; its last rows may be missing"
            for name in sorted(seal.held)
        ]
    return tuple(said)
