"""Users that ask less and less often: throughput falls all through a trial of it. For rehearsals: it has no level, and
the check of that has to say so."""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from time import monotonic_ns

from locust import task

from loadtests.user import LoadUser

AT_FIRST, LESS, LEAST = (
    4.0,
    0.05,
    0.5,
)  # requests per second of a user, each second so many less, down to that


class Weary(LoadUser):
    """Asks for /items/{id}, and thinks longer the longer it has been there."""

    _began_ns = 0

    @task
    def item(self) -> None:
        """One item, any of them."""
        self.client.get(f"/items/{self.rng.randrange(self.trial.rows)}", name="/items/{item_id}")

    def wait_time(self) -> float:
        """Seconds to think, beside those of the trial."""
        self._began_ns = self._began_ns or monotonic_ns()
        since = (monotonic_ns() - self._began_ns) / 1e9
        return super().wait_time() + 1 / max(LEAST, AT_FIRST - LESS * since)
