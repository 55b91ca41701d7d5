"""The answer of a run as a person reads it: the primary ratio in large, and every figure of each pair of arms beside its
ratio and interval. Values of results.json only, for the page and for the card that is shared."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis import compare, joined
from analysis.sentences import NAMES
from analysis.statistics import PRACTICAL, geometric
from analysis.words import NONE, THIN, number
from loadproof.runfolder import shown

Arm = Mapping[str, Any]
BASES = {"as run": "as run", "equal cpu": "at equal CPU"}
# all others are ms
UNITS = {"tps": "per second", "failed_share": "of all", "efficiency": "per CPU-second", "knee": "users"}
DIGITS = {"tps": 2, "failed_share": 4, "efficiency": 2, "knee": 0}
UNDECIDED = ("not decided", "one trial")  # how the words of what decides nothing begin
LEFT, RIGHT, MIDDLE = 4.0, 156.0, 8.0  # of the drawing of an interval, 160 x 16


def leads(results: Mapping[str, Any]) -> list[dict[str, str]]:
    """One per pair of arms: the primary figure's ratio, and what it is worth; of a single arm the figure itself; of a search
    for a capacity that. Empty where there is none. "open" where it decides nothing: it is not to look like an answer."""
    return [one | {"open": "open" if one["words"].startswith(UNDECIDED) else ""} for one in _leads(results)]


def _leads(results: Mapping[str, Any]) -> list[dict[str, str]]:
    arms = results["arms"]
    if searched := results.get("capacity"):
        return [_largest(searched)]
    if len(arms) == 1:
        return [_figure(arms[0], results["primary"])]
    by_label = {arm["label"]: arm for arm in arms}
    return [_lead(one) | {"arms": _both(one, by_label)} for one in results["comparisons"] if one["primary"]]


def _both(one: Mapping[str, Any], arms: Mapping[str, Arm]) -> str:
    """The figure of both arms; empty where one of them has none."""
    labels = (one["numerator"], one["denominator"])
    values = [value(arms[label], one["metric"]) for label in labels if label in arms]
    if len(values) < 2 or any(text.startswith(NONE) for text in values):
        return ""
    said = " · ".join(f"{label} {text}" for label, text in zip(labels, values, strict=True))
    return f"{name(one['metric'])}, {UNITS.get(one['metric'], 'ms')}: {said}"


def _largest(searched: Mapping[str, Any]) -> dict[str, str]:
    """The largest load that was shown to hold."""
    level, most = searched[searched["load"]], "at least " if searched["kind"] == "at least" else ""
    return {
        "ratio": "" if level is None else f"{most}{number(level)}{THIN}{searched['load']}",
        "what": "Capacity",
        "interval": "",
        "words": searched["answer"],
        "arms": "",
    }


def _figure(arm: Arm, metric: str) -> dict[str, str]:
    """A figure of the only arm, where its conditions held: there is nothing to compare it with."""
    what, trials = f"{name(metric)} of {arm['label']}", shown.held(arm)
    if arm["verdict"] != "VALID":
        said = "did not hold" if arm["verdict"] == "INVALID" else "are not known to have held"
        return {
            "ratio": "",
            "what": what,
            "interval": "",
            "words": f"no answer: its conditions {said}",
            "arms": "",
        }
    return {
        "ratio": value(arm, metric),
        "what": f"{what}, {UNITS.get(metric, 'ms')}",
        "interval": "",
        "arms": "",
        "words": "one trial, nothing to compare it with: an anecdote"
        if trials == 1
        else f"over {trials} trials, nothing to compare it with",
    }


def _lead(one: Mapping[str, Any]) -> dict[str, str]:
    what = f"{name(one['metric'])} of {one['numerator']} over {one['denominator']}"
    if one["ratio"] is None:
        return {"ratio": "", "what": what, "interval": "", "words": one["words"]}
    if one["n"] == 1 and one["all_trials"]["n"] <= 1:
        said = "one trial of each: an anecdote, no interval"
        return {"ratio": f"{one['ratio']:.2f}{THIN}×", "what": what, "interval": "", "words": said}
    pairs = f"{one['n']} {'pair' if one['n'] == 1 else 'pairs'}"
    return {
        "ratio": f"{one['ratio']:.2f}{THIN}×",
        "what": what,
        "interval": f"no interval, {pairs}"
        if one["low"] is None
        else f"{percent(one)} interval {interval(one)}, {pairs}",
        "words": one["words"],
    }


def pairs(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Of each pair of arms a table: one row per figure with the value of both, their ratio, interval and number of pairs.
    Each drawing of an interval has the scale of its table."""
    arms = {arm["label"]: arm for arm in results["arms"]}
    found: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for one in results["comparisons"]:
        found.setdefault((one["numerator"], one["denominator"]), []).append(one)
    made = []
    for (above, below), some in found.items():
        scale = most(some)
        made.append(
            {
                "above": above,
                "below": below,
                "rows": [_row(one, arms[above], arms[below], scale) for one in some],
            }
        )
    return made


def _row(one: Mapping[str, Any], above: Arm, below: Arm, scale: float) -> dict[str, Any]:
    every = one["all_trials"]
    other = (
        every["n"] and one["ratio"] is not None and (every["ratio"], every["n"]) != (one["ratio"], one["n"])
    )
    return {
        "primary": one["primary"],
        "name": name(one["metric"]),
        "unit": UNITS.get(one["metric"], "ms"),
        "basis": BASES.get(one["basis"], one["basis"]),
        "values": [value(arm, one["metric"], one["basis"]) for arm in (above, below)],
        "ratio": number(one["ratio"], 3),
        "interval": NONE if one["low"] is None else interval(one, 3),
        "confidence": "" if one["low"] is None else percent(one),
        "drawn": drawn(one, scale),
        "n": number(one["n"]),
        "words": one["words"],
        "every": f"{every['ratio']:.3f} over {every['n']} pairs with the trials that were withheld"
        if other
        else "",
    }


def name(metric: str) -> str:
    """A figure's name."""
    return {"efficiency": "Efficiency"}.get(metric) or NAMES.get(metric, metric)


def value(arm: Arm, metric: str, basis: str = compare.AS_RUN) -> str:
    """A figure of an arm; of several trials the geometric mean of those that count, as `figures` has it."""
    if metric != "failed_share" and (why := shown.withheld(arm, metric)):
        return f"{NONE} ({why})"
    found: float | None
    if metric == compare.KNEE:
        return number(arm["knee"]["users"], DIGITS[metric]) if arm.get("knee") else NONE
    if basis == compare.EQUAL_CPU:
        values = [compare.figure(one, metric, basis) for one in joined.trusted(arm["trials"])]
        found = (
            None if not values or None in values else geometric([one for one in values if one is not None])
        )
    else:
        found = compare.figure(arm, metric)
    return number(found, DIGITS.get(metric, 1))


def interval(one: Mapping[str, Any], digits: int = 2) -> str:
    """ "1.88 – 2.05"."""
    return shown.between(one["low"], one["high"], digits, f"{THIN}–{THIN}")


def percent(one: Mapping[str, Any]) -> str:
    """The confidence of an interval."""
    return f"{100 * one['confidence']:.4g}{THIN}%"


def most(some: Sequence[Mapping[str, Any]]) -> float:
    """How far the drawings of a table go from 1, in logarithms: to the farthest end of any interval."""
    ends = [
        one[key] for one in some for key in ("ratio", "low", "high") if one[key] is not None and one[key] > 0
    ]
    return max([abs(math.log(end)) for end in ends] + [2 * math.log1p(PRACTICAL)]) * 1.05


def drawn(
    one: Mapping[str, Any], scale: float, left: float = LEFT, right: float = RIGHT
) -> dict[str, float] | None:
    """Where the parts of an interval lie on a line from `left` to `right`, logarithmic, 1 in its middle: the ratio, both
    ends, and the 5 % about 1 that are of no practical use; None without a ratio."""
    if one["ratio"] is None or not one["ratio"] > 0:
        return None

    def at(ratio: float) -> float:
        place = (left + right) / 2 + math.log(ratio) / scale * (right - left) / 2
        return round(min(right, max(left, place)), 1)

    low, high = (
        one[key] if one[key] is not None and one[key] > 0 else one["ratio"] for key in ("low", "high")
    )
    near = (at(1 / (1 + PRACTICAL)), at(1 + PRACTICAL))
    return {
        "at": at(one["ratio"]),
        "low": at(low),
        "high": at(high),
        "one": at(1.0),
        "near": near[0],
        "near_width": round(near[1] - near[0], 1),
    }
