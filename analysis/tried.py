"""What the trials of a search for a capacity say, from files only: each under or over what was asked, and the upper limits
of the fresh ones. The campaign plans by it, and the report tells it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import betaincinv, stdtrit

from analysis import verdicts
from analysis.trial import Judged
from loadproof.plan import capacity, limits
from loadproof.plan import trials as trials_planned
from loadproof.plan.capacity import End, Next, Outcome, Round, Seen
from loadproof.plan.values import Below, Capacity
from loadproof.runfolder import shown

# Failures in percent of the requests with which a figure of the successes still speaks for all: of those that failed it
# is only known that they were not answered, so that a percentile beyond them is above every limit.
MOST_FAILED = {"p95_ms": 5.0, "p99_ms": 1.0, "mtt_ms": 5.0}


@dataclass(frozen=True)
class Reading:
    """What one trial says of one limit: its figure in the unit of the limit (inf: beyond it, whatever it is), or None and
    why. `requests`, `failures`: of its window."""

    value: float | None
    why: str = ""
    requests: int = 0
    failures: int = 0


@dataclass(frozen=True)
class Slot:
    """One trial as it was planned, and what counts of it: its repeat, where it was repeated. `ids`: of both."""

    ids: tuple[str, ...]
    judged: Judged
    verdict: str
    readings: tuple[Reading, ...]  # one per limit
    because: str  # of the trial as it was planned, not of its repeat

    @property
    def purpose(self) -> str:
        """Of its plan."""
        return self.judged.plan.purpose

    @property
    def level(self) -> int:
        """Its load."""
        return int(self.judged.plan.factors[0][1])


@dataclass(frozen=True)
class Found:
    """All that a search says so far: its trials, and what is run next, or the answer."""

    seen: tuple[Seen, ...]
    rounds: tuple[Round, ...]
    then: Next | End


def reading(limit: Below, judged: Mapping[str, Any]) -> Reading:
    """What a trial (its figures and checks, as results.json has them) says of a limit."""
    requests, failures = judged["requests"], judged["failures"]
    if requests is None or failures is None:
        return Reading(None, "its window is unknown")
    if not requests and limit.figure == "failures":
        return Reading(None, "no request ended")
    failed = 100 * failures / requests if requests else 0.0
    if limit.figure == "failures":
        return Reading(failed, "", requests, failures)
    if failed > MOST_FAILED[limit.figure]:
        return Reading(math.inf, f"{failed:.1f} % of the requests failed", requests, failures)
    value = judged[limit.figure]
    if requests - failures < capacity.ENOUGH.get(limit.figure, 1) or value is None:
        return Reading(None, f"{requests - failures} answers are too few", requests, failures)
    if why := shown.withheld(judged, limit.figure):
        # what lacks the longest answers, or its level, is no value; beyond the limit it is all the same
        beyond = value > limit.most
        return Reading(math.inf if beyond else None, f"its figure is withheld ({why})", requests, failures)
    return Reading(value, "", requests, failures)


def upper(limit: Below, readings: Sequence[Reading], confidence: float) -> float:
    """The one-sided upper confidence limit of a figure over trials: Student's t on the logarithms, as intervals are made
    elsewhere, so of the geometric mean; inf where one trial is beyond. Raises ValueError below two trials, or without a
    value.

    Of a failed share, whose logarithm may not exist, of (failures + 1/2) / (requests + 1); and at least the exact limit
    of all requests together (Clopper and Pearson): trials without a failure do not differ, and still prove no zero."""
    if len(readings) < 2 or any(one.value is None for one in readings):
        raise ValueError("an upper limit needs the values of two trials")
    if limit.figure != "failures":
        return _upper([one.value or 0.0 for one in readings], confidence)
    between = _upper([100 * (one.failures + 0.5) / (one.requests + 1) for one in readings], confidence)
    failures, requests = (sum(getattr(one, name) for one in readings) for name in ("failures", "requests"))
    within = (
        100 * float(betaincinv(failures + 1, requests - failures, confidence))
        if failures < requests
        else 100.0
    )
    return max(between, within)


def _upper(values: Sequence[float], confidence: float) -> float:
    if math.inf in values:
        return math.inf
    logs = np.log(np.asarray(values, float))
    half = float(stdtrit(len(logs) - 1, confidence)) * float(logs.std(ddof=1)) / math.sqrt(len(logs))
    return math.exp(float(logs.mean()) + half)


def slots(asked: Capacity, trials: Sequence[Judged]) -> list[Slot]:
    """Trials in the order in which they were planned, each with its repeat in its place. Those of a calibration are left
    out."""
    found: dict[str, list[Judged]] = {}
    plans = {one.plan.id: one.plan for one in trials}
    for one in sorted(trials, key=lambda judged: int(judged.plan.id)):
        if one.plan.purpose not in ("search", "verify"):
            continue
        found.setdefault(trials_planned.stands_for(one.plan, plans), []).append(one)
    return [_slot(asked, same) for same in found.values()]


def _slot(asked: Capacity, same: Sequence[Judged]) -> Slot:
    counts = same[-1]
    said = verdicts.of_trial(counts.checks)
    readings = tuple(reading(limit, {**counts.figures, **said}) for limit in asked.limits)
    return Slot(tuple(one.plan.id for one in same), counts, said["verdict"], readings, same[0].plan.because)


def found(asked: Capacity, hold_s: float, made: Sequence[Slot]) -> Found:
    """What the trials of a search say: the same to the campaign, which goes on from it, and to the report."""
    seen = tuple(_seen(asked, one) for one in made if one.purpose == "search")
    rounds = tuple(_round(asked, index, same) for index, same in enumerate(rounds_of(made), start=1))
    return Found(seen, rounds, capacity.following(asked, hold_s, seen, rounds))


def _seen(asked: Capacity, slot: Slot) -> Seen:
    plan, figures = slot.judged.plan, slot.judged.figures
    good = figures["requests"] is not None and slot.verdict != "INVALID"
    rate = figures["tps"] if good else None
    why = next((one.why for one in slot.readings if one.value is None), "")
    return Seen(slot.level, _outcome(asked, slot), rate, plan.load.hold_s, why)


def _outcome(asked: Capacity, slot: Slot) -> Outcome:
    if slot.verdict == "INVALID":
        return "unmeasured"
    if any(
        one.value is not None and one.value > limit.most
        for one, limit in zip(slot.readings, asked.limits, strict=True)
    ):
        return "over"
    if any(one.value is None for one in slot.readings):
        return "few" if slot.judged.figures["requests"] is not None else "unmeasured"
    return "under"


def _round(asked: Capacity, index: int, same: Sequence[Slot]) -> Round:
    level = same[0].level
    for one in same:
        if broken := _broken(one):
            return Round(level, len(same), broken=broken)
    if len(same) < asked.fresh:
        return Round(level, len(same))
    tops = uppers(asked, same, capacity.confidence(index))
    excess = max(top / limit.most for top, limit in zip(tops, asked.limits, strict=True))
    over = all(_outcome(asked, one) == "over" for one in same)
    return Round(level, len(same), "under" if excess <= 1 else "over", excess, over)


def _broken(slot: Slot) -> str:
    """Why a fresh trial cannot count; empty when it does."""
    id = slot.ids[-1]
    if slot.verdict != "VALID":
        return f"fresh trial {id} was {slot.verdict}" + (
            ", and so was the one it repeats" * (len(slot.ids) > 1)
        )
    why = next((one.why for one in slot.readings if one.value is None), "")
    return f"fresh trial {id}: {why}" if why else ""


def uppers(asked: Capacity, same: Sequence[Slot], confidence: float) -> list[float]:
    """The upper limit of each figure that is asked, over fresh trials of one load."""
    return [
        upper(limit, [one.readings[index] for one in same], confidence)
        for index, limit in enumerate(asked.limits)
    ]


def rounds_of(made: Sequence[Slot]) -> list[list[Slot]]:
    """The fresh trials of each verification, which are told apart by their loads: none comes back."""
    by_level: dict[int, list[Slot]] = {}
    for one in made:
        if one.purpose == "verify":
            by_level.setdefault(one.level, []).append(one)
    return list(by_level.values())


def finite(value: float | None) -> float | None:
    """A value that can be written; None for one that is unknown, or beyond every limit."""
    return value if value is not None and math.isfinite(value) else None


def read(limit: Below, one: Reading) -> str:
    """A reading in words."""
    value = finite(one.value)
    return f"unknown ({one.why})" if value is None else limits.amount(limit.figure, value)
