"""nGrinder's rule for ending a test early, on the counts that the Locust master has each second."""

from __future__ import annotations

NAMES = ("none", "ngrinder")
FOR_S = 10


class NGrinder:
    """Too many errors: of all requests that ended so far more than half failed, for 10 s on end.

    Source: nGrinder's TooManyErrorCheckPlugin, which looks once a second at the totals of the whole test.
    """

    def __init__(self) -> None:
        self._since: int | None = None

    def ends(self, second: int, requests: int, failures: int) -> bool:
        """Whether the test ends now; `requests` and `failures` so far, failed ones among both."""
        if 2 * failures <= requests:
            self._since = None
            return False
        if self._since is None:
            self._since = second
        return second - self._since >= FOR_S
