"""Two accounts that have to balance: of requests, id by id over three witnesses; and of the users' time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.attribution import Known
from analysis.journeys import Block, Texts
from analysis.load import Tables
from analysis.measures.columns import Ints, Mask, coded, ints
from analysis.readers.outcome import plural
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.formats import worker_of

MOST_USERS = 1 << 20  # of one worker; users with a higher number are not followed
FEW, SHARE = 5, 0.001  # so many requests of somebody else, or this share of all, change nothing
LATE_US = 250_000  # a user may sleep so much longer than it was told, on a busy machine


# in which ways the witnesses of a request contradict each other
KINDS = (
    "answered, but in no line of nginx",
    "answered, but in no app's rows",
    "in nginx's log, but never sent by a client",
    "read by an app, but in no line of nginx",
    "several lines of nginx for one request",
    "several app rows for one request",
    "several client rows for one request",
    "read by another server than the one that nginx names",
    "its client never got a connection, but it is in nginx's log",
)


@dataclass(frozen=True)
class RequestLedger:
    """Requests that any witness knows (`total`); how many of them do not balance, by kind with the first id; and what is
    no fault: cut by our own stop, tried at several backends, never at nginx (refused, or no connection in time).
    `strangers`: requests of somebody else while the load ran, which are not among them."""

    differences: int
    total: int
    cut: int = 0
    retried: int = 0
    never_arrived: int = 0
    strangers: int = 0
    said: tuple[str, ...] = ()

    @property
    def most_strangers(self) -> float:
        """How many requests of somebody else are too few to matter: a stray one spoils no trial, nor five a tiny one."""
        return max(FEW, SHARE * self.total)


@dataclass(frozen=True)
class TimeLedger:
    """Seconds that users lived in [second 0, end of the window], and that their requests and thinking took."""

    user_s: float
    spent_s: float

    @property
    def gap(self) -> float:
        """The share of the users' time that is in no row; negative when there is more in the rows."""
        return 1 - self.spent_s / self.user_s if self.user_s else 0.0


class Requests:
    """The account of requests over all blocks."""

    def __init__(self, texts: Texts) -> None:
        self._texts = texts
        self._counts = np.zeros(len(KINDS), np.int64)
        self._first: dict[int, int] = {}
        self._total = self._cut = self._retried = self._never_arrived = 0

    def add(self, block: Block) -> None:
        """Count a block."""
        client, line, row = block.client > 0, block.lines > 0, block.rows > 0
        full, away = (
            self._texts.full[block.error],
            self._texts.is_error(block.error, "refused", "connect_timeout", "not_made"),
        )
        one = (block.lines == 1) & (block.rows == 1) & ~block.several
        # the row of a server that nginx left is none of the server that answered
        rowless = ~row | (block.stale & (block.backend >= 0))
        found: tuple[Mask, ...] = (
            full & ~line,
            self._texts.ok[block.error] & rowless,
            line & ~client,
            row & ~line,
            block.lines > 1,
            (block.rows > 1) & ~block.several,
            block.client > 1,
            one & (block.backend >= 0) & (block.backend != block.host),
            away & line,
        )
        for kind, mask in enumerate(found):
            if mask.any():
                self._counts[kind] += int(np.count_nonzero(mask))
                self._first.setdefault(kind, int(block.id[int(np.argmax(mask))]))
        self._total += int(np.count_nonzero(client | line | row))
        self._cut += int(np.count_nonzero(self._texts.is_error(block.error, "cut")))
        self._retried += int(np.count_nonzero(block.several))
        self._never_arrived += int(np.count_nonzero(away & ~line))

    def ledger(self, known: Known, strangers: int = 0) -> RequestLedger | None:
        """The account; None where nginx's log or an app's rows are not whole (`known`: as far as the files say)."""
        if not known.proxy or not known.apps.all():
            return None
        said = [
            f"{plural(int(count), 'request')} {kind}, first {self._first[index]:016x}"
            for index, (kind, count) in enumerate(zip(KINDS, self._counts, strict=True))
            if count
        ]
        if strangers:
            said.append(f"{plural(strangers, 'request')} of somebody else while the load ran")
        return RequestLedger(
            int(self._counts.sum()),
            self._total,
            self._cut,
            self._retried,
            self._never_arrived,
            strangers,
            tuple(said),
        )


class Time:
    """The account of the users' time over all blocks: from second 0 to `to_us`, ramps included."""

    def __init__(self, zero_us: int, to_us: int) -> None:
        self._zero, self._to = zero_us, to_us
        self._spent_us = 0
        self._last: dict[int, Ints] = {}  # by worker, by user: the last end of a request

    def add(self, block: Block) -> None:
        """Count a block: each request with the time slept before it, clipped."""
        sent = block.client > 0
        end = np.minimum(block.end[sent], self._to)
        begin = np.maximum((block.start - block.think)[sent], self._zero)
        self._spent_us += int(np.maximum(end - begin, 0).sum())
        worker, user, at = worker_of(block.id)[sent], block.user[sent], block.end[sent]
        for one in np.unique(worker).tolist():
            mine = (worker == one) & (user < MOST_USERS)
            if not mine.any():
                continue
            last = self._last.get(one, np.zeros(0, np.int64))
            most = int(user[mine].max()) + 1
            if most > len(last):
                last = np.concatenate([last, np.zeros(most - len(last), np.int64)])
            np.maximum.at(last, user[mine], at[mine])
            self._last[one] = last

    def ledger(self, tables: Tables, plan: TrialPlan) -> TimeLedger:
        """The account. Who slept when it ended has no row for that: such a sleep counts as long as it was planned."""
        kind, labels = coded(tables.users, "kind")
        started = kind == (labels.index("user_started") if "user_started" in labels else -2)
        at = np.clip(ints(tables.users, "at_us"), self._zero, self._to)
        lived = int((self._to - at[started]).sum()) - int((self._to - at[~started]).sum())
        asleep = 0
        if plan.load.think_s > 0:
            most = round(plan.load.think_s * 1e6) + LATE_US
            for last in self._last.values():
                waking = self._to - last[last > 0]
                asleep += int(np.minimum(waking[waking > 0], most).sum())
        return TimeLedger(lived / 1e6, (self._spent_us + asleep) / 1e6)
