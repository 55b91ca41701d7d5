"""The chain of timeouts from the client to the app, and the kinds of error that it rules out."""

from __future__ import annotations

from collections.abc import Mapping

NGINX_CONNECT_S = 60
NGINX_SEND_S = 60
NGINX_READ_S = 60
NGINX_KEEPALIVE_S = 3600  # of clients: a user that thinks long must not be hung up on
UVICORN_KEEPALIVE_S = (
    75  # app/serve.py; nginx opens a new connection for each request, so it never comes to it
)
GRACEFUL_S = 2  # uvicorn's graceful shutdown
STOP_S = 5  # TimeoutStopSec of all our units
DRAIN_EXTRA_S = 5  # beyond the client's timeout


def chain(client_s: float) -> tuple[tuple[str, float], ...]:
    """Every timeout of a trial, seconds, by name, from the client inwards."""
    return (
        ("client", client_s),
        ("nginx keep-alive to clients", NGINX_KEEPALIVE_S),
        ("nginx connect", NGINX_CONNECT_S),
        ("nginx send", NGINX_SEND_S),
        ("nginx read", NGINX_READ_S),
        ("uvicorn keep-alive", UVICORN_KEEPALIVE_S),
        ("uvicorn graceful shutdown", GRACEFUL_S),
        ("unit stop", STOP_S),
        ("drain", client_s + DRAIN_EXTRA_S),
    )


def ruled_out(timeouts: tuple[tuple[str, float], ...]) -> tuple[str, ...]:
    """Sentences: which errors can never be seen with this chain."""
    by_name: Mapping[str, float] = dict(timeouts)
    client = by_name["client"]
    shortest = min(by_name["nginx connect"], by_name["nginx send"], by_name["nginx read"])
    if client < shortest:
        return (
            f"the client gives up after {client:g} s, nginx after {shortest:g} s: no 504 can happen, "
            "what would be one is a timeout at the client and a 499 at nginx",
        )
    return ()
