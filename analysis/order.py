"""The trials of a run in the order in which they were run, and whether their primary figure drifted."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from analysis import compare, joined
from analysis.results import Judgement
from analysis.statistics import CONFIDENCE, geometric, quantile
from loadproof.runfolder import shown

LEAST_FREE = 2  # degrees of freedom below which no trend is told


@dataclass(frozen=True)
class Ran:
    """One trial: `began` is its second 0 (None: no user started), `value` its primary figure (None: unknown, or withheld
    by `why`), `of_arm` that over the geometric mean of its arm's trials that count, `counts` whether it is one of them."""

    order: int
    id: str
    run: str
    arm: str
    block: int
    because: str
    began: datetime | None
    verdict: str
    counts: bool
    value: float | None
    why: str
    of_arm: float | None
    broken: tuple[str, ...]  # what withholds the trial, in words


@dataclass(frozen=True)
class Drift:
    """By which factor the primary figure changes from one trial to the next, arms apart, and its 95 % interval."""

    per_trial: float
    low: float
    high: float
    n: int


def ran(judgement: Judgement) -> list[Ran]:
    """Every trial that measured, in order of time; those without a second 0 by their ids, among those of their run."""
    primary = judgement.results["primary"]
    zeros = {
        (one.run.id, one.judged.plan.id): one.judged.run.zero_us if one.judged.run else None
        for one in judgement.members
    }
    found = [one for arm in judgement.results["arms"] for one in _of_arm(arm, primary, zeros)]
    ordered = sorted(found, key=lambda one: (one["run"], int(one["id"]) if one["id"].isdigit() else 0))
    if all(one["began"] for one in ordered):
        ordered.sort(key=lambda one: one["began"])
    return [Ran(order=at, **one) for at, one in enumerate(ordered, 1)]


def _of_arm(
    arm: Mapping[str, Any], primary: str, zeros: Mapping[tuple[str, str], int | None]
) -> list[dict[str, Any]]:
    counted = [one for one in joined.counted(arm["trials"]) if one["verdict"] == "VALID"]
    values = [compare.figure(one, primary) for one in counted]
    known = [one for one in values if one is not None and one > 0]
    mean = geometric(known)
    made = []
    for one in arm["trials"]:
        why = "" if primary in ("failed_share", compare.KNEE) else shown.withheld(one, primary)
        value = None if why else compare.figure(one, primary)
        zero = zeros.get((one["run"], one["id"]))
        made.append(
            {
                "id": one["id"],
                "run": one["run"],
                "arm": arm["label"],
                "block": one["block"],
                "because": one["because"],
                "began": datetime.fromtimestamp(zero / 1e6, UTC) if zero else None,
                "verdict": one["verdict"],
                "counts": any(one is other for other in counted),
                "value": value,
                "why": why,
                "of_arm": value / mean if value is not None and mean else None,
                "broken": tuple(
                    check["said"]
                    for check in one["checks"]
                    if check["withholds"] == "trial" and check["verdict"] != "VALID"
                ),
            }
        )
    return made


def drift(trials: Sequence[Ran]) -> Drift | None:
    """The slope of the logarithm of the primary figure over the order of the trials that count, each arm about its own
    mean (least squares, one mean per arm), with Student's t; None where too few are left to tell."""
    used = [one for one in trials if one.counts and one.value is not None and one.value > 0]
    arms = sorted({one.arm for one in used})
    free = len(used) - len(arms) - 1
    if free < LEAST_FREE:
        return None
    of = np.array([arms.index(one.arm) for one in used])
    at = _about_means(np.array([float(one.order) for one in used]), of)
    value = _about_means(np.array([math.log(one.value or 1.0) for one in used]), of)
    spread = float((at**2).sum())
    if not spread > 0:
        return None
    slope = float((at * value).sum()) / spread
    left = float(((value - slope * at) ** 2).sum())
    half = quantile(CONFIDENCE, free + 1) * math.sqrt(left / free / spread)
    return Drift(math.exp(slope), math.exp(slope - half), math.exp(slope + half), len(used))


def _about_means(values: Any, of: Any) -> Any:
    return values - (np.bincount(of, values) / np.bincount(of))[of]
