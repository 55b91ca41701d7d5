"""Walks one trial through its stages. What it does is decided in plan.actions; this is the order, and what holds when
something breaks: from the first sampler on, *stop, lift, seal* run whatever happened, each guarded by itself, and the
first error is the one raised. A detach (HUP, TERM, lost link) touches nothing.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loadproof.control import explain, perform
from loadproof.control.explain import Spared
from loadproof.control.faults import Faults
from loadproof.control.perform import Recorder, Remotes
from loadproof.control.signals import Detached, Signals
from loadproof.control.workers import Workers, ended_by_rule
from loadproof.errors import (
    HostUnreachable,
    Interrupted,
    LinkLost,
    LoadproofError,
    NotReady,
    StepFailed,
)
from loadproof.plan import actions
from loadproof.plan.places import APP_UNIT, trial_out
from loadproof.plan.shell import quote
from loadproof.plan.values import Inventory, Run, TrialPlan

POLL_S = 1.0
SILENT_S = 30.0  # a server that gave no answer is not asked again for so long
LINK_PATIENCE_S = 20.0
EARLY_S, EARLY_SHARE = 5.0, 0.1  # a load that ends sooner before its time than both was ended by somebody
ENDING = 4  # how much oftener we look once the planned length is over


@dataclass(frozen=True)
class Live:
    """The newest figures while a load runs, for the live view only; nothing is computed from them."""

    elapsed_s: float
    users: int
    tps: float
    mtt_ms: float | None
    failures: int
    requests: int
    cpu_percent: tuple[tuple[str, float | None], ...]


@dataclass(frozen=True)
class Hooks:
    """What a trial needs from outside: converging the hosts, asking facts, and somebody who watches."""

    converge: Callable[[], None]
    facts: Callable[[str], None]  # "before" | "after"
    observe: Callable[[Live], None]
    say: Callable[[str], None]
    ours: Callable[[], None] = lambda: None  # raises when the hosts are not locked for this run any more


def conduct(
    trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder, hooks: Hooks, signals: Signals
) -> None:
    """One whole trial, from reset to sealed files on every host."""
    signals.begun = False
    with explain.whatever(explain.NOT_BEGUN):
        for stage in actions.opening(inventory, trial):
            hooks.say(f"{stage.name} ...")
            perform.stage(stage, remotes, record)
        hooks.say("apply (what the hosts lack is built and shipped) ...")
        _timed("apply", record, hooks.converge)
    faults = Faults(trial, inventory, remotes, record, hooks.say)
    with _closing(trial, inventory, remotes, record, signals, faults):
        faults.prepare()
        _timed("facts", record, lambda: hooks.facts("before"))
        for stage in (*actions.starting(inventory, trial), *actions.loading(inventory, trial)):
            hooks.say(f"{stage.name} ...")
            if stage.name == "load":
                hooks.ours()
                faults.phase("before")
            outcomes = perform.stage(stage, remotes, record)
            if stage.name == "limit":
                _say_what_holds(outcomes, record, hooks)
        finish(trial, inventory, remotes, record, hooks, faults)


def resume(
    trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder, hooks: Hooks, signals: Signals
) -> None:
    """Takes up a trial whose load was started by somebody else: watch, drain, close."""
    faults = Faults(trial, inventory, remotes, record, hooks.say, taken_up=True)
    with _closing(trial, inventory, remotes, record, signals, faults):
        finish(trial, inventory, remotes, record, hooks, faults)


def reclose(
    trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder, hooks: Hooks, signals: Signals
) -> None:
    """Closes a trial of which nothing else was left: what hosts say of themselves by now is not of this trial."""
    faults = Faults(trial, inventory, remotes, record, hooks.say, taken_up=True)
    with _closing(trial, inventory, remotes, record, signals, faults):
        hooks.say("its load ran to its end; closing what was left open ...")


def close(
    trial: TrialPlan,
    inventory: Inventory,
    remotes: Remotes,
    record: Recorder,
    signals: Signals,
    faults: Faults,
) -> LoadproofError | None:
    """Undo, stop, lift, seal: each guarded, all tried; the first error is returned, not raised."""
    first: LoadproofError | None = None
    record = Spared(record)
    with signals.shield():
        for stage in actions.closing(inventory, trial):
            try:
                outcomes = perform.stage(stage, remotes, record, whole=True)
            except LoadproofError as error:
                first = first or error
                continue
            faults.closed(stage.name, record)
            if stage.name == "seal":
                _journal_limiter(outcomes, record)
    return first or record.error


def finish(
    trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder, hooks: Hooks, faults: Faults
) -> None:
    """Watches a running load to its end, drains, and asks the facts once more."""
    _timed("watch", record, lambda: _watch(trial, inventory, remotes, record, hooks, faults))
    faults.loaded()
    hooks.say("drain ...")
    for outcome in perform.stage(actions.drain(inventory, trial), remotes, record):
        if outcome.finished is not None and outcome.finished.exited != 0:
            host, detail = outcome.action.host, _not_idle(_object(outcome).get("last"))
            record.write("drain", "note", host=host, detail=detail)
            hooks.say(f"{host}: {detail} when draining ended")
    _timed("facts", record, lambda: hooks.facts("after"))
    faults.phase("after")


class _closing:
    """Runs `close` at the end of a block unless it was left by a detach."""

    def __init__(
        self,
        trial: TrialPlan,
        inventory: Inventory,
        remotes: Remotes,
        record: Recorder,
        signals: Signals,
        faults: Faults,
    ) -> None:
        self._close = functools.partial(close, trial, inventory, remotes, record, signals, faults)
        self._record, self._signals, self._run = Spared(record), signals, trial.run

    def __enter__(self) -> None:
        self._signals.begun = True

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Detached):
            self._record.write("trial", "detached", detail=error.what)
            return
        with self._signals.shield():
            if error is not None:
                self._record.write("trial", "interrupted", detail=str(error))
            late = self._close()
        kept_and_next = (
            explain.left_open(self._run) if late else explain.sealed(self._run, self._signals.goes_on)
        )
        if isinstance(error, LoadproofError):
            explain.fill(error, kept_and_next)
        if error is None and late is not None:
            raise explain.fill(late, kept_and_next)
        if error is None and self._signals.pending:
            raise self._signals.after_closing()


def _timed(name: str, record: Recorder, work: Callable[[], None]) -> None:
    begun = time.monotonic()
    record.write(name, "begin")
    try:
        work()
    except LoadproofError as error:
        record.write(name, "interrupted" if isinstance(error, Interrupted) else "failed", detail=error.what)
        error.where = f"{error.where}, stage {name}" if error.where else f"stage {name}"
        raise
    record.write(name, "end", seconds=f"{time.monotonic() - begun:.3f}")


@dataclass
class _Cpu:
    """CPU of each server between two looks at its samples."""

    seen: dict[str, tuple[int, int]] = field(default_factory=dict)  # host -> (monotonic ns, cpu ns)

    def percent(self, host: str, line: str) -> float | None:
        """% of one CPU since the last look; None at the first, and when the line says nothing new."""
        try:
            sample = json.loads(line)
            now = int(sample["monotonic_ns"])
            spent = sum(int(row["cpu_ns"]) for row in sample["processes"] if row["unit"] == APP_UNIT)
        except (ValueError, KeyError, TypeError):
            return None
        before = self.seen.get(host)
        self.seen[host] = (now, spent)
        if before is None or now <= before[0] or spent < before[1]:
            return None
        return 100.0 * (spent - before[1]) / (now - before[0])


def _watch(
    trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder, hooks: Hooks, faults: Faults
) -> None:
    begun = last_answer = time.monotonic()
    shares, elapsed_s = _Shares(actions.cpu_state(inventory, trial), remotes, record), 0.0
    workers = Workers(trial, record, hooks.say)
    while True:
        try:
            active, line = _ask(actions.load_state(inventory, trial), remotes)
            last_answer = time.monotonic()
        except (LinkLost, HostUnreachable, NotReady) as error:
            record.write("watch", "note", host=error.host, detail=error.what)
            if time.monotonic() - last_answer > LINK_PATIENCE_S:
                raise Detached(
                    f"the link to {error.host} is lost; the load runs on by itself",
                    where=f"host {error.host}",
                    kept="everything on the hosts",
                    next=f"./inv attach --run {trial.run}",
                ) from error
            time.sleep(POLL_S)
            continue
        if active not in ("active", "activating", "deactivating"):
            break
        workers.look(line)
        faults.look(_elapsed(line))
        elapsed_s = _observe(line, shares.now(), hooks) or elapsed_s
        elapsed, latest = time.monotonic() - begun, trial.planned_s + trial.margin_s
        if elapsed > latest:
            raise NotReady(trial.loads[0], "the load ends", latest, line)
        time.sleep(faults.pause(POLL_S if elapsed < trial.planned_s else POLL_S / ENDING))
    record.write("watch", "note", host=trial.loads[0], detail=f"the master is {active}")
    if active == "failed":
        raise _locust_failed(trial, remotes)
    if trial.load.autostop != "none" and (said := ended_by_rule(line)):
        record.write("watch", "autostop", host=trial.loads[0], detail=said)
        hooks.say(said)
        return
    elapsed_s = max(elapsed_s, _elapsed(line))
    if elapsed_s < trial.load.end_s - max(EARLY_S, EARLY_SHARE * trial.load.end_s):
        raise StepFailed(
            trial.loads[0],
            "Locust master",
            0,
            "",
            what=f"the load ended after {elapsed_s:.0f} s of {trial.load.end_s:.0f} s: somebody or something stopped it",
            where=f"host {trial.loads[0]}",
            kept="what was measured until then, sealed on the hosts",
            next=f"./inv fetch-results --run {trial.run}, or the same bench again",
        )


class _Shares:
    """CPU of the servers for the live view. A server that gives no answer is noted, left alone for a while, and spoils
    nothing."""

    def __init__(self, questions: tuple[Run, ...], remotes: Remotes, record: Recorder) -> None:
        self._questions, self._remotes, self._record = questions, remotes, record
        self._cpu, self._silent = _Cpu(), dict[str, float]()  # until when no question is asked

    def now(self) -> tuple[tuple[str, float | None], ...]:
        return tuple((question.host, self._one(question)) for question in self._questions)

    def _one(self, question: Run) -> float | None:
        if time.monotonic() < self._silent.get(question.host, 0.0):
            return None
        try:
            line = self._remotes.remote(question.host).run(question.command, question.within).stdout
        except (LinkLost, HostUnreachable, NotReady) as error:
            # it would hold up the whole view at each look
            self._silent[question.host] = time.monotonic() + SILENT_S
            self._record.write("watch", "note", host=question.host, detail=error.what)
            return None
        return self._cpu.percent(question.host, line)


def load_ran(trial: TrialPlan, inventory: Inventory, remotes: Remotes) -> bool:
    """Whether the load of a trial runs, or has run: its master is up, or said something."""
    active, line = _ask(actions.load_state(inventory, trial), remotes)
    return active in ("active", "activating", "deactivating") or bool(line)


def _ask(question: Run, remotes: Remotes) -> tuple[str, str]:
    lines = remotes.remote(question.host).run(question.command, question.within).stdout.splitlines()
    return (lines[0].strip() if lines else "unknown"), (lines[-1] if len(lines) > 1 else "")


def _elapsed(line: str) -> float:
    """The second of a line of the master's live figures; 0 when it tells none."""
    try:
        return float(json.loads(line)["elapsed_s"] or 0)
    except (ValueError, KeyError, TypeError):
        return 0.0


def _observe(line: str, shares: tuple[tuple[str, float | None], ...], hooks: Hooks) -> float | None:
    """Shows the newest figures; gives their second."""
    try:
        row: dict[str, Any] = json.loads(line)
        live = Live(
            elapsed_s=float(row["elapsed_s"]),
            users=int(row["users"]),
            tps=float(row["tps"]),
            mtt_ms=None if row["mtt_ms"] is None else float(row["mtt_ms"]),
            failures=int(row["failures"]),
            requests=int(row["requests"]),
            cpu_percent=shares,
        )
    except (ValueError, KeyError, TypeError):
        return None  # Locust has not said anything yet, or the line is being written
    hooks.observe(live)
    return live.elapsed_s


def _locust_failed(trial: TrialPlan, remotes: Remotes) -> StepFailed:
    command = quote("tail", "-n", "12", f"{trial_out(trial.run, trial.id)}/locust-master.log")
    said = remotes.remote(trial.loads[0]).run(command, 15).stdout
    return StepFailed(
        trial.loads[0],
        "Locust master",
        1,
        said,
        what=f"Locust's master failed\n{said}".rstrip(),
        where=f"host {trial.loads[0]}",
    )


def _say_what_holds(outcomes: list[perform.Outcome], record: Recorder, hooks: Hooks) -> None:
    """A limit that was accepted and is not in force is said at once, and noted."""
    for outcome in outcomes:
        state = _object(outcome)
        if state.get("in_force") is False:
            host, why = outcome.action.host, str(state.get("why"))
            record.write("limit", "note", host=host, detail=why)
            hooks.say(f"{host}: the limit was {why}")


def _not_idle(last: Any) -> str:
    """What kept a host from being idle: `last` of idle.py is a number, or why nothing answered."""
    return f"gave no answer ({last})" if isinstance(last, str) else "requests were still in flight"


def _object(outcome: perform.Outcome) -> dict[str, Any]:
    """What an action printed, when that is a JSON object."""
    try:
        said = json.loads(outcome.finished.stdout) if outcome.finished else None
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def _journal_limiter(outcomes: list[perform.Outcome], record: Recorder) -> None:
    """The limiter's own events stand in the journal too, with the host's times."""
    for outcome in outcomes:
        for event in _object(outcome).get("limiter_events", []):
            record.write("limit", "limiter", host=outcome.action.host, detail=event)
