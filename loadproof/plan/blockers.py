"""What on a host forbids to change it: named before anything is touched anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from loadproof.errors import Problem
from loadproof.plan import places
from loadproof.plan.desired import LOAD_UNIT
from loadproof.plan.values import HostDesired, Platform, TreeSpec

Facts = Mapping[str, Any]

RUNNING = ("active", "activating", "reloading", "refreshing")
OLDEST_PYTHON = (3, 11)
# A tree's archive and the tree itself, MB: app 365 + 95 measured, load 75 + 20; data about 40 bytes a row.
TREE_MB = {"app": 600, "load": 160, "data": 8}
VAR_MB = 64  # logs and rows of a short trial


def blockers(facts: Facts, desired: HostDesired, run: str | None = None) -> list[Problem]:
    """Everything that forbids to change this host, all at once; empty when nothing does.

    `run` is who asks: a lock of another run blocks, "" (no run: a deploy) is blocked by any lock, None leaves locks
    to whoever holds them.
    """
    where = f"host {desired.host}"
    found = [*_login(facts), *_python(facts, desired), *_ports(facts, desired), *_disk(facts, desired)]
    found += [*_running(facts), *_lock(facts, run)]
    return [Problem(sentence, where) for sentence in found]


def _login(facts: Facts) -> Iterator[str]:
    if facts.get("uid", 0) != 0:
        yield f"commands run as user {facts['uid']}, not as root: log in as root or with passwordless sudo"


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _python(facts: Facts, desired: HostDesired) -> Iterator[str]:
    python, exe = str(facts.get("python", "")), facts.get("python_exe", "python3")
    if _version(python) < OLDEST_PYTHON:
        yield f"{exe} is Python {python or 'of an unknown version'}, 3.11 or newer is needed: set loadproof_python"
        return
    for tree in desired.trees:
        if tree.platform is not None and (difference := _difference(facts, tree.platform)):
            yield f"{difference}; its {tree.kind} was planned for {tree.platform.tag} ({_origin(tree.platform)})"


def _origin(platform: Platform) -> str:
    return "as loadproof_platform declares" if platform.origin == "declared" else "as found before planning"


def _difference(facts: Facts, platform: Platform) -> str:
    """How the host differs from what a tree is made for, or "" (a newer C library is fine)."""
    python, machine = facts.get("python"), facts.get("machine")
    if (python, machine) != (platform.python, platform.machine):
        return f"the host has Python {python} on {machine}"
    glibc = facts.get("glibc")
    if glibc is None:
        return "the host's C library is not glibc"
    if tuple(glibc) < platform.glibc:
        return f"the host has glibc {glibc[0]}.{glibc[1]}, older than {platform.glibc[0]}.{platform.glibc[1]}"
    return ""


def _ports(facts: Facts, desired: HostDesired) -> Iterator[str]:
    for port in desired.ports:
        holder = facts.get("ports", {}).get(str(port))
        if holder and not str(holder.get("unit", "")).startswith("loadproof-"):
            unit = f", unit {holder['unit']}" if holder.get("unit") else ""
            yield f"port {port} is taken by {holder.get('name', '?')} (pid {holder.get('pid', '?')}{unit})"


def _disk(facts: Facts, desired: HostDesired) -> Iterator[str]:
    missing = [tree for tree in desired.trees if not facts.get("trees", {}).get(tree.path)]
    trees = sum(_size(tree) for tree in missing)
    # Trees live under /opt; their archives, about a quarter, wait under /var/lib beside what trials write.
    needs = {places.OPT: trees, places.VAR: VAR_MB + trees // 4}
    rooms = {path: room for path in needs if (room := facts.get("disk", {}).get(path)) and needs[path]}
    devices: dict[Any, list[str]] = {}
    for path, room in rooms.items():
        devices.setdefault(room.get("device", path), []).append(path)
    for paths in devices.values():
        # what shares a device shares its space: the needs add up
        free_kb, needed = rooms[paths[0]]["free_kb"], sum(needs[path] for path in paths)
        if free_kb < needed * 1024:
            have = f"{paths[0]} has" if len(paths) == 1 else f"{' and '.join(paths)} together have"
            yield f"{have} {free_kb // 1024} MB free, {needed} MB are needed"


def _size(tree: TreeSpec) -> int:
    rows = dict(tree.params).get("rows", 0)
    return TREE_MB[tree.kind] + int(rows) * 40 // 2**20


def _load_runs(facts: Facts) -> bool:
    return (facts.get("units", {}).get(LOAD_UNIT) or {}).get("active") in RUNNING


def _running(facts: Facts) -> Iterator[str]:
    if _load_runs(facts):
        yield f"a load runs here (trial {facts.get('trial') or 'unknown'}): wait, or ./inv attach, or ./inv stop"


def holder(facts: Facts) -> Mapping[str, Any] | None:
    """The lock's entry of who holds a host; None when nobody does.

    Stale as hostside/lock.py sees it: the host was started anew since, or its time has passed and no load runs.
    """
    lock: Mapping[str, Any] | None = facts.get("lock")
    if not lock or any(key in lock and lock[key] != facts.get(key) for key in ("boot_id", "pid1_start")):
        return None
    over = lock.get("until_us", 0) < facts.get("realtime_us", 0)
    return None if over and not _load_runs(facts) else lock


def user(facts: Facts, run: str | None) -> str:
    """The run that has the host now, other than `run`; "" when none has. See `blockers` for what `run` may be."""
    lock = holder(facts)
    if run is not None and lock and lock.get("run") != run:
        return str(lock.get("run", "?"))
    return str(facts.get("trial") or "?").partition("/")[0] if _load_runs(facts) else ""


def _lock(facts: Facts, run: str | None) -> Iterator[str]:
    lock = holder(facts)
    if run is None or not lock or lock.get("run") == run:
        return
    yield f"the host is held by {lock.get('owner', '?')} for run {lock.get('run', '?')}: wait, or ./inv stop"
