"""Asking hosts what they are and have: one command per host; and how far their clocks are from ours."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from loadproof.control.fleet import Fleet, all_good, good
from loadproof.control.programs import run_program
from loadproof.control.remote import Remote, checked
from loadproof.errors import BadInput, LoadproofError, LocalDisk, Problem, StepFailed
from loadproof.plan.values import Host, Inventory, Platform
from loadproof.runfolder import atomic
from loadproof.runfolder.record import from_json, to_json

WITHIN_S = 30.0
TRIPS = 20
OLDEST_PYTHON = (3, 11)
MEMORY = ".cache/platforms.json"


def facts(remote: Remote, question: Mapping[str, Any]) -> dict[str, Any]:
    """The answer of hostside/facts.py to a question, in one round trip. Raises StepFailed for an old Python."""
    said = run_program(remote, "facts", json.dumps(question), within=WITHIN_S)
    answer: dict[str, Any] = said.json()
    python = answer.get("python", "0.0")
    if tuple(int(part) for part in python.split(".")[:2]) < OLDEST_PYTHON:
        raise StepFailed(
            remote.host.name, "facts.py", 0, "",
            what=f"{remote.host.python} on this host is Python {python}; 3.11 or newer is needed",
            kept="nothing was touched", next="name a newer one in the inventory: loadproof_python",
        )  # fmt: skip
    return answer


def platform_of(found: Mapping[str, Any], host: str = "") -> Platform:
    """The platform that trees for a host are built for, from its facts. Raises StepFailed where there is no glibc."""
    glibc = found.get("glibc")
    if not glibc:
        what = "its C library is not glibc (musl?): trees are made of manylinux wheels"
        then = "use a host of a distribution with glibc"
        raise StepFailed(host, "facts.py", 0, "", what=what, kept="nothing was touched", next=then)
    return Platform(
        python=found["python"],
        machine=found["machine"],
        glibc=(int(glibc[0]), int(glibc[1])),
        magic=found["magic"],
        origin="found",
    )


def platforms(fleet: Fleet, inventory: Inventory, root: Path) -> dict[str, Platform]:
    """The platform of every host that gets a tree (app and load), by name. Raises the first host's error."""
    return all_good(each_platform(fleet, inventory, root))


def each_platform(
    fleet: Fleet, inventory: Inventory, root: Path, only: Iterable[str] | None = None
) -> dict[str, Platform | LoadproofError]:
    """The platform of every host that gets a tree (app and load), or why it is not known, by name.

    Declared ones are taken at their word, and so are those found by an earlier probe: deploy's one round trip
    verifies both and refuses on a difference. The others (with `only`: those of them that are named) are asked, side
    by side, and remembered under .cache.
    """
    wanted = [host for host in inventory.hosts if {"app", "load"} & set(host.roles)]
    known = remembered(root)
    found: dict[str, Platform | LoadproofError] = {
        host.name: declared(host) if host.platform is not None else known[key(host)]
        for host in wanted
        if host.platform is not None or key(host) in known
    }
    names = {host.name for host in wanted} if only is None else set(only)
    asked = [host.name for host in wanted if host.name in names and host.name not in found]
    answers = ask_all(fleet, {name: {} for name in asked})
    learn(root, inventory, good(answers))
    found |= {name: _platform_or_error(answer, name) for name, answer in answers.items()}
    return {host.name: found[host.name] for host in wanted if host.name in found}


def _platform_or_error(answer: Mapping[str, Any] | LoadproofError, host: str) -> Platform | LoadproofError:
    if isinstance(answer, LoadproofError):
        return answer
    try:
        return platform_of(answer, host)
    except LoadproofError as error:
        return error


def declared(host: Host) -> Platform:
    """The platform an inventory declares, "cp311-x86_64" or "cp311-x86_64-glibc2.36"; glibc 2.28 unless named.

    Raises BadInput for another form.
    """
    text = host.platform or ""
    python, _, rest = text.partition("-")
    machine, _, library = rest.partition("-glibc")
    major, minor = python[2:3], python[3:]
    glibc = library.split(".") if library else ["2", "28"]
    if not (python.startswith("cp") and major.isdigit() and minor.isdigit() and machine and len(glibc) == 2):
        problem = Problem(f"loadproof_platform {text!r}: wanted cp311-x86_64", f"host {host.name}")
        raise BadInput([problem], next="write it like that, or leave it out: then the host itself is asked")
    magic = "" if (major, minor) != ours()[:2] else ours()[2]
    return Platform(f"{major}.{minor}", machine, (int(glibc[0]), int(glibc[1])), magic, "declared")


def ours() -> tuple[str, str, str]:
    """Major, minor and magic number of the Python we run."""
    import importlib.util
    import sys

    return str(sys.version_info.major), str(sys.version_info.minor), importlib.util.MAGIC_NUMBER.hex()


def key(host: Host) -> str:
    """What a remembered platform belongs to: the interpreter of a login."""
    return f"{host.name} {host.ssh_host} {host.ssh_port or ''} {host.python}"


def remembered(root: Path) -> dict[str, Platform]:
    """What earlier probes found; nothing when there is no such memory, or it cannot be read."""
    try:
        known = json.loads((root / MEMORY).read_text())
        return {name: from_json(Platform, entry) for name, entry in known.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def learn(root: Path, inventory: Inventory, answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Remember the platforms that facts tell of; a clone that cannot be written to goes without."""
    known = remembered(root)
    new = {
        key(inventory.host(name)): platform_of(found, name)
        for name, found in answers.items()
        if found.get("glibc")
    }
    if all(known.get(name) == platform for name, platform in new.items()):
        return
    try:
        (root / MEMORY).parent.mkdir(parents=True, exist_ok=True)
        atomic.write_json(root / MEMORY, to_json({**known, **new}))
    except (OSError, LocalDisk):
        return


def offset(remote: Remote, trips: int = TRIPS) -> dict[str, Any]:
    """Offset of a host's clock against ours, from `trips` round trips: microseconds to *subtract* from its times.

    Each trip is [sent, host, received] in µs since the epoch; the best one has the shortest way, and the true offset
    lies within half of it: host - (sent + received) / 2, as in NTP (RFC 5905, section 8).
    """
    seen: list[list[int]] = []
    for _ in range(trips):
        sent = time.time_ns() // 1000
        said = checked(remote, "date +%s%N", 10).stdout
        received = time.time_ns() // 1000
        seen.append([sent, int(said) // 1000, received])
    best = min(seen, key=lambda trip: trip[2] - trip[0])
    return {
        "best_us": round(best[1] - (best[0] + best[2]) / 2),
        "half_trip_us": (best[2] - best[0]) // 2,
        "trips": seen,
    }


def before_and_after(
    fleet: Fleet, questions: Mapping[str, Mapping[str, Any]], when: str
) -> list[dict[str, Any]]:
    """Lines of facts.jsonl for these hosts: the answer of each to its question, and all round trips of the clock.

    Raises the first host's error.
    """

    def ask(remote: Remote) -> dict[str, Any]:
        return {
            "when": when,
            "host": remote.host.name,
            "facts": facts(remote, questions[remote.host.name]),
            "offset": offset(remote),
        }

    return list(all_good(fleet.each(ask, questions)).values())


def ask_all(
    fleet: Fleet, questions: Mapping[str, Mapping[str, Any]]
) -> dict[str, dict[str, Any] | LoadproofError]:
    """Facts of several hosts, each with its own question, side by side."""
    return fleet.each(lambda remote: facts(remote, questions[remote.host.name]), questions)
