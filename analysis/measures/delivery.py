"""What became of the answers that the apps made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from analysis.journeys import Block, Texts
from analysis.measures.columns import Ints
from analysis.measures.window import Window
from analysis.readers.outcome import plural

FAR = np.iinfo(np.int64).max


@dataclass(frozen=True)
class PerServer:
    """Counts of a window and of the whole run by server, in the order of plan.apps."""

    window: Ints
    whole: Ints

    def count(self, inside: bool, known: Mapping[str, bool], host: int | None = None) -> int | None:
        """How many of one server or of all; None when it is unknown for any of them."""
        names = list(known) if host is None else [list(known)[host]]
        if not all(known[name] for name in names):
            return None
        counts = self.window if inside else self.whole
        return int(counts.sum() if host is None else counts[host])


class Delivery:
    """Counts over all blocks.

    undelivered  requests that an app read and whose client got no complete answer: distinct ids, at the server that read
                 them last. A complete answer is a client row without error, or with a complete 4xx/5xx (http_NNN), or one
                 that the scenario rejected after reading it whole. The moment is the app's own: when it lost the
                 connection, else handed the answer over, else read the request: an app with a backlog answers requests
                 whose clients left long ago, and that work is wasted when it is done.
    wasted       those of them that the app handed over
    broken_pipe  app rows whose connection_lost was given BrokenPipeError, when the app lost the connection
    """

    def __init__(self, window: Window | None, texts: Texts) -> None:
        self._window, self._texts = window, texts
        size = len(texts.apps)
        self.undelivered, self.wasted, self.broken_pipe = (
            PerServer(np.zeros(size, np.int64), np.zeros(size, np.int64)) for _ in range(3)
        )
        self.cut = 0
        self.first_broken = np.full(size, FAR)
        self.good = self.unlogged = self.nowhere = 0
        self.passed = 0  # read by an app, and in no line of nginx
        self.unwritten = np.zeros(size, np.int64)
        self.rowless = np.zeros(size + 1, np.int64)  # the last one: of no known server

    def add(self, block: Block) -> None:
        """Count a block."""
        good = self._texts.ok[block.error]
        gone = (block.rows > 0) & ~self._texts.full[block.error]
        ended = block.ended
        self._count(self.undelivered, block.host[gone], ended[gone])
        waste = gone & (block.handed > 0)
        self._count(self.wasted, block.host[waste], ended[waste])
        self.cut += int(np.count_nonzero(gone & self._texts.is_error(block.error, "cut")))
        rows = block.app
        self._count(self.broken_pipe, rows.server[rows.broken], rows.lost[rows.broken])
        np.minimum.at(self.first_broken, rows.server[rows.broken], rows.lost[rows.broken])
        self.good += int(np.count_nonzero(good))
        self.unlogged += int(np.count_nonzero(good & (block.lines == 0)))
        self.passed += int(np.count_nonzero((block.rows > 0) & (block.lines == 0)))
        self.nowhere += int(np.count_nonzero(good & (block.server < 0)))
        # what another app read, which nginx had left, is no row of the one that answered
        lost = block.server[good & ((block.rows == 0) | block.stale & (block.backend >= 0))]
        size = len(self.unwritten)
        self.rowless += np.bincount(np.where(lost < 0, size, lost), minlength=size + 1)
        self.unwritten += np.bincount(rows.server[~rows.known], minlength=len(self.unwritten))

    def _count(self, into: PerServer, server: Ints, at: Ints) -> None:
        size = len(into.whole)
        into.whole[:] += np.bincount(server, minlength=size)
        if self._window is not None:
            inside = (at >= self._window.from_us) & (at < self._window.to_us)
            into.window[:] += np.bincount(server[inside], minlength=size)

    def first_broken_us(self, host: int) -> int | None:
        """When the first broken pipe of a server was; None for none."""
        return int(self.first_broken[host]) if self.first_broken[host] < FAR else None


def rows_known(found: Delivery, present: Mapping[str, bool]) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Whether the rows of each app host are all there, and what speaks against it in words. An answer that came whole
    was made by an app, which wrote a row when it read the request: a success without one is a lost row, of the host
    that nginx names, or of any when it names none."""
    known, notes = dict(present), []
    for name, count in zip(known, found.rowless[:-1].tolist(), strict=True):
        if count and known[name]:
            known[name] = False
            notes.append(
                f"{name}: {plural(count, 'answered request')} without an app row: rows were lost; undelivered and BrokenPipeError are unknown there"
            )
    astray = int(found.rowless[-1])
    if astray and any(known.values()):
        known = dict.fromkeys(known, False)
        notes.append(
            f"{plural(astray, 'answered request')} without an app row, of no known server: rows were lost; undelivered and BrokenPipeError are unknown"
        )
    return known, tuple(notes)


def servers_known(
    found: Delivery, rows: Mapping[str, bool], proxy: bool, named: frozenset[str]
) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Whether the requests of each server can be told, and why not, in words: by its own rows where they are all there
    (`rows`), or by nginx's upstream addresses when nginx's log has every success; `named`: servers whose address is
    known."""
    lacking = found.unlogged
    told = {host: whole or (proxy and not lacking and host in named) for host, whole in rows.items()}
    notes = [
        f"{host}: its rows are not all there, and nginx's log lacks {lacking} of {found.good} successes; its requests are unknown"
        for host, known in told.items()
        if not known and proxy and lacking and host in named
    ]
    if found.nowhere and all(told.values()):  # an answer comes from a server: rows of one are missing
        notes.append(
            f"{found.nowhere} of {found.good} successes are in no server's rows; requests per server are unknown"
        )
        told = dict.fromkeys(told, False)
    return told, tuple(notes)


def strangers(
    found: Delivery, foreign: Mapping[str, int], whole: bool
) -> tuple[frozenset[str], tuple[str, ...]]:
    """Servers with requests of which nobody knows whether they are the load's, and what is odd, in words. An id of no
    worker of this trial is somebody else's (`foreign`). One of a worker whose rows are all there (`whole`), and of which
    it has none, is somebody else's too, or these rows are not all there in spite of everything that says so."""
    doubted, notes = [], []
    for (name, count), unwritten in zip(foreign.items(), found.unwritten.tolist(), strict=True):
        if count:
            notes.append(
                f"{name}: {plural(count, 'request')} with ids of no Locust worker of this trial: left out"
            )
        if unwritten and whole:
            doubted.append(name)
            notes.append(
                f"{name}: {plural(unwritten, 'request')} with ids that no Locust worker wrote down: its rows were lost, or somebody else sent them; undelivered is unknown there"
            )
    return frozenset(doubted), tuple(notes)
