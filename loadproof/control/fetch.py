"""Bringing sealed files home: by manifest, verified, repeatable. Nothing is deleted on a host here.

Of each host only what is not here yet travels, in one compressed archive; every file has its hash before its name.
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import zstandard

from loadproof.control.fleet import Fleet
from loadproof.control.remote import Remote, checked
from loadproof.errors import LoadproofError, RecordUnreadable, StepFailed
from loadproof.plan.places import FETCHED, VAR, trial_out
from loadproof.plan.shell import quote
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import atomic, disk
from loadproof.runfolder.formats import MANIFEST
from loadproof.runfolder.paths import TrialPaths

PACK_S = 600.0
CHUNK = 1 << 20


class NotSealed(StepFailed):
    """The host holds no sealed files of this trial."""


class NothingThere(NotSealed):
    """The host holds nothing at all of this trial."""


@dataclass(frozen=True)
class Fetched:
    """What was brought from one host: files and bytes that travelled, and those that were here already."""

    host: str
    files: int
    size: int
    already: int


def fetch(
    fleet: Fleet, trial: TrialPlan, paths: TrialPaths, hosts: Iterable[str]
) -> dict[str, Fetched | LoadproofError]:
    """The sealed files of one trial, its hosts side by side. A host that fails is an answer, not the end."""
    out = trial_out(trial.run, trial.id)
    return fleet.each(lambda remote: fetch_host(remote, out, paths.raw(remote.host.name)), hosts)


def fetch_host(remote: Remote, out: str, into: Path) -> Fetched:
    """Bring one host's folder `out` to `into`. Raises StepFailed when it was not sealed or a hash is wrong."""
    text, manifest = read_manifest(remote, out)
    with disk.writing(into):
        into.mkdir(parents=True, exist_ok=True)
    wanted = {entry["path"]: entry for entry in manifest["files"]}
    missing = [path for path, entry in wanted.items() if not is_here(into / path, entry)]
    if missing:
        bring(remote, out, into, {path: wanted[path] for path in missing})
    # the names too survive a power cut, before anybody is told that the files are here
    for folder in {(into / path).parent for path in wanted} | {into, into.parent}:
        atomic.sync_folder(folder)
    # last, so that a folder with a manifest is a whole one
    manifest_here = into / MANIFEST
    if (
        not manifest_here.exists() or manifest_here.read_text() != text
    ):  # the same again changes nothing, not its time
        atomic.write_text(manifest_here, text)
    checked(remote, quote("touch", out + FETCHED), 15)
    size = sum(wanted[path]["size"] for path in missing)
    return Fetched(remote.host.name, len(missing), size, len(wanted) - len(missing))


def read_manifest(remote: Remote, out: str) -> tuple[str, dict[str, Any]]:
    """The manifest of a sealed folder: its text and its content, checked. Raises StepFailed."""
    host = remote.host.name
    said = remote.run(quote("cat", f"{out}/{MANIFEST}"), 30)
    if not said.ok:
        kind = NotSealed if remote.run(quote("test", "-e", out), 15).ok else NothingThere
        raise kind(
            host, f"cat {out}/{MANIFEST}", said.exited, said.last_lines, what=f"nothing is sealed in {out}",
            kept="what is on the host stays there", next="inv attach, which seals, then inv fetch-results",
        )  # fmt: skip
    manifest = said.json()
    files = manifest.get("files") if isinstance(manifest, dict) else None
    if not isinstance(files, list) or not all(is_entry(entry) for entry in files):
        raise RecordUnreadable(f"{out}/{MANIFEST} is no manifest", where=f"host {host}")
    return said.stdout, manifest


def is_entry(entry: Any) -> bool:
    """Whether an entry of a manifest is one, with a path that stays inside its folder."""
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return False
    path = PurePosixPath(entry["path"])
    inside = bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\0" not in str(path)
    return inside and isinstance(entry.get("size"), int) and isinstance(entry.get("sha256"), str)


def is_here(path: Path, entry: Mapping[str, Any]) -> bool:
    """Whether a file is here already with the size and hash that the manifest says."""
    return path.is_file() and path.stat().st_size == entry["size"] and digest(path) == entry["sha256"]


def all_here(folder: Path) -> bool:
    """Whether every file that the manifest of a fetched folder names is in it, with its size and hash."""
    try:
        files = json.loads((folder / MANIFEST).read_text())["files"]
        return all(is_entry(entry) and is_here(folder / entry["path"], entry) for entry in files)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def digest(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def bring(remote: Remote, out: str, into: Path, wanted: Mapping[str, Mapping[str, Any]]) -> None:
    """Pack these files on the host, fetch the archive, unpack what has the right hash."""
    packed = f"{out}.tar"
    archive = into / ".fetch.tar"
    try:
        checked(remote, pack_command(out, packed), PACK_S, "\0".join(wanted) + "\0")
        remote.fetch(packed, archive)
        bad = unpack(archive, into, wanted)
    finally:
        archive.unlink(missing_ok=True)
        with_no_error(remote, quote("rm", "-f", packed))
    if bad:
        raise StepFailed(
            remote.host.name, f"tar of {out}", 1, "", what=f"not what the manifest says, or missing: {', '.join(bad)}",
            kept="the verified files are here, all are on the host", next="inv fetch-results",
        )  # fmt: skip


def pack_command(out: str, packed: str) -> str:
    """The command that packs the files named on its standard input (zero-ended: any name, any number of them)."""
    words = ("-C", out, "--null", "--verbatim-files-from", "-T", "-", "-cf", packed)
    zipped = quote("exec", "tar", "--use-compress-program=zstd -q -1", *words)
    return f"command -v zstd >/dev/null || {quote('exec', 'tar', *words)}; {zipped}"


def with_no_error(remote: Remote, command: str) -> None:
    """Tidy up on a host; its failure must not hide another one."""
    try:
        remote.run(command, 15)
    except LoadproofError:
        return


def unpack(archive: Path, into: Path, wanted: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Take the wanted files out of a fetched archive; the paths of those that are wrong or missing."""
    left = set(wanted)
    with archive.open("rb") as file:
        zipped = file.read(4) == zstandard.FRAME_HEADER
        file.seek(0)
        source: Any = zstandard.ZstdDecompressor().stream_reader(file) if zipped else file
        with tarfile.open(fileobj=source, mode="r|") as tar:
            for member in tar:
                entry = wanted.get(member.name)
                content = tar.extractfile(member) if entry is not None and member.isfile() else None
                if entry is not None and content is not None and place(content, into / member.name, entry):
                    left.discard(member.name)
    return sorted(left)


def place(content: Any, path: Path, entry: Mapping[str, Any]) -> bool:
    """Write a file as .part; give it its name when size and hash are right."""
    part = path.with_name(path.name + ".part")
    seen, size = hashlib.sha256(), 0
    with disk.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.open("wb") as file:
            while piece := content.read(CHUNK):
                file.write(piece)
                seen.update(piece)
                size += len(piece)
            file.flush()
            os.fsync(file.fileno())
    if size != entry["size"] or seen.hexdigest() != entry["sha256"]:
        part.unlink()
        return False
    part.replace(path)
    return True


def kept(
    fleet: Fleet, hosts: Iterable[str] | None = None
) -> dict[str, tuple[tuple[str, str, bool], ...] | LoadproofError]:
    """What each host still holds that nobody has fetched: (run, trial, whether it is sealed). An empty folder is of a
    trial that never began."""
    command = (
        f"cd {VAR}/trials 2>/dev/null || exit 0; for t in */*/; do t=${{t%/}}; "
        f'[ -e "$t{FETCHED}" ] && continue; [ -n "$(ls -A "$t" 2>/dev/null)" ] || continue; '
        f'[ -e "$t/{MANIFEST}" ] && s=sealed || s=open; printf "%s/%s\\n" "$t" "$s"; done; true'
    )

    def one(remote: Remote) -> tuple[tuple[str, str, bool], ...]:
        lines = checked(remote, command, 15).stdout.splitlines()
        rows = [line.split("/") for line in lines if line.count("/") == 2]
        return tuple((run, trial, state == "sealed") for run, trial, state in rows)

    return fleet.each(one, hosts)
