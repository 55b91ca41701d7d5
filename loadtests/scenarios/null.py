"""Asks for a page that nginx itself answers, with nothing in it: how fast the load generator can go by itself."""

# Locust is not in the environment that checks types: its classes are Any there.
# mypy: disable-error-code="untyped-decorator"
from __future__ import annotations

from locust import task

from loadtests.user import LoadUser

PATH = "/loadproof-null"  # as templates/nginx.conf.j2 has it


class Null(LoadUser):
    """Asks for the empty page."""

    @task
    def null(self) -> None:
        """No app is asked, and nginx logs nothing."""
        self.client.get(PATH)
