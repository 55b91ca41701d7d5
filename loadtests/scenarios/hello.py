"""Asks for / again and again: the cheapest page there is."""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from locust import task

from loadtests.user import LoadUser


class Hello(LoadUser):
    """Asks for /."""

    @task
    def hello(self) -> None:
        """The front page."""
        self.client.get("/")
