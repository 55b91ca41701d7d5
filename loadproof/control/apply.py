"""Bringing hosts to their desired state: ask, compare, act, read back.

Every host is asked once, in one command. Nothing is touched anywhere while one host has a blocker. Only differences
travel; every promise is read back. When there is nothing to change, one round trip per host is all.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from loadproof.control import probe, trees
from loadproof.control.fleet import Fleet, good
from loadproof.control.programs import run_program
from loadproof.control.readback import LOGS, last_words, read_back
from loadproof.control.remote import Remote, checked
from loadproof.errors import HostUnreachable, LinkLost, LoadproofError, Problem, Refused, StepFailed
from loadproof.plan import blockers as plan_blockers
from loadproof.plan import changes as plan_changes
from loadproof.plan import desired as plan_desired
from loadproof.plan.places import PROXY_UNIT, TREES, VAR
from loadproof.plan.shell import quote
from loadproof.plan.values import Change, Desired, FileSpec, HostDesired, TreeSpec

INCOMING = f"{VAR}/incoming"
INSTALL_S = 900.0  # packages over a slow line are the longest part

UNTOUCHED = "nothing was touched on any host"

Status = Literal["ok", "changed", "failed", "unreachable"]


@dataclass(frozen=True)
class HostOutcome:
    """What became of one host; with `check`, "changed" means that it would be changed.

    `done`: how many of its changes were made; None when that is not known (the link was lost).
    """

    host: str
    status: Status
    changes: tuple[Change, ...] = ()
    problem: LoadproofError | None = None
    done: int | None = 0


def converge(
    fleet: Fleet,
    desired: Desired,
    check: bool = False,
    hosts: Iterable[str] | None = None,
    root: Path = Path(),
    packages_from: str = "",
    run: str | None = "",
    diff: bool = False,
    hold: Callable[[Iterable[str]], AbstractContextManager[None]] = lambda names: nullcontext(),
    unasked: Mapping[str, LoadproofError] | None = None,
) -> dict[str, HostOutcome]:
    """Bring hosts (or only these) to their desired state; one outcome per host, in inventory order.

    A blocker on any host (a port taken by a stranger, a platform that is not the declared one) leaves every host
    untouched: the blocked ones are "failed", and so are those with changes, naming the blocker. A host that cannot
    be reached is its own outcome; the others go on. `packages_from`: a folder on the hosts to install packages from.
    `diff` (and `check`) reads the text of files before they change.
    `run`: who asks; a lock of another run is a blocker ("": a deploy, blocked by any lock). `hold` locks the hosts
    that change while they do; when one has been taken meanwhile, none is touched.
    `unasked`: hosts that could not be asked just before, and why; they are not asked again.
    """
    only = None if hosts is None else set(hosts)
    wanted = {item.host: item for item in desired.hosts if only is None or item.host in only}
    answers = ask(fleet, wanted, unasked or {})
    todo = compare(wanted, good(answers))
    # when a host is not what an earlier probe found, the next deploy plans with what it is now
    probe.learn(
        root, fleet.inventory, {name: item.facts for name, item in todo.items() if item.desired.trees}
    )
    if diff or check:
        todo |= good(fleet.each(lambda remote: with_texts(remote, todo[remote.host.name]), outdated(todo)))
    silent = {name: error for name, error in answers.items() if isinstance(error, LoadproofError)}
    outcomes = {name: failure(name, error) for name, error in silent.items()}
    for name, item in todo.items():
        outcomes[name] = HostOutcome(name, "changed" if item.changes else "ok", item.changes)
    refused = refusals(todo, silent, run)
    if refused:
        for name, error in refused.items():
            outcomes[name] = HostOutcome(name, "failed", todo[name].changes, error)
    elif not check:
        busy = {name: item for name, item in todo.items() if item.changes}
        if busy:
            try:
                with hold(busy):
                    outcomes |= act_all(fleet, busy, root, packages_from)
                    if run == "":  # a deploy: nobody's trial may run from an older tree
                        fleet.each(
                            lambda remote: prune(remote, busy[remote.host.name]), with_new_trees(outcomes)
                        )
            except Refused as taken:
                outcomes |= {name: failure(name, taken, item.changes) for name, item in busy.items()}
    return {name: outcomes[name] for name in answers}


def ask(
    fleet: Fleet, wanted: Mapping[str, HostDesired], unasked: Mapping[str, LoadproofError]
) -> dict[str, dict[str, Any] | LoadproofError]:
    """The facts of each host, or why there are none, in inventory order."""
    questions = {name: plan_changes.question(item) for name, item in wanted.items() if name not in unasked}
    answers = probe.ask_all(fleet, questions)
    return {name: unasked[name] if name in unasked else answers[name] for name in wanted}


@dataclass(frozen=True)
class Todo:
    """One host between asking and acting."""

    desired: HostDesired
    facts: Mapping[str, Any]
    changes: tuple[Change, ...]


def compare(wanted: Mapping[str, HostDesired], found: Mapping[str, Mapping[str, Any]]) -> dict[str, Todo]:
    """What is to do on each host that answered."""
    return {
        name: Todo(wanted[name], facts, tuple(plan_changes.changes(facts, wanted[name])))
        for name, facts in found.items()
    }


def outdated(todo: Mapping[str, Todo]) -> list[str]:
    """The hosts that have a file whose text is wanted for a diff."""
    return [name for name, item in todo.items() if any(lacks_text(change) for change in item.changes)]


def lacks_text(change: Change) -> bool:
    """Whether a file is on the host with another text that may be shown."""
    return change.kind == "file" and change.before is None and change.after is not None


def with_texts(remote: Remote, todo: Todo) -> Todo:
    """The same, with the texts that changed files have now; one command."""
    paths = [change.what for change in todo.changes if lacks_text(change)]
    script = 'for f; do head -c 65536 "$f" 2>/dev/null | base64 -w0; echo; done'
    said = checked(remote, quote("/bin/sh", "-c", script, "sh", *paths), 15).stdout.split("\n")
    texts = {
        path: base64.b64decode(line).decode(errors="replace") for path, line in zip(paths, said, strict=False)
    }
    changed = tuple(
        replace(change, before=texts.get(change.what, "")) if lacks_text(change) else change
        for change in todo.changes
    )
    return replace(todo, changes=changed)


def refusals(
    todo: Mapping[str, Todo], silent: Mapping[str, LoadproofError], run: str | None
) -> dict[str, LoadproofError]:
    """The errors of a deploy that must not begin: blocked hosts, and those left alone because of them.

    A host that answered but could not be asked (no sudo, no Python that is new enough) blocks as well; one that
    cannot be reached does not: nothing says that it is in the way of the others.
    """
    blocked = {name: plan_blockers.blockers(item.facts, item.desired, run) for name, item in todo.items()}
    errors = {
        name: refusal(name, problems, remedy=remedy(plan_blockers.user(todo[name].facts, run)))
        for name, problems in blocked.items()
        if problems
    }
    causes = {
        name: error for name, error in silent.items() if failure(name, error).status == "failed"
    } | errors
    if causes:
        name, first = next(iter(causes.items()))
        for other, item in todo.items():
            if item.changes and other not in errors:
                what = f"not touched, because of {name}: {first.what}"
                errors[other] = Refused(what, where=f"host {other}", kept=UNTOUCHED, next=first.next)
    return errors


def act_all(fleet: Fleet, todo: Mapping[str, Todo], root: Path, packages_from: str) -> dict[str, HostOutcome]:
    """Act on these hosts side by side; what became of each."""
    if not todo:
        return {}
    archives = build([change for item in todo.values() for change in item.changes], root)
    acted = fleet.each(lambda remote: act(remote, todo[remote.host.name], archives, packages_from), todo)
    return {
        name: failure(name, result, todo[name].changes, None)
        if isinstance(result, LoadproofError)
        else result
        for name, result in acted.items()
    }


def with_new_trees(outcomes: Mapping[str, HostOutcome]) -> list[str]:
    """The hosts that were brought to their desired state and got a tree."""
    done = [item for item in outcomes.values() if item.status == "changed" and item.done]
    return [item.host for item in done if any(change.kind == "tree" for change in item.changes)]


def prune(remote: Remote, todo: Todo) -> None:
    """Remove trees that are not wanted any more; see install.py. Room is all it is about: a failure costs nothing."""
    keep = [tree.name for tree in todo.desired.trees]
    steps = [{"do": "prune", "path": TREES, "keep": keep}]
    run_program(remote, "install", within=120, stdin=json.dumps({"steps": steps}))


def failure(
    host: str, error: LoadproofError, changes: tuple[Change, ...] = (), done: int | None = 0
) -> HostOutcome:
    """The outcome of a host with an error."""
    gone = isinstance(error, (HostUnreachable, LinkLost))
    return HostOutcome(host, "unreachable" if gone else "failed", changes, error, None if gone else done)


PUT_RIGHT = "put it right on the host"


def remedy(run: str) -> str:
    """What to do about a host that must not be touched: `run` has it ("": none has)."""
    if not run:
        return PUT_RIGHT
    back = (
        "" if run.startswith("deploy-") or run == "?" else f", come back to it with ./inv attach --run {run},"
    )
    return f"wait for that run{back} or end it with ./inv stop"


def refusal(
    host: str, problems: Iterable[Problem], then: str = "inv deploy", remedy: str = PUT_RIGHT
) -> LoadproofError:
    """A host that must not be touched: the environment is at fault, so exit 3, and all its problems at once."""
    what = "\n".join(problem.message for problem in problems)
    error = StepFailed(host, "facts.py", 0, "", what=what, kept=UNTOUCHED)
    error.next = f"{remedy}, then {then}"
    return error


def build(changes: Iterable[Change], root: Path) -> dict[str, Path]:
    """The archives of every tree that some host lacks, by tree name; each built once. Raises StepFailed."""
    specs = {change.data.name: change.data for change in changes if isinstance(change.data, TreeSpec)}
    return {name: trees.archive(spec, root) for name, spec in specs.items()}


def act(remote: Remote, todo: Todo, archives: Mapping[str, Path], packages_from: str = "") -> HostOutcome:
    """Do the changes of one host, and read its promises back. Raises StepFailed, LinkLost: what is done is unknown."""
    shipped = [change.data for change in todo.changes if isinstance(change.data, TreeSpec)]
    if shipped:
        checked(remote, quote("mkdir", "-p", "-m", "755", INCOMING), 15)
        for spec in shipped:
            remote.put(archives[spec.name], incoming(spec))
    steps = [step for change in todo.changes for step in steps_of(change, todo.desired, todo.facts)]
    if any(change.kind == "package" for change in todo.changes):
        # masked before anything is installed, so that no service starts by itself
        steps = [{"do": "mask", "unit": unit} for unit in todo.desired.masked] + steps
    for step in steps:
        if step["do"] == "package" and packages_from:
            step["folder"] = packages_from
    said = run_program(remote, "install", within=INSTALL_S, stdin=json.dumps({"steps": steps})).json()
    name = remote.host.name
    if said.get("failed"):
        error = step_failed(name, said)
        unit = str(said["failed"]["what"]).rpartition(" ")[2]
        if unit in LOGS:  # systemd only says that it failed
            error.what = f"{error.what}\n{last_words(remote, unit)}".rstrip()
        return failure(name, error, todo.changes, changes_done(said))
    try:
        read_back(remote, todo.desired)
    except LoadproofError as error:
        return failure(name, error, todo.changes, len(todo.changes))
    return HostOutcome(name, "changed", todo.changes, done=len(todo.changes))


def changes_done(said: Mapping[str, Any]) -> int:
    """How many changes install.py made before one failed; what only prepares a change is none."""
    return sum(step["do"] not in ("mask", "nginx") for step in said.get("done", []))


def step_failed(host: str, said: Mapping[str, Any]) -> StepFailed:
    """The error for a plan that install.py could not do to its end."""
    failed, done = said["failed"], [step for step in said.get("done", []) if step.get("changed", True)]
    what, lines, exited = str(failed["what"]), failed.get("last_lines", ""), int(failed.get("exit") or 1)
    kept = f"{len(done)} changes made before it stay" if done else "nothing was changed on this host"
    then = "inv deploy"
    if what.startswith("package"):
        then = "install it on the host, or inv deploy --packages-from FOLDER (of packages, on the host); then inv deploy"
    if "host not found in upstream" in lines:
        then = "give that app host an address that this host knows: loadproof_address in the inventory; then inv deploy"
    return StepFailed(
        host,
        what,
        exited,
        lines,
        what=f"cannot do: {what} (exit {exited})\n{lines}".rstrip(),
        kept=kept,
        next=then,
    )


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
        step = {"do": "tree", "path": data.path, "archive": incoming(data), "compile": not ready}
        return [step | {"again": True} if data.path in facts.get("altered", {}) else step]
    if change.kind == "package":
        return [{"do": "package", **package_of(change, desired)}]
    if change.kind == "folder":
        folder = data if isinstance(data, Mapping) else {}
        return [{"do": "folder", "path": change.what, "mode": 0o755, "owner": "root", **folder}]
    if change.kind == "remove":
        return [{"do": "remove", "path": change.what}]
    if change.kind in ("start", "stop", "restart"):
        # nginx is asked before: what runs stays as it is when the new configuration is no good
        checks = change.what == PROXY_UNIT and change.kind != "stop"
        before = [{"do": "nginx", "path": plan_desired.NGINX_CONF}] if checks else []
        return [*before, {"do": change.kind, "unit": change.what}]
    raise ValueError(f"no step for {change.kind} {change.what}")


def package_of(change: Change, desired: HostDesired) -> dict[str, Any]:
    """Program and package of a package change, and the folder to install from where the change names one."""
    if isinstance(change.data, Mapping):
        return dict(change.data)
    for program, package in desired.packages:
        if change.what in (program, package):
            return {"program": program, "package": package}
    raise ValueError(f"no package {change.what} in the desired state")
