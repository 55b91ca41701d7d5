"""When nGrinder would have stopped a test: of all requests that ended so far more than half had failed, for 10 s on end.

Source: nGrinder's TooManyErrorCheckPlugin, which looks once a second at the totals of the whole test. `loadtests/autostop`
is the same rule on the counts of a running load.
"""

from __future__ import annotations

import numpy as np

from analysis.measures.columns import Ints

FOR_S = 10


def stop(ended: Ints, failed: Ints) -> int | None:
    """The first second at which the share of failures so far has been above half at 11 looks, one each second; `ended`
    successes and `failed` requests by second. None: it never was."""
    above = 2 * np.cumsum(failed) > np.cumsum(ended) + np.cumsum(failed)
    looks = np.arange(1, len(above) + 1)  # a look at the end of each second
    last_below = np.maximum.accumulate(np.where(above, 0, looks))
    found = np.flatnonzero(above & (looks - last_below > FOR_S))
    return int(looks[found[0]]) if len(found) else None
