"""What checks may look at: everything of one trial but its requests one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from analysis.ledgers import RequestLedger, TimeLedger
from analysis.load import Tables
from analysis.measures import cpu
from analysis.measures import window as windows
from analysis.measures.columns import Ints
from analysis.measures.window import Window
from analysis.readers import facts
from analysis.readers.clock import Clocks
from analysis.readers.facts import Facts
from analysis.steady import Seconds
from loadproof.errors import RecordUnreadable
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import journal
from loadproof.runfolder.paths import TrialPaths


@dataclass(frozen=True)
class Evidence:
    """One trial as its checks see it. Times are µs since the epoch on the control machine's clock.

    tables      only users, workers, cpu, present and notes: the others may not be in memory
    hold        the window of the figures; `window` for what does not depend on requests
    zero_us     second 0: the first user started, as far as rows are here
    figures     of the trial, as in results.json
    busy        per app host stretches [from, to), shape (n, 2), in which at least one request waited at that server
    attempts    per app host how often nginx sent it a request in the window
    seconds     of the hold: answers and times by whole seconds
    malformed   per log ("requests", "proxy", "app") lines or rows that could not be read, and all there are
    None stands for what is not known.
    """

    paths: TrialPaths
    plan: TrialPlan
    tables: Tables
    clock: Clocks
    hold: Window | None
    zero_us: int | None
    figures: Mapping[str, Any]
    busy: Mapping[str, Ints | None]
    attempts: Mapping[str, int | None]
    malformed: Mapping[str, tuple[int, int]]
    requests: RequestLedger | None
    time: TimeLedger | None
    seconds: Seconds | None

    @cached_property
    def facts(self) -> Facts:
        """What hosts said of themselves before and after."""
        return facts.read(self.paths)

    @cached_property
    def window(self) -> Window | None:
        """The window of the figures; where rows are missing, so that there is none, the one that was planned: what hosts
        did in it is known all the same. None when second 0 is not known."""
        if self.hold is not None or self.zero_us is None:
            return self.hold
        return windows.planned(self.plan, self.zero_us)

    @cached_property
    def journal(self) -> tuple[Mapping[str, Any], ...] | None:
        """The lines of the journal; None when there is none that can be read."""
        try:
            return journal.read(self.paths.journal).lines
        except RecordUnreadable:
            return None

    def placed(self, host: str) -> bool:
        """Whether what a host did can be put into a window of the load: its clock is known well enough."""
        return bool(self.clock.beside(self.plan.loads, (host,)))

    def samples(self, host: str, column: str) -> tuple[Ints, Ints] | None:
        """(µs, value) of a column of a host's samples; None when there are none, or when they cannot be placed."""
        if host not in self.tables.present["cpu"] or not self.placed(host):
            return None
        return cpu.series(self.tables, host, column)
