"""Actual and desired, compared: the changes of one host in the order in which they must be made, and what forbids them.

Order: packages, user, folders, units that must not run, files to remove, files, trees, one reload of systemd, then
units that must run (a restart where something they depend on changed).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from loadproof.plan import places
from loadproof.plan.blockers import RUNNING
from loadproof.plan.blockers import blockers as blockers
from loadproof.plan.desired import LOAD_UNIT
from loadproof.plan.values import Change, FileSpec, HostDesired, UnitSpec

Facts = Mapping[str, Any]

# path -> mode and owner; made in this order
FOLDERS: dict[str, tuple[int, str]] = {
    places.OPT: (0o755, "root"),
    places.TREES: (0o755, "root"),
    places.HOSTSIDE: (0o755, "root"),
    places.ETC: (0o755, "root"),
    places.VAR: (0o755, "root"),
    places.IDLE: (0o755, "loadproof"),
}
ALL_UNITS = (places.APP_UNIT, places.LIMIT_UNIT, places.PROXY_UNIT, LOAD_UNIT, places.SAMPLE_UNIT)
MOST_TEXT = 64 * 1024  # longer files are not shown in a diff


def question(desired: HostDesired) -> dict[str, Any]:
    """What facts.py is asked about a host."""
    return {
        "files": [*(file.path for file in desired.files), *desired.absent],
        "trees": [tree.path for tree in desired.trees],
        "programs": [program for program, _ in desired.packages],
        "units": list(ALL_UNITS),
        "ports": list(desired.ports),
        "health": [{"port": promise.port} for promise in desired.promises if promise.kind == "health"],
        "config": [{"port": promise.port} for promise in desired.promises if promise.kind == "config"],
        "disk": [places.OPT, places.VAR],
        "folders": list(FOLDERS),
    }


def changes(facts: Facts, desired: HostDesired) -> tuple[Change, ...]:
    """Everything that differs, in the order to be done; empty when the host is as desired."""
    before = [*_packages(facts, desired), *_user(facts), *_folders(facts)]
    stops = list(_stops(facts, desired))
    moved = [*_removals(facts, desired), *_files(facts, desired), *_trees(facts, desired)]
    reload = list(_reload(facts, [*moved]))
    touched = {change.data.name if change.kind == "tree" else change.what for change in moved}
    return (*before, *stops, *moved, *reload, *_starts(facts, desired, touched))


def _packages(facts: Facts, desired: HostDesired) -> Iterator[Change]:
    programs = facts.get("programs", {})
    for program, package in desired.packages:
        if programs.get(program) is None:
            spec = {"program": program, "package": package}
            yield Change("package", package, f"brings {program}", data=spec)


def _user(facts: Facts) -> Iterator[Change]:
    if not facts.get("user"):
        yield Change("user", "loadproof", "system user of app and load")


def _folders(facts: Facts) -> Iterator[Change]:
    for path, (mode, owner) in FOLDERS.items():
        found = facts.get("folders", {}).get(path)
        detail = _access(found, mode, owner) if found else "new"
        if detail:
            yield Change("folder", path, detail, data={"mode": mode, "owner": owner})


def _access(found: Mapping[str, Any], mode: int, owner: str) -> str:
    """How mode and owner differ, or ""."""
    parts = []
    if found["mode"] != mode:
        parts.append(f"mode {found['mode']:04o} -> {mode:04o}")
    if found["owner"] != owner:
        parts.append(f"owner {found['owner']} -> {owner}")
    return ", ".join(parts)


def _instances(unit: str) -> str:
    """How systemctl names all instances of a template."""
    return unit.replace("@.", "@*.")


def _stops(facts: Facts, desired: HostDesired) -> Iterator[Change]:
    wanted = {unit.name: unit for unit in desired.units}
    for name in ALL_UNITS:
        found, spec = facts.get("units", {}).get(name) or {}, wanted.get(name)
        if found.get("active") in RUNNING and (spec is None or spec.state == "stopped"):
            why = "is not of this host's role any more" if spec is None else "must not run"
            yield Change("stop", _instances(name), why, data=spec)


def _removals(facts: Facts, desired: HostDesired) -> Iterator[Change]:
    for path in desired.absent:
        if facts.get("files", {}).get(path) is not None:
            yield Change("remove", path, "left from another role")
    for path in facts.get("dropins", ()):
        yield Change("remove", path, f"somebody added it to {_unit_of(path)}")


def _unit_of(dropin: str) -> str:
    """The unit, template or beginning of units whose settings a file in NAME.d adds to."""
    return dropin.split("/")[-2].removesuffix(".d")


def _added_to(unit: str, facts: Facts) -> list[str]:
    """The files that somebody added to the settings of a unit."""
    kind = unit.rpartition(".")[2]
    names = {unit, *(f"{unit[: at + 1]}.{kind}" for at, char in enumerate(unit) if char == "-")}
    return [path for path in facts.get("dropins", ()) if _unit_of(path) in names]


def _files(facts: Facts, desired: HostDesired) -> Iterator[Change]:
    for spec in desired.files:
        found = facts.get("files", {}).get(spec.path)
        if found is None:
            yield Change("file", spec.path, "new", before="", after=_text(spec), data=spec)
            continue
        parts = [] if found["sha256"] == spec.sha256 else ["content differs"]
        access = _access(found, spec.mode, spec.owner)
        if parts or access:
            detail = ", ".join([*parts, *([access] if access else [])])
            # What is on the host now is not known here: control reads it when somebody asks for the difference.
            yield Change("file", spec.path, detail, after=_text(spec), data=spec)


def _text(spec: FileSpec) -> str | None:
    if spec.secret or len(spec.data) > MOST_TEXT:
        return None
    try:
        return spec.data.decode()
    except UnicodeDecodeError:
        return None


def _trees(facts: Facts, desired: HostDesired) -> Iterator[Change]:
    for spec in desired.trees:
        if not facts.get("trees", {}).get(spec.path):
            yield Change("tree", spec.path, "shipped whole" + _altered(facts, spec.path), data=spec)


def _altered(facts: Facts, path: str) -> str:
    """Why a tree that is there is shipped again."""
    found = facts.get("altered", {}).get(path)
    if not found:
        return ""
    more = f" and {found['number'] - 1} more were" if found["number"] > 1 else " was"
    return f" again: {found['first']}{more} changed on the host"


def _reload(facts: Facts, moved: list[Change]) -> Iterator[Change]:
    units = [change.what for change in moved if "/systemd/system" in change.what]
    stale = [name for name, found in facts.get("units", {}).items() if (found or {}).get("needs_reload")]
    if units or stale:
        yield Change(
            "reload", "systemd", f"{len(units)} unit files changed" if units else "unit files changed earlier"
        )


def _starts(facts: Facts, desired: HostDesired, touched: set[str]) -> Iterator[Change]:
    for spec in desired.units:
        if spec.state != "running":
            continue
        found = facts.get("units", {}).get(spec.name) or {}
        if found.get("active") not in RUNNING:
            yield Change("start", spec.name, f"is {found.get('active', 'unknown')}", data=spec)
            continue
        changed = [name for name in (*spec.restart_on, *_added_to(spec.name, facts)) if name in touched]
        why = f"{', '.join(changed)} changed" if changed else _unkept(facts, desired, spec)
        if why:
            yield Change("restart", spec.name, why, data=spec)


def _unkept(facts: Facts, desired: HostDesired, spec: UnitSpec) -> str:
    """Why a running unit is not the one we want: an earlier deploy may have died between file and restart."""
    kind = {places.APP_UNIT: "health", places.PROXY_UNIT: "config"}.get(spec.name)
    for promise in desired.promises:
        if promise.kind != kind:
            continue
        seen = facts.get(promise.kind, {}).get(str(promise.port))
        if seen is None:
            return f"does not answer on {promise.port}"
        answered = (seen.get("deploy_id"), seen.get("variant")) if isinstance(seen, Mapping) else seen
        wanted = (promise.expected, promise.variant) if promise.kind == "health" else promise.expected
        if answered != wanted:
            return f"answers {_words(answered)}, not {_words(wanted)}"
    return ""


def _words(value: Any) -> str:
    return " ".join(str(part) for part in value) if isinstance(value, tuple) else str(value)
