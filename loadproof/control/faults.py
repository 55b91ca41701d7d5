"""Does the faults of a rehearsal to the hosts, in their time, and journals them. A trial without any passes through."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from loadproof.control import perform
from loadproof.control.perform import Recorder, Remotes
from loadproof.errors import LoadproofError
from loadproof.plan import faults
from loadproof.plan.values import Inventory, PlannedFault, TrialPlan

SHORTEST_S = 0.01


class Faults:
    """The faults of one trial. In a trial that somebody else began (`taken_up`) none is begun any more: those whose
    time has come are only ended."""

    def __init__(
        self,
        trial: TrialPlan,
        inventory: Inventory,
        remotes: Remotes,
        record: Recorder,
        say: Callable[[str], None],
        taken_up: bool = False,
    ) -> None:
        self._trial, self._inventory, self._remotes = trial, inventory, remotes
        self._record, self._say = record, say
        self._waiting = [] if taken_up else list(trial.faults)
        self._lasting = list(trial.faults) if taken_up else list[PlannedFault]()
        self._zero: float | None = None  # CLOCK_MONOTONIC here at second 0 of the load

    def prepare(self) -> None:
        """Makes hosts ready for what comes."""
        for stage in faults.prepare(self._inventory, self._trial):
            perform.stage(stage, self._remotes, self._record)

    def phase(self, when: str) -> None:
        """Begins the faults of a time that is no second of the load."""
        for one in [one for one in self._waiting if one.when == when]:
            self._begin(one)

    def look(self, second: float) -> None:
        """Begins and ends what is due. `second`: of the load, as its master says; 0 while it says nothing."""
        if self._zero is None:
            if second <= 0:
                return
            self._zero = time.monotonic() - second
        for one in list(self._lasting):
            if one.until_s is not None and self._second() >= one.until_s:
                self._end(one)
        for one in list(self._waiting):
            if one.when == "load" and self._second() >= one.at_s:
                self._begin(one)

    def pause(self, longest_s: float) -> float:
        """How long nothing is due, at most `longest_s`."""
        due = [one.at_s for one in self._waiting if one.when == "load"]
        due += [one.until_s for one in self._lasting if one.until_s is not None]
        if self._zero is None or not due:
            return longest_s
        return max(SHORTEST_S, min(longest_s, min(due) - self._second()))

    def loaded(self) -> None:
        """The load is over: what should last no longer ends."""
        for one in [one for one in self._lasting if one.until_s is not None]:
            self._end(one)

    def closed(self, stage: str, record: Recorder) -> None:
        """A stage of closing is done: it may be the one that undoes a fault."""
        for one in [one for one in self._lasting if stage == f"{faults.UNDO} {one.name}"]:
            _journal(one, "end", record)
            self._lasting.remove(one)

    def _second(self) -> float:
        assert self._zero is not None
        return time.monotonic() - self._zero

    def _begin(self, one: PlannedFault) -> None:
        self._waiting.remove(one)
        self._lasting.append(one)
        self._say(f"fault: {faults.load(one.name).label} ({', '.join(one.hosts)})")
        begin(one, self._trial, self._inventory, self._remotes, self._record)

    def _end(self, one: PlannedFault) -> None:
        end(one, self._trial, self._inventory, self._remotes, self._record)
        self._lasting.remove(one)
        self._say(f"fault ended: {one.name}")


def begin(
    one: PlannedFault, trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder
) -> None:
    """Begins a fault; its hosts can end it by themselves before they are hurt. Raises the first host's error."""
    _raised(perform.wave(faults.armed(inventory, trial, one), remotes, "fault", record))
    _journal(one, "begin", record)
    _raised(perform.wave(faults.load(one.name).begin(inventory, trial), remotes, "fault", record))


def end(
    one: PlannedFault, trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder
) -> None:
    """Ends a fault. Raises the first host's error."""
    _raised(perform.wave(faults.load(one.name).end(inventory, trial), remotes, "fault", record))
    _journal(one, "end", record)


@contextmanager
def on_sealed_files(
    trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder
) -> Iterator[None]:
    """The faults of a trial that are done to sealed files, for the time of the block."""
    mine = [one for one in trial.faults if one.when == "sealed"]
    try:
        for one in mine:
            begin(one, trial, inventory, remotes, record)
        yield
    except BaseException:
        with contextlib.suppress(
            LoadproofError
        ):  # the first error is the one raised; the hosts' own timers are set
            _undo(mine, trial, inventory, remotes, record)
        raise
    _undo(mine, trial, inventory, remotes, record)


def _undo(
    mine: list[PlannedFault], trial: TrialPlan, inventory: Inventory, remotes: Remotes, record: Recorder
) -> None:
    for stage in faults.undo(inventory, trial) if mine else ():
        perform.stage(stage, remotes, record)
    for one in mine:
        _journal(one, "end", record)


def _journal(one: PlannedFault, event: str, record: Recorder) -> None:
    for host in one.hosts:
        record.write("fault", event, fault=one.name, host=host)


def _raised(outcomes: list[perform.Outcome]) -> None:
    for outcome in outcomes:
        if isinstance(outcome.error, LoadproofError):
            outcome.error.where = outcome.error.where or f"host {outcome.action.host}"
            outcome.error.where += ", stage fault"
            raise outcome.error
