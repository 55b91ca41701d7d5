"""What hosts said of themselves, as text: status, findings, fingerprints, what was done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from loadproof.console.text import command, escape, table
from loadproof.errors import LoadproofError
from loadproof.plan.blockers import RUNNING, holder

SHOWN = 3  # instances of a unit by name; a load host may have a hundred


class Finding(Protocol):
    """One answer to one question of the doctor."""

    @property
    def host(self) -> str: ...
    @property
    def asked(self) -> str: ...
    @property
    def ok(self) -> bool: ...
    @property
    def said(self) -> str: ...
    @property
    def remedy(self) -> str: ...


class Key(Protocol):
    """One host key as a host offers it."""

    @property
    def host(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def known(self) -> str: ...


def status(answers: Mapping[str, Mapping[str, Any] | LoadproofError]) -> str:
    """One line per host: the units of ours that run, the trial they belong to, who holds the host."""
    rows: list[tuple[object, ...]] = []
    for host, answer in answers.items():
        if isinstance(answer, LoadproofError):
            rows.append((host, "unreachable", "", first_line(answer.what)))
            continue
        units = answer.get("units", {})
        running = [
            short
            for name, unit in sorted(units.items())
            if unit.get("active") in RUNNING
            for short in _instances(name, unit)
        ]
        failed = [
            f"{_short(name)} failed" for name, unit in sorted(units.items()) if unit.get("active") == "failed"
        ]
        rows.append(
            (
                host,
                ", ".join(running + failed) or "nothing",
                answer.get("trial") or "",
                _owner(holder(answer)),
            )
        )
    return table(("host", "runs", "trial", "held by"), rows)


def _short(unit: str) -> str:
    return unit.removeprefix("loadproof-").removesuffix(".service")


def _instances(name: str, unit: Mapping[str, Any]) -> list[str]:
    """A unit as it is shown; of a template each instance that runs, or the first and how many more."""
    names = [_short(one) for one in unit.get("instances", [name])]
    return names if len(names) <= SHOWN else [f"{names[-1]} and {len(names) - 1} more"]


def _owner(lock: Mapping[str, Any] | None) -> str:
    return "" if not lock else f"{lock.get('owner', '?')}, run {lock.get('run', '?')}"


def first_line(text: str) -> str:
    """The first line of a message, for a cell."""
    return text.splitlines()[0] if text else ""


def findings(rows: Iterable[Finding], inventory: str = "", group: str = "") -> str:
    """The doctor's findings; a remedy follows each that is not well, with what was given with -i and --group."""
    lines = [
        table(
            ("host", "asked", "", "said"),
            [(row.host, row.asked, "ok" if row.ok else "NOT OK", row.said) for row in rows],
        )
    ]
    remedies = [
        (row.host, command(row.remedy, inventory, group)) for row in rows if not row.ok and row.remedy
    ]
    lines += [f"{escape(host)}: {escape(remedy)}" for host, remedy in remedies]
    return "\n".join(lines)


def keys(found: Sequence[Key]) -> str:
    """Fingerprints, and whether each is known already."""
    return table(("host", "fingerprint", ""), [(key.host, key.fingerprint, key.known) for key in found])


def done(answers: Mapping[str, Sequence[str] | LoadproofError]) -> str:
    """What was done on each host, a line each."""
    lines = []
    for host, answer in answers.items():
        if isinstance(answer, LoadproofError):
            lines.append(f"{host}: failed: {escape(first_line(answer.what))}")
        else:
            lines += [f"{host}: {escape(line)}" for line in answer] or [f"{host}: nothing to do"]
    return "\n".join(lines)


class LabState(Protocol):
    """The local hosts as found."""

    @property
    def up(self) -> bool: ...
    @property
    def hosts(self) -> Sequence[Any]: ...
    @property
    def bridge(self) -> str: ...
    @property
    def net(self) -> str: ...
    @property
    def owner(self) -> str: ...


def lab(state: LabState) -> str:
    """The local hosts, one line each, and whether the lab as a whole is up."""
    if not state.hosts:
        return "the lab is down" + (
            f"; on this machine stands the lab of {escape(state.owner)}" if state.owner else ""
        )
    rows = [
        (item.host.name, item.host.role, item.host.address, item.trouble or item.system or "answers")
        for item in state.hosts
    ]
    head = f"the lab is {'up' if state.up else 'NOT WHOLE (./inv lab.up repairs it)'} on {state.bridge} ({state.net})"
    return head + "\n" + table(("host", "group", "address", ""), rows)
