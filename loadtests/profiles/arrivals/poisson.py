"""Each request comes by itself, whatever the others do: gaps are exponential.

Independent Poisson streams together are one of the sum of their rates: each Locust worker makes its own.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from math import log
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtests.profiles.arrivals import Share

SAID = "Poisson"


def times(share: Share) -> Iterator[float]:
    """Moments with exponential gaps of mean `workers / rate`."""
    chance, mean = random.Random(share.seed).random, share.workers / share.rate
    at = share.begin_s
    while True:
        at -= log(1.0 - chance()) * mean
        if at >= share.end_s:
            return
        yield at
