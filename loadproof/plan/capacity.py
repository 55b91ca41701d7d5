"""The largest load whose figures stay below what was asked: which load is tried next, and when the answer is known.

Pure. A search tries loads upwards by a factor until one is over what was asked, then between the largest that was under
it and the smallest that was over, until these are near enough. One trial says little: a load that was over is tried
again before it ends the search, and the majority counts. What the search found is then run anew, in a fixed number of
fresh trials; only they answer. Where they do not show that the limits hold, a lower load is run anew.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from loadproof.plan.limits import said
from loadproof.plan.values import Capacity

GROWTH = 4  # each load is so many times the one before, until one is over
SLACK = 4  # trials of a search beyond growth and halving: loads that are tried again
# What may go wrong in all verifications together is 5 %: shared out, for a load that is too large may be verified once
# more when it was refused, and each time is another chance to pass by luck.
MISSES = (0.025, 0.0125, 0.00625, 0.00625)
# How far the next load to verify lies below a refused one, in resolutions. The last one is far: an answer that is too
# low is worth more than none, where figures hardly grow with the load.
STEPS_DOWN = (0.5, 1.0, 5.0)
LARGEST_STEP_DOWN = 2.0
# successes from which a percentile is shown, and one of them is above it with 95 % certainty (as runfolder.shown)
ENOUGH = {"p95_ms": 59, "p99_ms": 299}
SPARE = 1.5  # times as many are planned for
LONGEST_HOLD_S = 300.0
SHORTEST_HOLD_S = 15.0
TIMES = 20  # a hold is at least so many times the time that is asked
PATIENCE = 3  # trials of one load with too few answers

Outcome = Literal["under", "over", "few", "unmeasured"]


@dataclass(frozen=True)
class Seen:
    """One trial of the search. "few": too few answers to tell, or `why` else its figure is withheld; "unmeasured": its
    conditions did not hold, twice. `rate`: successes per second."""

    level: int
    outcome: Outcome
    rate: float | None
    hold_s: float
    why: str = ""


@dataclass(frozen=True)
class Round:
    """One verification: fresh trials of one load, of which `trials` count so far. `outcome` None: not all were run;
    "under": every limit holds with the confidence of the round; "over": not shown. `excess`: how many times the asked
    value the worst upper limit is. `all_over`: every trial alone was over. `broken`: why one of them cannot count."""

    level: int
    trials: int
    outcome: Literal["under", "over"] | None = None
    excess: float = 1.0
    all_over: bool = False
    broken: str = ""


@dataclass(frozen=True)
class Next:
    """The trial that is run next: its load, what for, why, and the length of its hold; `number`: of a fresh trial."""

    level: int
    purpose: Literal["search", "verify"]
    because: str
    hold_s: float
    number: int = 1


@dataclass(frozen=True)
class End:
    """The answer. "found": `level` holds, a larger load does not, or was not shown to; "at least": nothing larger could
    be tried, `why`; "none": not even the smallest; "not decided": `why`."""

    kind: Literal["found", "at least", "none", "not decided"]
    level: int | None = None
    why: str = ""


def confidence(number: int) -> float:
    """Of the one-sided upper limits of verification `number` (from 1): all of them hold together with 95 %."""
    return 1 - MISSES[number - 1]


def following(
    asked: Capacity, hold_s: float, seen: Sequence[Seen], rounds: Sequence[Round] = ()
) -> Next | End:
    """What is run next, or the answer. `hold_s`: as it was asked for."""
    if not rounds:
        level = _searched(asked, hold_s, seen)
        return _fresh(asked, hold_s, seen, 1, level, 1) if isinstance(level, int) else level
    last = rounds[-1]
    if last.broken:
        return End("not decided", None, last.broken)
    if last.outcome is None:
        return _fresh(asked, hold_s, seen, len(rounds), last.level, last.trials + 1)
    if last.outcome == "under":
        return _held(asked, last.level, seen, len(rounds) > 1)
    if last.level == asked.least:
        if last.all_over:
            return End("none", None, f"in each of {last.trials} fresh trials it was over")
        return End(
            "not decided",
            None,
            f"{said(asked, last.level)}, the smallest load, were not shown to be under or over",
        )
    if len(rounds) == len(MISSES):
        tried = ", ".join(f"{one.level}" for one in rounds)
        return End("not decided", None, f"none of {tried} {asked.load} was shown to be under")
    return _fresh(asked, hold_s, seen, len(rounds) + 1, _lower(asked, last, len(rounds)), 1)


def _held(asked: Capacity, level: int, seen: Sequence[Seen], refused: bool) -> End:
    """What it means that a load passed: whether anything larger did not."""
    _, high = _bracket(seen)
    if refused or (high is not None and _judged(seen)[high] == "over"):
        return End("found", level)
    if high is not None:
        return End("at least", level, f"{said(asked, high)} could not be measured")
    return End("at least", level, "no more were asked for")


def _fresh(
    asked: Capacity, hold_s: float, seen: Sequence[Seen], round_: int, level: int, number: int
) -> Next:
    because = f"verification {round_}: {said(asked, level)}, fresh trial {number} of {asked.fresh}"
    return Next(level, "verify", because, hold(asked, hold_s, seen, level), number)


def _lower(asked: Capacity, refused: Round, number: int) -> int:
    """The next load after refused verification `number`: each step is larger than the one before, and as large as that
    one was over if that is more (a figure grows at least in proportion where a server is full)."""
    factor = max(1 + STEPS_DOWN[number - 1] * asked.resolution, refused.excess**number)
    lower = _snap(asked, refused.level / min(factor, LARGEST_STEP_DOWN))
    return max(asked.least, min(refused.level - asked.step, lower))


def _searched(asked: Capacity, hold_s: float, seen: Sequence[Seen]) -> Next | End | int:
    """The next trial of the search; or the load that it found, to be verified."""

    def trial(level: int, why: str) -> Next:
        return Next(level, "search", f"search: {said(asked, level)}{why}", hold(asked, hold_s, seen, level))

    if not seen:
        return trial(asked.least, "")
    last = seen[-1]
    if last.outcome == "few":
        few = sum(one.level == last.level and one.outcome == "few" for one in seen)
        if few >= PATIENCE or last.hold_s >= LONGEST_HOLD_S:
            return End(
                "not decided",
                None,
                f"{said(asked, last.level)}: {last.why or 'too few answers'} in {last.hold_s:g} s",
            )
        return trial(last.level, f" again: {last.why or 'there were too few answers'}")
    judged = _judged(seen)
    torn = [level for level, outcome in judged.items() if outcome is None]
    enough = len(seen) >= most_searched(asked)
    if torn and not enough:
        return trial(torn[0], " again: it was under once and over once")
    low, high = _bracket(seen)
    if low == asked.most:
        return low
    if high is None:
        assert low is not None, "what is neither under nor over ends the search, or is tried again"
        up = min(asked.most, _snap(asked, low * GROWTH))
        return low if enough else trial(up, f": {low} was under")
    if not enough and not _near(asked, low, high):
        middle = _between(asked, low or asked.least, high)
        return trial(middle, f": {low} was under, {high} {_over(judged[high])}")
    if not enough and judged[high] == "over" and sum(one.level == high for one in seen) == 1:
        return trial(high, " again: is it over?")
    if low is None and judged[high] == "unmeasured":
        return End("not decided", None, f"{said(asked, high)} could not be measured")
    return asked.least if low is None else low


def _over(outcome: Outcome | None) -> str:
    return "could not be measured" if outcome == "unmeasured" else "was over"


def _judged(seen: Sequence[Seen]) -> dict[int, Outcome | None]:
    """What each load is held for, by its majority; None: as often under as over. Loads with too few answers are left
    out."""
    found: dict[int, Outcome | None] = {}
    for level in sorted({one.level for one in seen}):
        outcomes = [one.outcome for one in seen if one.level == level]
        over, under = outcomes.count("over"), outcomes.count("under")
        if "unmeasured" in outcomes:
            found[level] = "unmeasured"
        elif over or under:
            found[level] = None if over == under else "over" if over > under else "under"
    return found


def _bracket(seen: Sequence[Seen]) -> tuple[int | None, int | None]:
    """The largest load under what was asked below the smallest one that is not; None where there is none."""
    judged = _judged(seen)
    high = min((level for level, outcome in judged.items() if outcome != "under"), default=None)
    under = [level for level, outcome in judged.items() if outcome == "under"]
    return max((level for level in under if high is None or level < high), default=None), high


def _near(asked: Capacity, low: int | None, high: int) -> bool:
    return low is None or high - low <= asked.step or high <= low * (1 + asked.resolution)


def _between(asked: Capacity, low: int, high: int) -> int:
    middle = _snap(asked, math.sqrt(low * high))
    return min(max(middle, low + asked.step), high - asked.step)


def _snap(asked: Capacity, level: float) -> int:
    """The largest possible load that is not above."""
    return max(asked.least, int(level // asked.step) * asked.step)


def most_searched(asked: Capacity) -> int:
    """Trials of a search at most: growth, halving, and some that are tried again."""
    growth = 1 + math.ceil(math.log(asked.most / asked.least, GROWTH)) if asked.most > asked.least else 1
    halving = math.ceil(math.log2(math.log(GROWTH) / math.log(1 + asked.resolution))) + 1
    return growth + halving + SLACK


def most_trials(asked: Capacity) -> int:
    """All trials at most, those that are repeated because their conditions did not hold not among them."""
    return most_searched(asked) + len(MISSES) * asked.fresh


def hold(asked: Capacity, hold_s: float, seen: Sequence[Seen], level: int) -> float:
    """The hold of a trial: as asked, and long enough for its percentiles at the rate that loads beside it had."""
    needed = max((ENOUGH.get(one.figure, 0) for one in asked.limits), default=0)
    rate = _rate(seen, level)
    least = shortest_hold(asked, hold_s)
    if not needed or rate is None:
        return least
    wanted = LONGEST_HOLD_S if rate <= 0 else math.ceil(SPARE * needed / rate)
    return float(max(least, min(wanted, LONGEST_HOLD_S)))


def shortest_hold(asked: Capacity, hold_s: float) -> float:
    """What is asked, unless a window of that length is too short for the times that are asked."""
    times = [one.most / 1000 for one in asked.limits if one.figure.endswith("_ms")]
    return max(hold_s, SHORTEST_HOLD_S, math.ceil(TIMES * max(times, default=0.0)))


def _rate(seen: Sequence[Seen], level: int) -> float | None:
    """Successes per second that a load has at least: what it had, else that of the next smaller one, or the part of the
    next larger one that its users make. More users of a closed load are not answered less, and at most in proportion."""
    rates: dict[int, float] = {}
    for one in seen:
        if one.rate is not None:
            rates[one.level] = min(one.rate, rates.get(one.level, one.rate))
    if level in rates:
        return rates[level]
    below, above = [one for one in rates if one < level], [one for one in rates if one > level]
    guesses = [rates[max(below)]] if below else []
    guesses += [rates[min(above)] * level / min(above)] if above else []
    return max(guesses, default=None)
