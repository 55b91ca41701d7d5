"""Requests of an open load against those that were planned: made in time, late, or not at all."""

from __future__ import annotations

import numpy as np

from analysis.journeys import Block, Texts
from analysis.measures.window import Window
from loadproof.plan import openload
from loadproof.plan.values import TrialPlan

LATE_US = 100_000  # a request that is sent so much after its time was held up by the generator


class Arrivals:
    """Counts over all blocks of the requests that were to be sent in a window: `made` were sent, `late` of them more than
    0.1 s after their time, and `not_made` never were: no user was free before the timeout, or before the load ended. What a
    task sends after its first request was not due at any time, and is none of them: its row has its start for that."""

    def __init__(self, window: Window | None, texts: Texts) -> None:
        self.window, self._texts = window, texts
        self.made = self.late = self.not_made = 0

    def add(self, block: Block) -> None:
        """Count a block."""
        if self.window is None:
            return
        due = block.intended
        inside = (block.client > 0) & (due >= self.window.from_us) & (due < self.window.to_us)
        never = inside & self._texts.is_error(block.error, "not_made")
        waited = block.start - due > LATE_US
        of_plan = inside & (block.start > due)
        # of those that our own stop cut off only what no user ever took has no user
        never |= inside & waited & (block.user == 0) & self._texts.is_error(block.error, "cut")
        self.made += int(np.count_nonzero(of_plan & ~never))
        self.late += int(np.count_nonzero(inside & ~never & waited))
        self.not_made += int(np.count_nonzero(never))

    def figures(self, plan: TrialPlan) -> dict[str, int] | None:
        """ "planned", "made", "late" and "not_made"; None of a closed load, and without a window."""
        if self.window is None or plan.load.rate is None:
            return None
        planned = openload.planned(plan, self.window.from_s, self.window.to_s)
        return {"planned": planned, "made": self.made, "late": self.late, "not_made": self.not_made}
