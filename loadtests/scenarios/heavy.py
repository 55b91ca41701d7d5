"""What a scenario must not do: it burns the generator's own CPU before each request. For rehearsals: a trial of it
measures Locust, not the servers, and the checks have to say so."""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from time import thread_time_ns

from locust import task

from loadtests.user import LoadUser

BURN_NS = 20_000_000


class Heavy(LoadUser):
    """Computes for 20 ms of CPU, then asks for /items/{id}."""

    @task
    def item(self) -> None:
        """One item, after the burning."""
        until = thread_time_ns() + BURN_NS
        while thread_time_ns() < until:
            pass
        self.client.get(f"/items/{self.rng.randrange(self.trial.rows)}", name="/items/{item_id}")
