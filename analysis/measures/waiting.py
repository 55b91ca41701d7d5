"""When requests waited at a server, as nginx saw it: from the moment it turned to that server until it was done. A request
whose connection was never made did not wait there: the app may be idle behind a port that is silent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from analysis.journeys import ELSEWHERE, GROUP, TRIES, Block, Journeys
from analysis.measures.columns import Ints
from analysis.measures.window import Window
from analysis.readers.proxy import micros

STEP_US = 10_000
CONNECT, RESPONSE = TRIES.index("upstream_connect_time"), TRIES.index("upstream_response_time")


class Waiting:
    """Stretches of [zero, last] in which at least one request was at a server, in steps of 10 ms; and how often nginx tried
    it in a window."""

    def __init__(self, zero_us: int, last_us: int, journeys: Journeys, window: Window | None) -> None:
        self._zero, self._window = zero_us, window
        self._order, self._texts = journeys.tried, journeys.texts
        servers = len(journeys.plan.apps)
        self._tried = _matrix(journeys.tried, servers)
        self._several = np.array([*(len(one) > 1 for one in journeys.tried), False])
        self._steps = max(0, (last_us - zero_us) // STEP_US) + 2
        self._change = np.zeros((servers, self._steps + 1), np.int64)
        self.attempts = np.zeros(servers, np.int64)
        self.elsewhere = 0  # requests that nginx tried to send to an address that is no server of the arm

    def add(self, block: Block) -> None:
        """Count a block."""
        self.elsewhere += int(np.count_nonzero(self._tried[:, -1][block.tried]))
        if self._window is not None:
            inside = (block.done >= self._window.from_us) & (block.done < self._window.to_us)
            often = np.bincount(block.tried[inside & (block.tried >= 0)], minlength=len(self._tried))
            self.attempts += (often @ self._tried)[:-1]
        at = np.flatnonzero((block.lines > 0) & (block.backend >= 0) & (block.connect >= 0))
        done = block.done[at]
        begun = np.where(block.response[at] >= 0, done - block.response[at], block.received[at])
        self._place(block.backend[at], begun, done)
        if earlier := list(self._earlier(block)):
            self._place(*np.array(earlier, np.int64).T)

    def _place(self, server: Ints, begun: Ints, done: Ints) -> None:
        first, last = self._step(begun), self._step(done)
        for sign, step in ((1, first), (-1, last + 1)):
            flat = np.bincount(server * (self._steps + 1) + step, minlength=self._change.size)
            self._change += sign * flat.reshape(self._change.shape)

    def _earlier(self, block: Block) -> Iterator[tuple[int, int, int]]:
        """(server, begun, done) of attempts before the last one of a request, as far back as nginx says how long they took:
        it makes one after the other."""
        for at in np.flatnonzero(self._several[block.tried]).tolist():
            order, codes = self._order[int(block.tried[at])], block.tries[at].tolist()
            connects, taken = (self._texts.each(part, codes[part], micros) for part in (CONNECT, RESPONSE))
            if len(connects) != len(order) or len(taken) != len(order):
                continue
            done = int(block.done[at]) - max(0, taken[-1])
            for server, connect, took in list(zip(order, connects, taken, strict=True))[-2::-1]:
                if took < 0:
                    break
                if server >= 0 and connect >= 0:
                    yield server, done - took, done
                done -= took

    def _step(self, at: Ints) -> Ints:
        return np.clip((at - self._zero) // STEP_US, 0, self._steps - 1)

    def busy(self, server: int) -> Ints:
        """Stretches [from, to) in µs, shape (n, 2), in which a request waited there."""
        on = np.cumsum(self._change[server])[:-1] > 0
        edges = np.flatnonzero(np.diff(np.concatenate(([False], on, [False])).astype(np.int8)))
        return self._zero + edges.reshape(-1, 2).astype(np.int64) * STEP_US


def _matrix(tried: Sequence[Sequence[int]], servers: int) -> Ints:
    """How often each server was tried, by index of the upstream addresses, and a row of none behind; the last column is for
    addresses of no server. Shape (addresses + 1, servers + 1)."""
    found = np.zeros((len(tried) + 1, servers + 1), np.int64)
    for row, order in zip(found, tried, strict=False):
        for one in order:
            if one != GROUP:
                row[servers if one == ELSEWHERE else one] += 1
    return found
