"""manifest.json of every host: were the files that were sealed there all fetched, and whole?"""

from __future__ import annotations

import json
from collections.abc import Iterable

from loadproof.runfolder.formats import MANIFEST
from loadproof.runfolder.paths import TrialPaths


def notes(paths: TrialPaths, hosts: Iterable[str]) -> tuple[str, ...]:
    """What differs from the manifests, in words. Sizes only: hashes were verified when the files were fetched."""
    said: list[str] = []
    for host in dict.fromkeys(hosts):
        folder = paths.raw(host)
        try:
            files = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
            sizes = {str(file["path"]): int(file["size"]) for file in files}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            said.append(f"{host}: no manifest; whether its files are all here and whole is unknown")
            continue
        for name, size in sorted(sizes.items()):
            path = folder / name
            # a manifest is data from a host: it may name nothing outside its own folder
            if folder.resolve() not in path.resolve().parents:
                said.append(f"{host}: its manifest names a path outside the trial: {name[:80]!a}")
            elif not path.is_file():
                said.append(f"{host}: {name} was sealed and is missing")
            elif path.stat().st_size != size:
                said.append(f"{host}: {name} has {path.stat().st_size} bytes, {size} were sealed")
    return tuple(said)
