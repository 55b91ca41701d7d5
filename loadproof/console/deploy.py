"""Recap and diff of a deploy: one line per host, and what would change or has changed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Protocol

from loadproof.console.text import escape, table
from loadproof.plan.values import Change

STATUSES = ("ok", "changed", "failed", "unreachable")


class Outcome(Protocol):
    """What became of one host."""

    @property
    def status(self) -> str: ...
    @property
    def changes(self) -> Sequence[Change]: ...
    @property
    def problem(self) -> object: ...
    @property
    def done(self) -> int | None: ...


def recap(outcomes: Mapping[str, Outcome], check: bool) -> str:
    """One line per host, cut where it is too long: ok, changed (how many), failed or unreachable, and why."""
    rows = []
    for host, outcome in outcomes.items():
        verb = "would change" if check else "changed"
        reason = getattr(outcome.problem, "what", outcome.problem)
        said = str(reason).splitlines()[0] if reason else _kinds(outcome.changes)
        count = _done(outcome) if outcome.status == "failed" else f"{len(outcome.changes)} {verb}"
        status = verb if outcome.status == "changed" else outcome.status
        rows.append((host, status, "" if outcome.status == "unreachable" else count, said))
    return table(("host", "", "", ""), rows, cut=True)


def _done(outcome: Outcome) -> str:
    """How far a host came that failed."""
    if outcome.done == 0:
        return "nothing done"
    return f"{'?' if outcome.done is None else outcome.done} of {len(outcome.changes)} done"


def _kinds(changes: Sequence[Change]) -> str:
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.kind] = counts.get(change.kind, 0) + 1
    return ", ".join(f"{kind} {count}" if count > 1 else kind for kind, count in counts.items())


def details(outcomes: Mapping[str, Outcome], diff: bool) -> str:
    """Every change of every host, in order; with `diff` the text of files before and after."""
    lines: list[str] = []
    for host, outcome in outcomes.items():
        for change in outcome.changes:
            lines.append(
                f"{host}: {change.kind} {escape(change.what)}"
                + (f"  ({escape(change.detail)})" if change.detail else "")
            )
            if diff and change.kind == "file":
                lines += _diff(change)
    return "\n".join(lines)


def _diff(change: Change) -> list[str]:
    before = (change.before or "").splitlines()
    after = (change.after or "").splitlines()
    made = difflib.unified_diff(
        before, after, f"{change.what} (host)", f"{change.what} (wanted)", lineterm="", n=2
    )
    return ["    " + escape(line) for line in made]
