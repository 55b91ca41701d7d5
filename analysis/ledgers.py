"""What the two ledgers of a trial found: does every request, and every second of every user, stand in the books?"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RequestLedger:
    """Client, nginx and each backend balanced id by id: how many ids do not balance, of how many, and what those are."""

    differences: int
    total: int
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class TimeLedger:
    """The time of all users in the window against the time of their requests and thoughts; `gap` is the share that is
    missing (0.013 is 1.3 %), below 0 when more was spent than there was."""

    gap: float
    user_s: float
    spent_s: float
