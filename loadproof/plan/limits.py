"""What is asked of a capacity: flags to values, all problems at once; and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
# figures in words
WORDS = {"p95_ms": "p95", "p99_ms": "p99", "mtt_ms": "MTT", "failures": "the failed share"}


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


def said(asked: Capacity, level: int) -> str:
    """A load in words: "1 user", "40 users"."""
    return f"{level:,} {asked.load.removesuffix('s') if level == 1 else asked.load}"


def wanted(asked: Capacity) -> str:
    """What is asked, in words: "p95 below 500 ms and the failed share below 1 %"."""
    return " and ".join(f"{WORDS[one.figure]} below {amount(one.figure, one.most)}" for one in asked.limits)


def amount(figure: str, value: float) -> str:
    """A value with its unit: 485.2 ms, 0.72 %."""
    return f"{_digits(figure, value)} {_unit(figure)}"


def spread(figure: str, values: Sequence[float | None]) -> str:
    """What trials gave, in words: "p95 480 to 495.1 ms"; "-" for what is unknown or beyond every limit."""
    known = sorted({one for one in values if one is not None})
    ends = [_digits(figure, one) for one in dict.fromkeys((*known[:1], *known[-1:]))]
    text = " or ".join([*([" to ".join(ends)] if ends else []), *(["-"] if None in values else [])])
    return f"{WORDS[figure].removeprefix('the ').removesuffix(' share')} {text} {_unit(figure)}"


def _digits(figure: str, value: float) -> str:
    text = f"{value:,.{2 if figure == FAILURES else 1}f}"
    return text.rstrip("0").rstrip(".")


def _unit(figure: str) -> str:
    return "%" if figure == FAILURES else "ms"


def question(asked: Capacity) -> str:
    """What is asked, as a question."""
    return f"How many {asked.load} may there be with {wanted(asked)}?"
