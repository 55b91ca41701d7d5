"""Who uses this host: one lock file, taken and released whole.

    lock.py take '{"owner","run","seconds","force":false}'
    lock.py release '{"run"}'
    lock.py show

Prints one JSON object. Exit 0, or 3 with the owner's entry when somebody else holds the host. `since_us` and `until_us`
of an entry are of the host's own clock, with which alone they are compared. A lock is stale when the host was rebooted
since, or when its `until_us` has passed and no load unit is active.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

LOCK = "/run/loadproof/lock.json"
TAKEN = 3


def boot() -> dict[str, Any]:
    """What changes with a reboot: the kernel's boot id, and when pid 1 started (containers share the first)."""
    with open("/proc/sys/kernel/random/boot_id") as file:
        boot_id = file.read().strip()
    with open("/proc/1/stat") as file:
        started = int(file.read().rpartition(")")[2].split()[19])
    return {"boot_id": boot_id, "pid1_start": started}


def read(path: str) -> dict[str, Any] | None:
    """The entry, or None. An unreadable one counts as none: it is always written whole, so it is not ours."""
    try:
        with open(path) as file:
            found = json.load(file)
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def write(path: str, entry: dict[str, Any]) -> None:
    """Replace the entry atomically."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "w") as file:
        json.dump(entry, file)
        file.flush()
        os.fsync(file.fileno())
    os.rename(temporary, path)


@contextlib.contextmanager
def alone(path: str) -> Iterator[None]:
    """Only one process at a time reads, decides and writes."""
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(f"{path}.guard", "a") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        yield


def load_is_active() -> bool:
    """Whether a load unit runs on this host."""
    import subprocess

    command = ["systemctl", "is-active", "--quiet", "loadproof-load@*.service"]
    try:
        return (
            subprocess.run(command, timeout=10, stdin=subprocess.DEVNULL, capture_output=True).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def stale(entry: dict[str, Any]) -> str:
    """Why the entry no longer counts; empty when it does."""
    now = boot()
    if any(key in entry and entry[key] != now[key] for key in now):
        return "the host was rebooted since"
    if entry.get("until_us", 0) < time.time_ns() // 1000 and not load_is_active():
        return "its planned end has passed and no load runs here"
    return ""


def take(path: str, wanted: dict[str, Any]) -> int:
    """Take the host for a run, or say who has it. The same run may take it again."""
    with alone(path):
        held = read(path)
        why = ""
        if held is not None and held.get("run") != wanted["run"]:
            why = stale(held) or ("taken by force" if wanted.get("force") else "")
            if not why:
                print(json.dumps(held))
                return TAKEN
        now = time.time_ns() // 1000
        times = {"since_us": now, "until_us": now + int(wanted["seconds"] * 1e6)}
        entry = {"owner": wanted["owner"], "run": wanted["run"]} | times | boot()
        write(path, entry)
        print(json.dumps({"taken": True, "lock": entry, "replaced": held if why else None, "why": why}))
        return 0


def release(path: str, wanted: dict[str, Any]) -> int:
    """Give the host back. Nothing to give back is fine; somebody else's lock is not touched."""
    with alone(path):
        held = read(path)
        if held is not None and held.get("run") != wanted["run"]:
            print(json.dumps(held))
            return TAKEN
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        print(json.dumps({"released": held is not None}))
        return 0


def show(path: str) -> int:
    """Print the entry and why it is stale, if it is."""
    held = read(path)
    print(json.dumps({"lock": held, "stale": stale(held) if held else ""}))
    return 0


def main(words: list[str]) -> int:
    """Run one word; `--file PATH` in front names another lock file."""
    path = LOCK
    if words[:1] == ["--file"]:
        path, words = words[1], words[2:]
    if words == ["show"]:
        return show(path)
    if len(words) == 2 and words[0] in ("take", "release"):
        return {"take": take, "release": release}[words[0]](path, json.loads(words[1]))
    print(__doc__, file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
