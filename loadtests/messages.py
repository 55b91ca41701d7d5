"""Names of our own messages between Locust master and workers, and the worker number in a client id."""

from __future__ import annotations

FIRST_USER = "loadproof_first_user"  # worker -> master, once: {"worker"}
SECOND = "loadproof_second"  # worker -> master, each second: totals so far, users alive, sum of answer times
ZERO = "loadproof_zero"  # master -> worker, in the first second of an open load: {"second"}, which one it is
STOP = "loadproof_stop"  # master -> worker: stop the users
STOPPED = "loadproof_stopped"  # worker -> master: totals, nothing will follow


def worker_of(client_id: str) -> int:
    """Number of the Locust worker that calls itself `client_id` (HOST_NUMBER)."""
    return int(client_id.rpartition("_")[2])
