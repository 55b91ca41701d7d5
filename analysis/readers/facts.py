"""facts.jsonl of a trial: what each host said of itself before and after the load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from loadproof.errors import RecordUnreadable
from loadproof.runfolder import record
from loadproof.runfolder.paths import TrialPaths

Said = Mapping[str, Any]


@dataclass(frozen=True)
class Facts:
    """The last answer of each host before and after the load, and the top rate of each load host's generator."""

    before: Mapping[str, Said] = field(default_factory=dict)
    after: Mapping[str, Said] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)  # requests per second, by load host

    def both(self, host: str) -> tuple[Said, Said] | None:
        """Before and after; None when the host did not answer both times."""
        if host in self.before and host in self.after:
            return self.before[host], self.after[host]
        return None


def read(paths: TrialPaths) -> Facts:
    """All facts that can be read; none where there is no such file."""
    try:
        lines = record.read_facts(paths.facts).lines
    except RecordUnreadable:
        return Facts()
    seen: dict[str, dict[str, Said]] = {"before": {}, "after": {}}
    rates: dict[str, float] = {}
    for line in lines:
        host, when, said, rate = (line.get(key) for key in ("host", "when", "facts", "rate"))
        if not isinstance(host, str):
            continue
        if when in ("before", "after") and isinstance(said, dict):
            seen[when][host] = said
        if when == "rate" and isinstance(rate, (int, float)) and 0 < rate < 1e12:
            rates[host] = float(rate)
    return Facts(seen["before"], seen["after"], rates)


def part(said: Said, *keys: str) -> Said:
    """An object inside an answer; an empty one where there is none: answers are data from hosts."""
    for key in keys:
        inner = said.get(key)
        if not isinstance(inner, dict):
            return {}
        said = inner
    return said


def whole(said: Said, key: str) -> int | None:
    """A whole number of an answer, not below 0; None where there is none."""
    value = said.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 0 <= value < 1 << 63 else None
