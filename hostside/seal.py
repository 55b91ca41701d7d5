"""Closes the raw files of a trial on this host and writes down what they are.

    seal.py '{"run","trial","host","out"}'

Turns `current` to the idle folder, tells who writes to reopen, waits until nobody holds a file of `out` open, syncs,
hashes and writes manifest.json. Prints the manifest plus "limiter_events" (the last 200). Sealed twice gives the same
manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

VAR = "/var/lib/loadproof"
MANIFEST = "manifest.json"
WRITERS = ("loadproof-proxy.service", "loadproof-app.service", "loadproof-sample.service")
WITHIN_S = 5.0
EVENTS = 200


def turn_to_idle(out: str, var: str) -> None:
    """Point `current` at the idle folder, if it leads to `out`; another trial's folder is left alone."""
    current, idle = f"{var}/current", f"{var}/idle"
    if os.path.lexists(current) and os.path.realpath(current) != os.path.realpath(out):
        return
    temporary = f"{current}.{os.getpid()}"
    os.symlink(idle, temporary)
    os.rename(temporary, current)


def handles(pid: int, number: int) -> bool:
    """Whether a process has a handler for a signal or blocks it to wait for it; else SIGUSR1 would end it."""
    try:
        with open(f"/proc/{pid}/status") as file:
            masks = [int(line.split()[1], 16) for line in file if line.startswith(("SigCgt:", "SigBlk:"))]
    except OSError:
        return False
    return any(mask >> (number - 1) & 1 for mask in masks)


def tell_writers() -> None:
    """SIGUSR1 to the main process of each unit that writes: open your files anew."""
    command = ["systemctl", "show", "--property=MainPID", "--value", *WRITERS]
    try:
        said = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return
    for word in said.split():
        if word.isdigit() and int(word) > 0 and handles(int(word), signal.SIGUSR1):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(word), signal.SIGUSR1)


def held_by(pid: int, out: str) -> dict[str, set[str]]:
    """Files of a folder that a process holds: path -> how ("fd 1", "mapped")."""
    found: dict[str, set[str]] = {}
    for fd in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            path = os.readlink(f"/proc/{pid}/fd/{fd}")
            if path.startswith(f"{out}/"):
                found.setdefault(path, set()).add(f"fd {fd}")
    with open(f"/proc/{pid}/maps") as file:
        for line in file:
            path = line.partition("/")[1] + line.partition("/")[2].rstrip("\n")
            if path.startswith(f"{out}/"):
                found.setdefault(path, set()).add("mapped")
    return found


def holders(out: str) -> dict[str, dict[int, set[str]]]:
    """Which processes hold which files of the folder, and how."""
    found: dict[str, dict[int, set[str]]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            with contextlib.suppress(OSError):
                for path, how in held_by(int(name), out).items():
                    found.setdefault(path, {})[int(name)] = how
    return found


def only_output(how: set[str]) -> bool:
    """Whether a file is only held as standard output or error: systemd opened it, so nobody will reopen it."""
    return how <= {"fd 1", "fd 2"}


def wait_until_closed(out: str, within_s: float) -> tuple[list[str], dict[str, list[int]]]:
    """Wait for the writers. Returns the files still held by anybody, and those that a writer should have let go."""
    end = time.monotonic() + within_s
    while True:
        held = {path: pids for path, pids in holders(out).items() if os.path.exists(path)}
        late = {
            os.path.relpath(path, out): sorted(pid for pid, how in pids.items() if not only_output(how))
            for path, pids in held.items()
            if not all(only_output(how) for how in pids.values())
        }
        if not late or time.monotonic() >= end:
            return sorted(held), late
        time.sleep(0.02)


def part_from_writers(paths: list[str]) -> None:
    """Put a copy in the place of a file that is still held: what is written later does not reach the sealed one."""
    for path in paths:
        temporary = f"{path}.sealing"
        shutil.copy2(path, temporary)
        status = os.stat(path)
        os.chown(temporary, status.st_uid, status.st_gid)
        os.rename(temporary, path)


def describe(out: str) -> list[dict[str, Any]]:
    """Path, size and hash of every file of the folder, synced to disk."""
    files = []
    for folder, _, names in os.walk(out):
        for name in names:
            path = os.path.join(folder, name)
            if (
                os.path.relpath(path, out) == MANIFEST
                or name.endswith(".sealing")
                or not os.path.isfile(path)
            ):
                continue
            with open(path, "rb") as file:
                os.fsync(file.fileno())
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                size = os.fstat(file.fileno()).st_size
            files.append({"path": os.path.relpath(path, out), "size": size, "sha256": digest})
    return sorted(files, key=lambda file: str(file["path"]))


def sealed_before(out: str, asked: dict[str, Any]) -> dict[str, Any] | None:
    """The manifest of an earlier sealing of the same trial, if there is a whole one."""
    try:
        with open(f"{out}/{MANIFEST}") as file:
            manifest = json.load(file)
    except (OSError, ValueError):
        return None
    same = isinstance(manifest, dict) and all(
        manifest.get(key) == asked[key] for key in ("run", "trial", "host")
    )
    return manifest if same else None


def write_manifest(out: str, manifest: dict[str, Any]) -> None:
    """Write it whole, and the folder's entries to disk."""
    temporary = f"{out}/{MANIFEST}.sealing"
    with open(temporary, "w") as file:
        json.dump(manifest, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, f"{out}/{MANIFEST}")
    folder = os.open(out, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def limiter_events(out: str) -> list[Any]:
    """The last events of the limiter; a line cut by a kill is left out."""
    events = []
    with contextlib.suppress(OSError), open(f"{out}/limiter.jsonl") as file:
        for line in file.readlines()[-EVENTS:]:
            with contextlib.suppress(ValueError):
                events.append(json.loads(line))
    return events


def seal(asked: dict[str, Any], var: str, within_s: float) -> dict[str, Any]:
    """Seal the trial's folder and return the manifest."""
    out = os.path.realpath(asked["out"])
    turn_to_idle(out, var)
    tell_writers()
    held, late = wait_until_closed(out, within_s)
    part_from_writers(held)
    files, before = describe(out), sealed_before(out, asked)
    if before is not None and before.get("files") == files:
        return before
    manifest = {"format": 1, **{key: asked[key] for key in ("host", "run", "trial")}}
    manifest |= {"sealed_us": time.time_ns() // 1000, "files": files}
    if late:
        # The tail of these may be missing: their writer did not answer in time.
        manifest["held"] = late
    write_manifest(out, manifest)
    return manifest


def main(words: list[str]) -> int:
    """Seal and print; `--var FOLDER` in front names another /var/lib/loadproof."""
    var = VAR
    if words[:1] == ["--var"]:
        var, words = words[1], words[2:]
    asked = json.loads(words[0])
    if not os.path.isdir(asked["out"]):
        print(f"no folder {asked['out']}: the trial was never opened on this host", file=sys.stderr)
        return 1
    manifest = seal(asked, var, WITHIN_S)
    print(json.dumps(manifest | {"limiter_events": limiter_events(asked["out"])}))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
