"""One request after the other at equal gaps, dealt to the Locust workers in turn."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from loadtests.profiles.arrivals import Share

SAID = "evenly spaced"


def times(share: Share) -> Iterator[float]:
    """Every `workers`-th of the moments `begin + k / rate`."""
    for number in count(share.index, share.workers):
        # from its number, not by adding gaps up: that would add up rounding errors
        at = share.begin_s + number / share.rate
        if at >= share.end_s:
            return
        yield at
