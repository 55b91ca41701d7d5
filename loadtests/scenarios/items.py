"""Looks up one item after another, each chosen at random among the rows of the data file."""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from locust import task

from loadtests.user import LoadUser


class Items(LoadUser):
    """Asks for /items/{id}; all ids share one name, so that figures speak of the route."""

    @task
    def item(self) -> None:
        """One item, ids from 0 to rows - 1, all equally likely."""
        self.client.get(f"/items/{self.rng.randrange(self.trial.rows)}", name="/items/{item_id}")
