"""When requests waited at a server, as nginx saw it: from the moment it turned to that server until it was done. A request
whose connection was never made did not wait there: the app may be idle behind a port that is silent."""

from __future__ import annotations

import numpy as np

from analysis.journeys import Block
from analysis.measures.columns import Ints
from analysis.measures.window import Window

STEP_US = 10_000


class Waiting:
    """Stretches of [zero, last] in which at least one request was at a server, in steps of 10 ms; and how often nginx tried
    it in a window. `tried`: as of Journeys."""

    def __init__(self, zero_us: int, last_us: int, tried: Ints, window: Window | None) -> None:
        self._zero, self._window, self._tried = zero_us, window, tried
        servers = tried.shape[1] - 1
        self._steps = max(0, (last_us - zero_us) // STEP_US) + 2
        self._change = np.zeros((servers, self._steps + 1), np.int64)
        self.attempts = np.zeros(servers, np.int64)
        self.elsewhere = 0  # requests that nginx tried to send to an address that is no server of the arm

    def add(self, block: Block) -> None:
        """Count a block. Only the last attempt of a request is placed in time: nginx here sends nothing twice."""
        self.elsewhere += int(np.count_nonzero(self._tried[:, -1][block.tried]))
        if self._window is not None:
            inside = (block.done >= self._window.from_us) & (block.done < self._window.to_us)
            often = np.bincount(block.tried[inside & (block.tried >= 0)], minlength=len(self._tried))
            self.attempts += (often @ self._tried)[:-1]
        at = np.flatnonzero((block.lines > 0) & (block.backend >= 0) & (block.connect >= 0))
        server, done = block.backend[at], block.done[at]
        begun = np.where(block.response[at] >= 0, done - block.response[at], block.received[at])
        first, last = self._step(begun), self._step(done)
        for sign, step in ((1, first), (-1, last + 1)):
            flat = np.bincount(server * (self._steps + 1) + step, minlength=self._change.size)
            self._change += sign * flat.reshape(self._change.shape)

    def _step(self, at: Ints) -> Ints:
        return np.clip((at - self._zero) // STEP_US, 0, self._steps - 1)

    def busy(self, server: int) -> Ints:
        """Stretches [from, to) in µs, shape (n, 2), in which a request waited there."""
        on = np.cumsum(self._change[server])[:-1] > 0
        edges = np.flatnonzero(np.diff(np.concatenate(([False], on, [False])).astype(np.int8)))
        return self._zero + edges.reshape(-1, 2).astype(np.int64) * STEP_US
