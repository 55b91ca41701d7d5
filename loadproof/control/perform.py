"""Performs actions: one at a time (`perform`), a wave side by side, a stage wave by wave, all of it journalled."""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, Protocol

from loadproof.control import threads
from loadproof.control.remote import Finished, Remote, checked
from loadproof.control.signals import Stopped
from loadproof.errors import Interrupted, LoadproofError, NotReady
from loadproof.plan.values import Action, Await, Put, Run, Stage

SETTLE_S = 15.0  # how long Ctrl-C waits for commands that are on their way


class Remotes(Protocol):
    """Where the Remote of a host comes from."""

    def remote(self, name: str) -> Remote:
        """The Remote of that host, the same one at each call."""
        ...


class Recorder(Protocol):
    """Where events of a trial are written, in order."""

    def write(self, stage: str, event: str, **fields: Any) -> None:
        """Append one event."""
        ...


@dataclass(frozen=True)
class Outcome:
    """What became of one action: the finished command (None for a Put) or the error."""

    action: Action
    finished: Finished | None
    error: LoadproofError | None
    seconds: float


def perform(action: Action, remote: Remote, over: threading.Event) -> Finished | None:
    """Do one action on its host. Raises the errors of Remote, StepFailed and NotReady.

    Once `over` is set nobody reads the result: an Await then asks no more.
    """
    if isinstance(action, Put):
        remote.put(action.text.encode(), action.path, action.mode)
        return None
    if isinstance(action, Run):
        return checked(remote, action.command, action.within, action.stdin, action.ok)
    return _await(action, remote, over)


def _await(action: Await, remote: Remote, over: threading.Event) -> Finished:
    begun = time.monotonic()
    while True:
        left = action.within - (time.monotonic() - begun)
        finished = remote.run(action.command, within=max(left, 1.0))
        if finished.ok:
            return finished
        if left <= action.every:
            raise NotReady(action.host, action.condition, action.within, finished.last_lines)
        if over.wait(action.every):
            raise Interrupted(f"nobody waits any more until {action.condition}", where=f"host {action.host}")


def _outcome(action: Action, remotes: Remotes, over: threading.Event) -> Outcome:
    begun = time.monotonic()
    try:
        finished = perform(action, remotes.remote(action.host), over)
    except LoadproofError as error:
        return Outcome(action, None, error, time.monotonic() - begun)
    return Outcome(action, finished, None, time.monotonic() - begun)


def wave(actions: Sequence[Action], remotes: Remotes, stage: str, record: Recorder) -> list[Outcome]:
    """All actions of a wave side by side; every outcome is journalled, none is raised."""
    if not actions:
        return []
    # made before anything starts: a signal may arrive between the start of a thread and the note of it
    futures: list[Future[Outcome]] = [Future() for _ in actions]
    over = threading.Event()
    work = [functools.partial(_outcome, action, remotes, over) for action in actions]
    try:
        threads.start(zip(futures, work, strict=True), len(work), stage)
        outcomes = [future.result() for future in futures]
    except Stopped:
        # what was asked of the hosts is answered before they are closed: a unit that starts later would run on
        begun = [
            future
            for future, action in zip(futures, actions, strict=True)
            if not future.cancel() and not isinstance(action, Await)
        ]
        wait(begun, timeout=SETTLE_S)
        raise
    finally:
        # nobody needs these commands any more
        over.set()
        for future in futures:
            future.cancel()
    for outcome in outcomes:
        record.write(stage, "failed" if outcome.error else "action", **_fields(outcome))
    return outcomes


def _fields(outcome: Outcome) -> Mapping[str, Any]:
    action, fields = outcome.action, {"action": outcome.action.name, "host": outcome.action.host}
    fields["seconds"] = f"{outcome.seconds:.3f}"
    if outcome.error is not None:
        fields["detail"] = str(outcome.error.what)
    elif isinstance(action, Run) and action.keep and outcome.finished is not None:
        fields["detail"] = outcome.finished.stdout.strip()
    return fields


def stage(stage: Stage, remotes: Remotes, record: Recorder, whole: bool = False) -> list[Outcome]:
    """Every wave of a stage, one after the other. The first error of a wave ends the stage, with `whole` only behind its
    last wave, and is raised."""
    begun = time.monotonic()
    record.write(stage.name, "begin")
    done: list[Outcome] = []
    first: LoadproofError | None = None
    for actions in stage.waves:
        try:
            outcomes = wave(actions, remotes, stage.name, record)
        except Interrupted as error:
            error.where = f"{error.where}, stage {stage.name}" if error.where else f"stage {stage.name}"
            raise
        done += outcomes
        for outcome in outcomes:
            if outcome.error is not None:
                outcome.error.where = outcome.error.where or f"host {outcome.action.host}"
                outcome.error.where += f", stage {stage.name}"
                first = first or outcome.error
        if first is not None and not whole:
            break
    if first is not None:
        raise first
    record.write(stage.name, "end", seconds=f"{time.monotonic() - begun:.3f}")
    return done
