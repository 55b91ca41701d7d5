"""What is asked of a capacity: flags to values, all problems at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadproof.errors import Problem
from loadproof.plan import words
from loadproof.plan.durations import spell
from loadproof.plan.load import MOST_USERS
from loadproof.plan.values import Below, Capacity, Load

# flag -> figure of results.json
TIMES = {"p95": "p95_ms", "p99": "p99_ms", "mtt": "mtt_ms"}
FAILURES = "failures"
DEFAULTS = {"most": "1000", "fresh": "5"}
NAMES = (*TIMES, FAILURES, *DEFAULTS)
RESOLUTION = 0.1
# With fewer, one trial weighs so much that hardly anything can be shown; "over in every one" then proves nothing either.
LEAST_FRESH, MOST_FRESH = 5, 20


def read(given: Mapping[str, str | None], load: Load | None, problems: list[Problem]) -> Capacity | None:
    """What is asked of a load of which only the size is open (None: that is wrong itself), by the names a person types
    without dashes. None and problems where it cannot be."""
    before = len(problems)
    known = {
        "most": words.whole(1, MOST_USERS),
        "fresh": words.whole(LEAST_FRESH, MOST_FRESH),
        FAILURES: words.percent,
        **dict.fromkeys(TIMES, words.duration),
    }
    values: dict[str, Any] = {}
    for name in NAMES:
        text = given.get(name) or DEFAULTS.get(name)
        if text is None:
            continue
        try:
            values[name] = known[name](text)
        except ValueError as error:
            problems.append(Problem(str(error), f"--{name}"))
    if not any(given.get(name) for name in (*TIMES, FAILURES)):
        problems.append(Problem("nothing is asked of the load: --p95 500ms, for example", "--p95"))
    limits = [_time(name, values[name], load, problems) for name in TIMES if name in values]
    if FAILURES in values:
        if not 0 < values[FAILURES] < 100:
            problems.append(
                Problem("a share above 0 and below 100 % is needed: no trial can show 0", "--failures")
            )
        limits.append(Below(FAILURES, values[FAILURES]))
    step = load.processes if load else 1
    if "most" in values and values["most"] < step:
        problems.append(Problem(f"{step} processes have at least {step} users", "--most"))
    if len(problems) > before:
        return None
    return Capacity(tuple(limits), step, step, values["most"] // step * step, RESOLUTION, values["fresh"])


def _time(name: str, seconds: float, load: Load | None, problems: list[Problem]) -> Below:
    if seconds <= 0:
        problems.append(Problem("a time above 0 is needed", f"--{name}"))
    elif load and seconds >= load.timeout_s:
        problems.append(
            Problem(
                f"no answer takes longer than the timeout of {spell(load.timeout_s)}: every load would hold it",
                f"--{name}",
            )
        )
    return Below(TIMES[name], 1000 * seconds)
