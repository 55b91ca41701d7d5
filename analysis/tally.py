"""One way through all joined requests of a trial: everything that is counted of them is counted here, block by block."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np

from analysis.attribution import UNKNOWN_US, Codes, Known, attribute
from analysis.journeys import Block, Journeys
from analysis.ledgers import RequestLedger, Requests, Time, TimeLedger
from analysis.load import Tables
from analysis.measures import delivery
from analysis.measures import window as windows
from analysis.measures.arrivals import Arrivals
from analysis.measures.columns import Mask
from analysis.measures.delivery import Delivery
from analysis.measures.figures import Figures, Peak
from analysis.measures.reasons import Reasons
from analysis.measures.timeline import Timeline
from analysis.measures.waiting import Waiting
from analysis.measures.window import Window
from analysis.readers.clock import COARSE_US, Clocks
from loadproof.plan.values import TrialPlan

Keep = Callable[[Block, Codes], None]


class Tally:
    """What the requests of a trial add up to: `hold` the window compared, `run` the whole run; None: there is none."""

    def __init__(self, journeys: Journeys, hold: Window | None, run: Window | None, known: Known) -> None:
        self._journeys, self.hold, self.run, self.known = journeys, hold, run, known
        self.plan, self.texts = journeys.plan, journeys.texts
        texts, servers = journeys.texts, len(journeys.plan.apps)
        self.figures, self.whole = Figures(hold, texts), Figures(run, texts)
        self.servers = np.zeros((servers + 1, len(texts.errors)), np.int64)  # in the hold; the last one: none
        self.delivery, self.reasons, self.requests = Delivery(hold, texts), Reasons(servers), Requests(texts)
        zero, last = (run.zero_us, run.to_us) if run else (0, 0)
        self.peak, self.timeline = Peak(zero), Timeline(zero, last, texts)
        asked = hold or (windows.planned(self.plan, zero) if run else None)
        self.waiting = Waiting(zero, last, journeys, asked)
        self.time = Time(zero, asked.to_us if asked else last)
        self.arrivals = Arrivals(
            windows.planned(self.plan, zero) if run and self.plan.load.rate else None, texts
        )

    def through(self, keep: Keep) -> Tally:
        """Count every block; `keep` takes each one with its reasons."""
        texts = self._journeys.texts
        for block in self._journeys.blocks():
            codes = attribute(block, texts, self.known)
            self._add(block, codes)
            keep(block, codes)
        return self

    def _add(self, block: Block, codes: Codes) -> None:
        texts, sent = self._journeys.texts, block.client > 0
        inside = sent & self._inside(block, self.hold)
        if self.hold is not None:
            self.figures.add(block, inside)
            self._by_server(block, inside)
        if self.run is not None:
            within = sent & self._inside(block, self.run)
            self.whole.add(block, within)
            self.peak.add(block, within & texts.ok[block.error])
            self.timeline.add(block, codes)
            self.waiting.add(block)
            self.time.add(block)
            self.arrivals.add(block)
        self.delivery.add(block)
        self.reasons.add(block, codes, inside)
        self.requests.add(block)

    @staticmethod
    def _inside(block: Block, window: Window | None) -> Mask:
        if window is None:
            return np.zeros(len(block.id), bool)
        found: Mask = (block.end >= window.from_us) & (block.end < window.to_us)
        return found

    def _by_server(self, block: Block, inside: Mask) -> None:
        rows, columns = self.servers.shape
        server = np.where(block.server[inside] < 0, rows - 1, block.server[inside])
        flat = np.bincount(server * columns + block.error[inside], minlength=rows * columns)
        self.servers += flat.reshape(rows, columns)

    def done(self, server: int) -> int:
        """How many requests of a server (-1: of none) completed in the hold, cut ones not among them."""
        texts = list(self.texts.errors)
        cut = self.servers[server][texts.index("cut")] if "cut" in texts else 0
        return int(self.servers[server].sum() - cut)


@dataclass(frozen=True)
class Sure:
    """`files`: what is whole as far as the files themselves say. `logged`: whether nginx's log says of every server when
    it sent requests there. What is known, by server: of its rows, and of the answers that it delivered, each of the whole
    run and `_in` a window, and whether its requests can be told (`told`); what speaks against it, in words."""

    files: Known
    logged: bool
    rows: dict[str, bool]
    rows_in: dict[str, bool]
    delivered: dict[str, bool]
    delivered_in: dict[str, bool]
    told: dict[str, bool]
    notes: tuple[str, ...]
    books: tuple[RequestLedger | None, TimeLedger | None]  # of requests, and of the users' time


def count(
    journeys: Journeys,
    tables: Tables,
    hold: Window | None,
    run: Window | None,
    clock: Clocks,
    keeping: Callable[[Known], AbstractContextManager[Keep]],
) -> tuple[Tally, Sure]:
    """Everything counted; and once more where that showed that less is known than the files alone say. `keeping` gives,
    each time, what takes the blocks with their reasons."""
    files = _believed(journeys, tables, clock)
    # a line that could not be read may be that of any request
    known = replace(files, proxy=files.proxy and not tables.counts.get("proxy", (0, 0))[0])
    with keeping(known) as keep:
        tally = Tally(journeys, hold, run, known).through(keep)
    sure = _sure(journeys, tables, tally, clock, files)
    found = Known(
        known.proxy and not tally.delivery.unlogged and not tally.delivery.passed,
        np.array(list(sure.rows.values())),
        known.proxy_apart,
        known.apps_apart,
    )
    if found.proxy == known.proxy and (found.apps == known.apps).all():
        return tally, sure
    with keeping(found) as keep:
        return Tally(journeys, hold, run, found).through(keep), sure


def _believed(journeys: Journeys, tables: Tables, clock: Clocks) -> Known:
    plan = journeys.plan
    apart = [clock.apart(plan.loads, host) for host in (plan.proxy, *plan.apps)]
    far = [UNKNOWN_US if one is None else one for one in apart]
    rows = np.array([name in tables.present["app"] for name in plan.apps])
    return Known(bool(tables.present["proxy"]), rows, far[0], np.array(far[1:]))


def _sure(journeys: Journeys, tables: Tables, tally: Tally, clock: Clocks, files: Known) -> Sure:
    plan, whole = journeys.plan, windows.whole(tables, journeys.plan)
    placed = clock.beside(plan.loads, plan.apps)
    present = {name: name in tables.present["app"] for name in plan.apps}
    rows, lost = delivery.rows_known(tally.delivery, present)
    told, untold = delivery.servers_known(
        tally.delivery, rows, bool(tables.present["proxy"]), journeys.addressed
    )
    doubted, odd = delivery.strangers(tally.delivery, journeys.foreign(), whole)
    delivered = {name: whole and rows[name] and name not in doubted for name in plan.apps}
    return Sure(
        files,
        files.proxy and not tally.waiting.elsewhere and timed(clock, plan),
        rows,
        {name: rows[name] and name in placed for name in plan.apps},
        delivered,
        {name: delivered[name] and name in placed for name in plan.apps},
        told,
        (*untold, *lost, *odd),
        _books(journeys, tally, tables, files),
    )


def timed(clock: Clocks, plan: TrialPlan) -> bool:
    """Whether nginx's times can be put beside those of the load. Its lines have the wall clock of its host, which must not
    have moved, whereas rows and samples count from the beginning of their file."""
    known = clock.beside(plan.loads, (plan.proxy,))
    return bool(known) and clock.halves.get(plan.proxy, 0) <= COARSE_US


def _books(
    journeys: Journeys, tally: Tally, tables: Tables, files: Known
) -> tuple[RequestLedger | None, TimeLedger | None]:
    """The accounts of requests and of the users' time; None where a witness is missing altogether."""
    if not windows.heard(tables, tally.plan):
        return None, None
    zero = windows.zero(tables)
    load_us = round(tally.plan.load.end_s * 1e6)
    strangers = 0 if zero is None else journeys.strangers(zero, zero + load_us)
    requests = tally.requests.ledger(files, strangers)
    if (
        tally.run is None or tally.plan.load.rate is not None
    ):  # users of an open load wait for work: no row says so
        return requests, None
    return requests, tally.time.ledger(tables, tally.plan)
