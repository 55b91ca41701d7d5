"""Bringing hosts to their desired state: ask, compare, act, read back.

Every host is asked once, in one command. Nothing is touched anywhere while one host has a blocker. Only differences
travel; every promise is read back. When there is nothing to change, one round trip per host is all.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from loadproof.control import probe, trees
from loadproof.control.fleet import Fleet, good
from loadproof.control.programs import run_program
from loadproof.control.remote import Remote, checked
from loadproof.errors import (
    BadInput,
    HostUnreachable,
    LinkLost,
    LoadproofError,
    NotReady,
    Problem,
    StepFailed,
)
from loadproof.plan import changes as plan_changes
from loadproof.plan.places import VAR
from loadproof.plan.shell import quote
from loadproof.plan.values import Change, Desired, FileSpec, HostDesired, Promise, TreeSpec

INCOMING = f"{VAR}/incoming"
INSTALL_S = 900.0  # packages over a slow line are the longest part
READY_S = 20.0
EVERY_S = 0.1

Status = Literal["ok", "changed", "failed", "unreachable"]


@dataclass(frozen=True)
class HostOutcome:
    """What became of one host; with `check`, "changed" means that it would be changed."""

    host: str
    status: Status
    changes: tuple[Change, ...] = ()
    problem: LoadproofError | None = None


def converge(
    fleet: Fleet,
    desired: Desired,
    check: bool = False,
    hosts: Iterable[str] | None = None,
    root: Path = Path(),
) -> dict[str, HostOutcome]:
    """Bring hosts (or only these) to their desired state; one outcome per host, in inventory order.

    A blocker on any host (a port taken by a stranger, a platform that is not the declared one) leaves every host
    untouched: the blocked ones are "failed", the others keep their pending changes. A host that cannot be reached is
    its own outcome; the others go on.
    """
    only = None if hosts is None else set(hosts)
    wanted = {item.host: item for item in desired.hosts if only is None or item.host in only}
    answers = probe.ask_all(fleet, {name: plan_changes.question(item) for name, item in wanted.items()})
    outcomes: dict[str, HostOutcome] = {
        name: failure(name, error) for name, error in answers.items() if isinstance(error, LoadproofError)
    }
    found = good(answers)
    pending = {name: tuple(plan_changes.changes(found[name], wanted[name])) for name in found}
    blocked = {name: plan_changes.blockers(found[name], wanted[name]) for name in found}
    if any(blocked.values()):
        for name in found:
            problem = refusal(name, blocked[name]) if blocked[name] else None
            status: Status = "failed" if problem else ("changed" if check and pending[name] else "ok")
            kept = pending[name] if check or problem else ()
            outcomes[name] = HostOutcome(name, status, kept, problem)
        return {name: outcomes[name] for name in answers}
    busy = [name for name in found if pending[name]]
    for name in found:
        outcomes[name] = HostOutcome(name, "changed" if pending[name] else "ok", pending[name])
    if busy and not check:
        archives = build({name: pending[name] for name in busy}, root)
        acted = fleet.each(
            lambda remote: act(
                remote, wanted[remote.host.name], pending[remote.host.name], found[remote.host.name], archives
            ),
            busy,
        )
        for name, result in acted.items():
            if isinstance(result, LoadproofError):
                outcomes[name] = failure(name, result, pending[name])
    return {name: outcomes[name] for name in answers}


def failure(host: str, error: LoadproofError, changes: tuple[Change, ...] = ()) -> HostOutcome:
    """The outcome of a host with an error."""
    gone = isinstance(error, (HostUnreachable, LinkLost))
    return HostOutcome(host, "unreachable" if gone else "failed", changes, error)


def refusal(host: str, problems: Iterable[Problem]) -> LoadproofError:
    """A host that must not be touched: the environment is at fault, so exit 3, and all its problems at once."""
    what = "\n".join(problem.message for problem in problems)
    error = StepFailed(host, "facts.py", 0, "", what=what, kept="nothing was touched on any host")
    error.next = "put it right on the host, then inv deploy"
    return error


def build(pending: Mapping[str, Iterable[Change]], root: Path) -> dict[str, Path]:
    """The archives of every tree that some host lacks, by tree name; each built once. Raises StepFailed."""
    specs = {
        change.data.name: change.data
        for changes in pending.values()
        for change in changes
        if isinstance(change.data, TreeSpec)
    }
    return {name: trees.archive(spec, root) for name, spec in specs.items()}


def act(
    remote: Remote, desired: HostDesired, changes: tuple[Change, ...], facts: Mapping[str, Any],
    archives: Mapping[str, Path],
) -> None:  # fmt: skip
    """Do the changes of one host, and read its promises back. Raises StepFailed, NotReady, LinkLost."""
    shipped = [change.data for change in changes if isinstance(change.data, TreeSpec)]
    if shipped:
        checked(remote, quote("mkdir", "-p", "-m", "755", INCOMING), 15)
        for spec in shipped:
            remote.put(archives[spec.name], incoming(spec))
    steps = [step for change in changes for step in steps_of(change, desired, facts)]
    if any(change.kind == "package" for change in changes):
        # masked before anything is installed, so that no service starts by itself
        steps = [{"do": "mask", "unit": unit} for unit in desired.masked] + steps
    said = run_program(remote, "install", within=INSTALL_S, stdin=json.dumps({"steps": steps})).json()
    if said.get("failed"):
        raise step_failed(remote.host.name, said)
    read_back(remote, desired)


def step_failed(host: str, said: Mapping[str, Any]) -> StepFailed:
    """The error for a plan that install.py could not do to its end."""
    failed, done = said["failed"], said.get("done", [])
    return StepFailed(
        host, failed["what"], int(failed.get("exit") or 1), failed.get("last_lines", ""),
        kept=f"{len(done)} earlier changes stay; what was there before this one too", next="inv deploy",
    )  # fmt: skip


def incoming(spec: TreeSpec) -> str:
    """Where an archive waits on the host until it is unpacked."""
    return f"{INCOMING}/{spec.name}.tar.zst"


def steps_of(change: Change, desired: HostDesired, facts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The steps of install.py that make one change."""
    data = change.data
    if change.kind == "user":
        return [{"do": "user"}]
    if change.kind == "reload":
        return [{"do": "reload"}]
    if change.kind == "file" and isinstance(data, FileSpec):
        content = base64.b64encode(data.data).decode()
        return [{"do": "file", "path": data.path, "mode": data.mode, "owner": data.owner, "base64": content}]
    if change.kind == "tree" and isinstance(data, TreeSpec):
        ready = trees.compiled(data) and (data.platform is None or facts.get("magic") == trees.MAGIC)
        return [{"do": "tree", "path": data.path, "archive": incoming(data), "compile": not ready}]
    if change.kind == "package":
        return [{"do": "package", **package_of(change, desired)}]
    if change.kind == "folder":
        folder = data if isinstance(data, Mapping) else {}
        return [{"do": "folder", "path": change.what, "mode": 0o755, "owner": "root", **folder}]
    if change.kind == "remove":
        return [{"do": "remove", "path": change.what}]
    if change.kind in ("start", "stop", "restart"):
        return [{"do": change.kind, "unit": change.what}]
    raise ValueError(f"no step for {change.kind} {change.what}")


def package_of(change: Change, desired: HostDesired) -> dict[str, Any]:
    """Program and package of a package change, and the folder to install from where the change names one."""
    if isinstance(change.data, Mapping):
        return dict(change.data)
    for program, package in desired.packages:
        if change.what in (program, package):
            return {"program": program, "package": package}
    raise ValueError(f"no package {change.what} in the desired state")


# --- reading back ----------------------------------------------------------------------------------


def read_back(remote: Remote, desired: HostDesired, within_s: float = READY_S) -> None:
    """Wait until every promise of a host holds and nothing is left to change. Raises NotReady with what was seen."""
    started = time.monotonic()
    question = plan_changes.question(desired)
    while True:
        found = probe.facts(remote, question)
        broken = [text for promise in desired.promises if (text := broken_promise(promise, found))]
        left = plan_changes.changes(found, desired)
        if not broken and not left:
            return
        waited = time.monotonic() - started
        if waited >= within_s:
            seen = "; ".join(broken + [f"still to do: {change.kind} {change.what}" for change in left])
            raise NotReady(
                remote.host.name,
                "the host is as desired",
                waited,
                seen,
                kept="the changes stay",
                next="inv deploy",
            )
        time.sleep(EVERY_S)


def broken_promise(promise: Promise, found: Mapping[str, Any]) -> str:
    """What is wrong with a promise, "" when it holds."""
    seen = found.get(promise.kind, {}).get(str(promise.port))
    if promise.kind == "config":
        if seen == promise.expected:
            return ""
        return f"nginx on {promise.port} answers config {seen}, not {promise.expected}"
    if isinstance(seen, Mapping):
        good_id = seen.get("deploy_id") == promise.expected
        if good_id and (not promise.variant or seen.get("variant") == promise.variant):
            return ""
    return f"the app on {promise.port} answers {json.dumps(seen)}, not {promise.expected} {promise.variant}"


def raise_first(outcomes: Mapping[str, HostOutcome]) -> None:
    """Raise the problem of the first host that has one, naming the others."""
    bad = [outcome for outcome in outcomes.values() if outcome.problem is not None]
    if not bad or bad[0].problem is None:
        return
    if len(bad) > 1 and not isinstance(bad[0].problem, BadInput):
        bad[0].problem.where += f" (and {', '.join(outcome.host for outcome in bad[1:])})"
    raise bad[0].problem
