"""`inv variance`: the spread of recorded trials, as a value; from their tables, which are not changed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from analysis import joined, variance
from analysis.measures.window import Window
from analysis.results import Judgement
from analysis.trial import Judged
from analysis.variance import Components, Trial

FIGURES = ("tps", "mtt_ms")
FEW = 10  # degrees of freedom; below them the numbers in brackets are what can be said
ROUGH = "; a rough guess of few trials: its limits say how rough"
AROUND_LOAD_S = 12.0  # of a trial: reset, warm-up, start of Locust, drain, seal, fetch


def told(judgements: Sequence[Judgement]) -> dict[str, Any]:
    """{"runs", "figures": one entry per figure and length of hold, "missing": why there are not more of them}."""
    figures: list[dict[str, Any]] = []
    missing: list[str] = []
    for name in FIGURES:
        for hold_s, trials in variance.holds(of(judgements, name)).items():
            found = variance.components(trials)
            if found is None:
                missing.append(
                    f"{name}, hold {hold_s:g} s: {len(trials)} VALID trials, in too few blocks to tell their spread"
                )
            else:
                figures.append(_figure(name, hold_s, trials, found))
    if not figures and not missing:
        missing.append("no VALID trial has figures")
    return {"runs": [one.folder.id for one in judgements], "figures": figures, "missing": missing}


def of(judgements: Sequence[Judgement], figure: str) -> Iterator[Trial]:
    """What every VALID trial that counts says of a figure; calibrations measure something else."""
    for judgement in judgements:
        judged = {(one.run.id, one.judged.plan.id): one.judged for one in judgement.members}
        for arm in judgement.results["arms"]:
            for one in joined.counted(arm["trials"]):
                made = judged[one["run"], one["id"]]
                if one["verdict"] == "VALID" and made.hold is not None and one[figure]:
                    yield _trial(one, arm["label"], made, made.hold, figure)


def _trial(one: Mapping[str, Any], label: str, made: Judged, hold: Window, figure: str) -> Trial:
    begin, end = math.ceil(hold.from_s), int(hold.to_s)
    line, load = made.timeline, made.plan.load
    totals, weights = (
        (line.ended[begin:end], np.ones(end - begin))
        if figure == "tps"
        else (line.taken_us[begin:end], line.began[begin:end])
    )
    inner = variance.within(totals.astype(np.float64), weights.astype(np.float64))
    around = load.end_s - load.hold_s + AROUND_LOAD_S
    return Trial(one["run"], label, one["block"], int(one["id"]), hold.length_s, around, one[figure], inner)


def _figure(name: str, hold_s: float, trials: Sequence[Trial], found: Components) -> dict[str, Any]:
    around = sum(one.around_s for one in trials) / len(trials)
    low, high = found.limits()
    proposals = []
    for length in sorted({*variance.HOLDS_S, hold_s}):
        noises = [at for factor in (1.0, low, high) if (at := found.at(length / hold_s, factor)) is not None]
        if noises:
            proposals.append(_proposal(length, around, noises))
    return {
        "figure": name,
        "hold_s": hold_s,
        "around_s": around,
        "trials": len(trials),
        "arms": list(_arms(trials)),
        **{
            f"{part}_percent": percent(getattr(found, part))
            for part in ("within", "launches", "blocks", "noise")
        },
        "noise_low_percent": percent(found.noise * low),
        "noise_high_percent": percent(found.noise * high),
        "freedom": found.freedom,
        "proposals": proposals,
        "sentence": _sentence(name, hold_s, proposals) + (ROUGH if found.freedom < FEW else ""),
    }


def _arms(trials: Sequence[Trial]) -> Iterator[dict[str, Any]]:
    """Each arm of each run by itself: its spread from trial to trial, whatever that comes from."""
    for key in dict.fromkeys((one.run, one.arm) for one in trials):
        mine = [one for one in trials if (one.run, one.arm) == key]
        logs = np.log([one.value for one in mine])
        inner = [one.within for one in mine if one.within is not None]
        yield {
            "run": key[0],
            "arm": key[1],
            "trials": len(mine),
            "value": float(np.exp(logs.mean())),
            "within_percent": percent(sum(inner) / len(inner)) if inner else None,
            "between_percent": percent(float(logs.var(ddof=1))) if len(mine) > 1 else None,
        }


def _proposal(hold_s: float, around_s: float, noises: Sequence[float]) -> dict[str, Any]:
    """What trials with such a hold cost and see; `noises`: as found, and at the limits of that."""
    seen = []
    for difference in variance.SEEN:
        count, low, high = (variance.pairs(noise, difference) for noise in noises)
        minutes = None if count is None else 2 * count * (hold_s + around_s) / 60
        seen.append(
            {"percent": 100 * difference, "pairs": count, "low": low, "high": high, "minutes": minutes}
        )
    return {"hold_s": hold_s, "noise_percent": percent(noises[0]), "sees": seen}


def _sentence(name: str, hold_s: float, proposals: Sequence[Mapping[str, Any]]) -> str:
    """Which hold and how many pairs see 10 % in the least time, and what twice the hold would gain."""
    costs = [(one["sees"][1]["minutes"], one) for one in proposals if one["sees"][1]["minutes"] is not None]
    if not costs:
        return f"{name}: no number of pairs sees 10 %"
    minutes, best = min(costs, key=lambda pair: float(pair[0]))
    text = f"{name}: 10 % are seen soonest with a hold of {best['hold_s']:g} s and {best['sees'][1]['pairs']} pairs, about {max(1, round(minutes))} minutes"
    now = next(one for one in proposals if one["hold_s"] == hold_s)
    longer = [one for one in proposals if one["hold_s"] > hold_s]
    if not longer:
        return text
    most = longer[-1]
    return (
        f"{text}; a hold of {most['hold_s']:g} s in place of {hold_s:g} s takes the noise of a trial from"
        f" {now['noise_percent']:.1f} to {most['noise_percent']:.1f} %"
    )


def percent(value: float | None) -> float | None:
    """A variance of logarithms as a coefficient of variation, in %."""
    return None if value is None else 100 * math.sqrt(value)
