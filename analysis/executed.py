"""The trials of a run as the page and its chart have them, in the order in which they were run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import about, answer, order
from analysis.order import Drift, Ran
from analysis.results import Judgement
from analysis.series import TRIALS
from analysis.words import NONE, number, visible
from loadproof.plan import blocks


def listed(judgement: Judgement) -> dict[str, Any]:
    """ "trials": one row each; "primary": name of the figure in them; "drifted": a sentence on its drift, or empty."""
    found = order.ran(judgement)
    plans = {(one.run.id, one.judged.plan.id): one.judged.plan for one in judgement.members}
    several = len(judgement.sources) > 1
    return {
        "primary": named(judgement),
        "drifted": ""
        if several
        else _said(
            order.drift(found),
            answer.name(judgement.results["primary"]),
            _of_ratios(judgement.results, found),
        ),
        "trials": [
            {
                "order": str(one.order),
                "id": f"{one.run} {one.id}" if several else one.id,
                "began": f"{one.began:%H:%M:%S}" if one.began else NONE,
                "arm": one.arm,
                "block": str(one.block),
                "because": one.because,
                "verdict": one.verdict,
                "value": _value(one, judgement.results["primary"]),
                "of_arm": NONE if one.of_arm is None else f"{100 * (one.of_arm - 1):+.1f}",
                "broken": "; ".join(one.broken),
                "made": about.trial(plans[one.run, one.id]),
            }
            for one in found
        ],
    }


def named(judgement: Judgement) -> str:
    """The primary figure with its unit."""
    metric = judgement.results["primary"]
    return answer.name(metric) + ("" if metric in answer.UNITS else ", ms")


def frame(judgement: Judgement) -> Any:
    """The same for the chart; shape of `Series.trials`."""
    rows = [
        (
            one.order, visible(one.id), visible(one.arm), one.block,
            f"{one.began:%H:%M:%S} UTC" if one.began else NONE, one.verdict, one.value,
        )
        for one in order.ran(judgement)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=TRIALS)


def _value(one: Ran, metric: str) -> str:
    if one.why:
        return f"{NONE} ({one.why})"
    return number(one.value, answer.DIGITS.get(metric, 1))


def _of_ratios(results: Mapping[str, Any], found: Sequence[Ran]) -> str:
    """What a drift is to the ratios of a run; empty where arms are not compared: one alone, or loads of a search."""
    if not results["comparisons"]:
        return ""
    arms, every = {arm["label"] for arm in results["arms"]}, {one.block for one in found}
    whole = [at for at in every if arms == {one.arm for one in found if one.counts and one.block == at}]
    if len(whole) < len(every):  # which ones are left is chance
        odd = f"only {len(whole)} of {len(every)} blocks count for every arm, and these need not be balanced against it"
    elif blocks.balanced(len(arms), len(every)):
        return "; blocks are balanced against it"
    else:
        plural = "block" if len(every) == 1 else "blocks"
        odd = f"{len(every)} {plural} of {len(arms)} arms are not balanced against it; take a multiple of {len(arms)}"
    return f", and it may be in the ratios: {odd}"


def _said(found: Drift | None, name: str, of_ratios: str) -> str:
    if found is None:
        return ""
    change, low, high = (100 * (one - 1) for one in (found.per_trial, found.low, found.high))
    verdict = "none that can be told from chance" if low <= 0 <= high else f"more than chance{of_ratios}"
    return (
        f"Drift: from one trial to the next {name} changed by {change:+.2f} % (95 % interval {low:+.2f} to {high:+.2f} %, "
        f"{found.n} trials, arms apart): {verdict}."
    )


def that_count(judgement: Judgement) -> Sequence[tuple[str, str, str]]:
    """(arm, run, trial) of what curves are drawn of: of an arm with VALID trials these, else all that it has."""
    found = []
    ran = order.ran(judgement)
    for arm in judgement.results["arms"]:
        mine = {(one.run, one.id): one.counts for one in ran if one.arm == arm["label"]}
        keep = [key for key, counts in mine.items() if counts] or list(mine)
        found += [
            (arm["label"], one["run"], one["id"]) for one in arm["trials"] if (one["run"], one["id"]) in keep
        ]
    return found
