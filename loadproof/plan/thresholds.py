"""What a run must reach to pass, for CI: "p95_ms < 500", "failures < 1%", "ratio(servers=2/servers=1).tps > 1.5"."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from loadproof.plan import allowed

FIGURES = (
    "tps", "mtt_ms", "mtsd_ms", "p50_ms", "p95_ms", "p99_ms", "answer_or_give_up_ms", "efficiency", "requests", "failures",
    "undelivered", "wasted", "broken_pipe", "unexplained",
)  # fmt: skip
RATIOS = ("tps", "mtt_ms", "p50_ms", "p95_ms", "p99_ms", "answer_or_give_up_ms", "efficiency")
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_FORM = re.compile(
    r"(?:ratio\((?P<above>[^/()]+)/(?P<below>[^/()]+)\)\.)?(?P<figure>[a-z0-9_]+)\s*(?P<operator><=|>=|<|>)\s*"
    r"(?P<limit>[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*(?P<percent>%?)"
)


@dataclass(frozen=True)
class Threshold:
    """A figure of every arm against a limit; `pair`: of the ratio of two arms instead. `share`: `limit` is percent of the
    requests."""

    text: str
    figure: str
    operator: str
    limit: float
    share: bool = False
    pair: tuple[str, str] | None = None

    def holds(self, value: float) -> bool:
        """Whether a value passes."""
        return OPERATORS[self.operator](value, self.limit)


def parse(text: str) -> Threshold:
    """The threshold of a text. Raises ValueError with a sentence."""
    found = _FORM.fullmatch(text.strip())
    if not found:
        form = "a figure, <, <=, > or >=, and a number, as in p95_ms < 500 or ratio(servers=2/servers=1).tps > 1.5"
        raise ValueError(f"{allowed.shown(text)} is no threshold: {form}")
    known = RATIOS if found["above"] else FIGURES
    if found["figure"] not in known:
        hint = allowed.did_you_mean(found["figure"], known)
        raise ValueError(
            f"there is no figure {allowed.shown(found['figure'])} here: {', '.join(known)}{hint}"
        )
    if found["percent"] and (found["figure"] != "failures" or found["above"]):
        raise ValueError(f"{allowed.shown(text)}: only failures are counted in percent, of the requests")
    pair = (found["above"].strip(), found["below"].strip()) if found["above"] else None
    limit = float(found["limit"])
    return Threshold(text.strip(), found["figure"], found["operator"], limit, bool(found["percent"]), pair)
