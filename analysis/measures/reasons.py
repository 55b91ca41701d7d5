"""Failures by the reason for which they began: in a window, in the whole run, by server, over time, and the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.attribution import KEYS, Codes, named
from analysis.journeys import Block
from analysis.measures.columns import Ints, Mask
from analysis.measures.window import Window


@dataclass(frozen=True)
class First:
    """The first request of a reason: when it was given up, in µs, and its id."""

    at_us: int
    id: int


class Reasons:
    """Counts over all blocks. Requests belong to the moment when their client gave them up."""

    def __init__(self, servers: int) -> None:
        shape = (servers + 1, len(KEYS) + 1)  # the last server: none; the last reason: unexplained
        self.window, self.whole = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
        self.first: dict[int, First] = {}

    def add(self, block: Block, codes: Codes, inside: Mask) -> None:
        """Count a block; `inside`: what ended in the window."""
        failed = codes >= 0
        server = np.where(block.server < 0, len(self.whole) - 1, block.server)
        self.whole += self._counts(server[failed], codes[failed])
        self.window += self._counts(server[failed & inside], codes[failed & inside])
        for code in np.unique(codes[failed]).tolist():
            mine = np.flatnonzero(codes == code)
            at = int(mine[np.argmin(block.end[mine])])
            found = First(int(block.end[at]), int(block.id[at]))
            known = self.first.get(code)
            if known is None or found.at_us < known.at_us:
                self.first[code] = found

    def _counts(self, server: Ints, codes: Codes) -> Ints:
        rows, columns = self.whole.shape
        flat = np.bincount(server * columns + codes, minlength=rows * columns)
        return flat.reshape(rows, columns)

    def attribution(self, window: Window | None) -> dict[str, int]:
        """Counts by "<layer>/<reason>" of the window, or of the whole run without one."""
        return named(self._of(window).sum(axis=0))

    def unexplained(self, window: Window | None) -> int:
        """How many have no reason that the witnesses prove."""
        return int(self._of(window)[:, -1].sum())

    def by_server(self, window: Window | None, server: int) -> dict[str, int]:
        """The same of one server."""
        return named(self._of(window)[server])

    def _of(self, window: Window | None) -> Ints:
        return self.whole if window is None else self.window

    def firsts(self, zero_us: int, users: Any) -> list[dict[str, Any]]:
        """The first request of each reason: second, users at that moment (`users` of a moment in µs), id in hex."""
        found = [
            {
                "reason": [*KEYS, "unexplained"][code],
                "second": (one.at_us - zero_us) / 1e6,
                "users": users(one.at_us),
                "id": f"{one.id:016x}",
            }
            for code, one in self.first.items()
        ]
        return sorted(found, key=lambda one: (one["second"], one["reason"]))
