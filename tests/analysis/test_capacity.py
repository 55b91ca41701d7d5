"""What a search for a capacity says of its trials: readings, upper limits, and answers whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from analysis import tried as findings
from analysis.tried import Reading
from loadproof.plan import capacity
from loadproof.plan.capacity import End, Round, Seen
from loadproof.plan.values import Below, Capacity

P95, P99, MTT, FAILED = (
    Below("p95_ms", 500.0),
    Below("p99_ms", 900.0),
    Below("mtt_ms", 300.0),
    Below("failures", 1.0),
)
ASKED = Capacity((P95,), 1, 1, 1000, 0.1, 5)


def trial(requests: int | None = 1000, failures: int | None = 0, **more: Any) -> dict[str, Any]:
    found = {
        "requests": requests,
        "failures": failures,
        "p95_ms": 400.0,
        "p99_ms": 800.0,
        "mtt_ms": 200.0,
        "checks": [],
    }
    return {**found, **more}


SHORT = {"name": "short_window", "withholds": ["p99_ms"]}


@pytest.mark.parametrize(
    ("limit", "judged", "value", "why"),
    [
        (P95, trial(), 400.0, ""),
        (MTT, trial(), 200.0, ""),
        (P95, trial(1000, 50), 400.0, ""),
        (P95, trial(1000, 51), math.inf, "5.1 % of the requests failed"),  # beyond them is the 95th of all
        (P99, trial(1000, 11), math.inf, "1.1 % of the requests failed"),
        (MTT, trial(1000, 51), math.inf, "5.1 % of the requests failed"),
        (P95, trial(58), None, "58 answers are too few"),
        (P95, trial(59), 400.0, ""),
        (P95, trial(60, 2), None, "58 answers are too few"),
        (P99, trial(298), None, "298 answers are too few"),
        (P99, trial(checks=[SHORT]), None, "its figure is withheld (short window)"),
        (
            P99,
            trial(checks=[SHORT], p99_ms=5200.0),
            math.inf,
            "its figure is withheld (short window)",
        ),  # what it lacks are the longest
        (P95, trial(checks=[SHORT]), 400.0, ""),
        (MTT, trial(0, 0, mtt_ms=None), None, "0 answers are too few"),
        (P95, trial(None, None), None, "its window is unknown"),
        (FAILED, trial(1000, 5), 0.5, ""),
        (FAILED, trial(0, 0), None, "no request ended"),
    ],
)
def test_what_a_trial_says_of_a_limit(
    limit: Below, judged: dict[str, Any], value: float | None, why: str
) -> None:
    found = findings.reading(limit, judged)
    assert (found.value, found.why) == (value, why)


def test_the_upper_limit_is_that_of_a_table() -> None:
    """Logs 5.8, 5.9, 6.0, 6.1, 6.2: mean 6, sd 0.158114; t(4) at 95 % is 2.131847, at 97.5 % 2.776445 (any table)."""
    values = [Reading(math.exp(one)) for one in (5.8, 5.9, 6.0, 6.1, 6.2)]
    error = 0.1581139 / math.sqrt(5)
    assert findings.upper(P95, values, 0.95) == pytest.approx(math.exp(6 + 2.131847 * error), rel=1e-6)
    assert findings.upper(P95, values, 0.975) == pytest.approx(math.exp(6 + 2.776445 * error), rel=1e-6)
    assert findings.upper(P95, [*values, Reading(math.inf)], 0.95) == math.inf


@pytest.mark.parametrize("values", [[], [400.0], [400.0, None]])
def test_there_is_no_upper_limit_of_one_trial(values: Sequence[float | None]) -> None:
    with pytest.raises(ValueError, match="two trials"):
        findings.upper(P95, [Reading(one) for one in values], 0.95)


def test_no_failure_in_some_requests_is_no_proof_of_none() -> None:
    clean = [Reading(0.0, "", 200, 0)] * 5
    # 1 - 0.05 ** (1 / 1000): what Clopper and Pearson give for 0 of 1000
    assert findings.upper(FAILED, clean, 0.95) == pytest.approx(0.29912, rel=1e-4)
    # trials that differ by more than chance: 62 of 1000 together would be 7.6 %
    uneven = [Reading(one / 2, "", 200, one) for one in (2, 4, 8, 16, 32)]
    assert findings.upper(FAILED, uneven, 0.95) > 10.0
    assert findings.upper(FAILED, [Reading(100.0, "", 9, 9)] * 5, 0.95) == pytest.approx(100.0)


# --- simulated systems whose capacity is known --------------------------------------------------------


def think(users: int) -> float:
    """p95 in ms of 20 ms of work at one server, 1 s between requests: flat, then N x 20 ms - 1 s."""
    return 1.6 * (20 + 25 * math.log1p(math.exp(min(500.0, (20 * users - 1020) / 25))))


def full(users: int) -> float:
    """p95 in ms at a server that is always busy."""
    return 30.0 * users


def plain(users: int) -> float:
    """Above 20 users hardly more than what is asked: nothing is harder to tell."""
    return 470.0 if users <= 20 else 500.5


def searched(
    curve: Callable[[int], float], chance: np.random.Generator, noise: float, outliers: float = 0.0
) -> End:
    """A whole search over made trials, planned and judged by what plans and judges real ones."""
    seen: list[Seen] = []
    rounds: list[Round] = []
    fresh: list[Reading] = []
    while not isinstance(then := capacity.following(ASKED, 30.0, seen, rounds), End):
        value = curve(then.level) * math.exp(chance.normal(0, noise))
        value *= 4 if chance.random() < outliers else 1
        if then.purpose == "search":
            seen.append(Seen(then.level, "under" if value <= 500 else "over", 50.0, 30.0))
            continue
        if then.number == 1:
            fresh = []
            rounds.append(Round(then.level, 0))
        fresh.append(Reading(value))
        if len(fresh) < ASKED.fresh:
            rounds[-1] = Round(then.level, len(fresh))
            continue
        top = findings.upper(P95, fresh, capacity.confidence(len(rounds)))
        over = all((one.value or 0) > 500 for one in fresh)
        rounds[-1] = Round(then.level, len(fresh), "under" if top <= 500 else "over", top / 500, over)
    return then


def largest(curve: Callable[[int], float]) -> int:
    return max(users for users in range(1, 1001) if curve(users) <= 500)


@pytest.mark.parametrize(
    ("curve", "noise", "outliers", "too_large", "near"),
    [
        (think, 0.05, 0.0, 0.02, 0.9),
        (full, 0.03, 0.0, 0.02, 0.85),
        (full, 0.12, 0.0, 0.06, 0.0),  # raw cpulimit: too noisy to be near with five trials
        (full, 0.03, 0.03, 0.02, 0.5),  # some trials are four times too slow
        (plain, 0.05, 0.0, 0.06, 0.0),
        (plain, 0.12, 0.0, 0.06, 0.0),
    ],
)  # fmt: skip
def test_an_answer_is_hardly_ever_too_large_and_mostly_near(
    curve: Callable[[int], float], noise: float, outliers: float, too_large: float, near: float
) -> None:
    """At most 5 % may be too large; the bounds have room for the chance of 500 runs. Near: within the resolution."""
    chance, true = np.random.default_rng(20261127), largest(curve)
    levels = [searched(curve, chance, noise, outliers).level for _ in range(500)]
    answers = [level for level in levels if level is not None]
    assert sum(level > true for level in answers) / 500 <= too_large
    assert sum(true / 1.1 <= level <= true for level in answers) / 500 >= near


def test_what_no_load_holds_is_never_called_held() -> None:
    chance = np.random.default_rng(7)
    kinds = [searched(lambda users: 700.0, chance, 0.05).kind for _ in range(100)]
    assert kinds == ["none"] * 100


def test_what_every_load_holds_is_told_as_far_as_it_was_tried() -> None:
    chance = np.random.default_rng(7)
    ends = [searched(lambda users: 300.0, chance, 0.05) for _ in range(100)]
    assert {(one.kind, one.level, one.why) for one in ends} == {("at least", 1000, "no more were asked for")}
