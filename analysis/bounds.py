"""What a closed load can reach at most: X <= min(N / (R0 + Z), m / D), and the users N* = (R0 + Z) m / D where the two meet.

Pure. Source: asymptotic bounds of operational analysis (Denning and Buzen 1978; Lazowska and others, Quantitative System
Performance, 1984, ch. 5). R0: MTT of the lowest level (its mean over trials); Z: think time; m: servers. D is the demand of a request on one server
in seconds *at the asked CPU limit*: CPU-seconds achieved per success / limit as a share of one CPU, so that m / D is the
throughput at which the servers' CPU is all used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.measures.levels import Level

HEALTHY = 0.01  # of levels that fail more, CPU went into what nobody got
BUSY = (
    0.5  # above this share of its servers' time a level shows how they queue, not what a request takes alone
)


@dataclass(frozen=True)
class Bounds:
    """`alone_s`: R0 + Z, seconds; `demand_s`: D; `most_tps`: m / D; `users`: N*. None: unknown, `why` says it."""

    servers: int
    alone_s: float | None = None
    demand_s: float | None = None
    why: str = ""

    @property
    def most_tps(self) -> float | None:
        """m / D."""
        return self.servers / self.demand_s if self.demand_s else None

    @property
    def users(self) -> float | None:
        """N*."""
        return self.alone_s * self.most_tps if self.alone_s and self.most_tps else None

    def tps(self, users: float) -> float | None:
        """The lower of the bounds that are known; None where none is."""
        rising = users / self.alone_s if self.alone_s else None
        known = [one for one in (rising, self.most_tps) if one is not None]
        return min(known) if known else None


def bounds(levels: Sequence[Level], think_s: float, servers: int, limit_percent: float | None) -> Bounds:
    """The bounds of settled levels (of one trial, or of several)."""
    demand, why = _demand(levels, servers, limit_percent)
    users = min((one.users for one in levels), default=0)
    lowest = [one for one in levels if one.users == users]  # one of each trial
    times = [one.mtt_ms for one in lowest if one.mtt_ms is not None]
    if not times or len(times) < len(lowest):
        return Bounds(servers, None, demand, why or "no time of the lowest level")
    tps = sum(one.tps for one in lowest) / len(lowest)
    if demand is not None and (used := tps * demand / servers) > BUSY:
        return Bounds(
            servers, None, demand, f"at {users} users the servers are used to {100 * used:.0f} % already"
        )
    return Bounds(servers, think_s + sum(times) / len(times) / 1000, demand, why)


def _demand(levels: Sequence[Level], servers: int, limit_percent: float | None) -> tuple[float | None, str]:
    if not limit_percent:
        return None, "no CPU limit was asked"
    healthy = [one for one in levels if one.tps > 0 and (one.failed_share or 0.0) <= HEALTHY]
    if not healthy:
        return None, "every level had failures"
    spent = done = 0.0
    for one in healthy:
        if one.cpu_percent is None:
            return None, "the CPU of a level is unknown"
        spent += servers * one.cpu_percent / 100 * (one.to_s - one.from_s)
        done += one.tps * (one.to_s - one.from_s)
    return (spent / done / (limit_percent / 100), "") if spent > 0 else (None, "no CPU was used")
