"""Checks as results.json has them: of a trial, of an arm, of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any

from analysis import checks
from analysis.checks import Check
from analysis.joined import measured

Said = Mapping[str, Any]


def of_trial(found: Iterable[Check]) -> dict[str, Any]:
    """ "verdict" and "checks" of one trial."""
    listed = tuple(found)
    return {"verdict": checks.verdict(listed), "checks": [as_json(one) for one in listed]}


def broken(found: Iterable[Check]) -> str:
    """Which conditions of a trial did not hold, in words; empty: none is INVALID."""
    turned = [one for one in found if one.verdict == "INVALID" and one.withholds == checks.TRIAL]
    return f"{', '.join(one.name for one in turned)} ({turned[0].said})" if turned else ""


def as_json(check: Check) -> dict[str, Any]:
    """One check as results.json has it."""
    withholds = check.withholds if isinstance(check.withholds, str) else list(check.withholds)
    return asdict(check) | {"withholds": withholds}


def joined(parts: Sequence[tuple[str, Said]]) -> dict[str, Any]:
    """ "verdict" and "checks" of several (label, what has both): the worst of each. A run is VALID when every trial is."""
    if len(parts) == 1:
        return {"verdict": parts[0][1]["verdict"], "checks": parts[0][1]["checks"]}
    by_name: dict[str, list[tuple[str, Said]]] = {}
    for label, part in parts:
        for check in part["checks"]:
            by_name.setdefault(check["name"], []).append((label, check))
    return {
        "verdict": checks.worst(part["verdict"] for _, part in parts),
        "checks": [_worst(found) for found in by_name.values()],
    }


MOST_WITHHELD = 0.2  # of all trials: with more of them the others are what was left over
BLOCKS = "blocks_complete"  # the one check of a run that none of its trials has
GO_ON = "go on with a run that was left (./inv experiment --resume RUN); what was lost has to be run anew"
ANEW = "see to what withheld its trials, and run it anew"
NO_PLANS: Mapping[str, tuple[int, int]] = MappingProxyType({})


def of_run(arms: Sequence[Said], planned: Mapping[str, tuple[int, int]] = NO_PLANS) -> dict[str, Any]:
    """ "verdict" and "checks" of a run, or of several side by side: the worst of their arms, and for each run whether its
    blocks are complete. `planned`: by run how many arms and blocks its experiment has, where that is known.

    A run is VALID when every planned block has a VALID trial of each arm (one that was repeated counts by its repeat),
    and at most 20 % of its trials were withheld, where it has several blocks."""
    found = joined([(arm["label"], arm) for arm in arms])
    runs: dict[str, list[Said]] = {}
    for arm in arms:
        runs.setdefault(arm["trials"][0]["run"], []).append(arm)
    made = [
        (run, one) for run, group in runs.items() if (one := _blocks(group, planned.get(run))) is not None
    ]
    if not made:
        return found
    own = made[0][1] if len(made) == 1 else _worst(made)
    return {
        "verdict": checks.worst([found["verdict"], own["verdict"]]),
        "checks": [*found["checks"], own],
    }


def _blocks(arms: Sequence[Said], planned: tuple[int, int] | None) -> dict[str, Any] | None:
    """Whether the blocks of one run are complete, as a check; None for a run of one trial, and for one of which nobody
    knows what was planned, unless too many of its trials were withheld."""
    trials = [one for arm in arms for one in arm["trials"]]
    here = len({one["block"] for one in trials})
    of_arms, blocks = planned or (len(arms), here)
    there = sum(len({one["block"] for one in arm["trials"]}) for arm in arms)
    missing = max(0, of_arms * blocks - there) if planned else 0
    whole = [one for arm in arms for one in measured(arm["trials"])]
    withheld = sum(one["verdict"] == "INVALID" for one in whole)
    told = f"{withheld} of {len(whole)} trials {'was' if withheld == 1 else 'were'} withheld"
    if cut := len(trials) - len(whole):
        told += f"; {cut} more {'was' if cut == 1 else 'were'} ended before the load was over, and run again"
    if blocks > 1 and withheld > MOST_WITHHELD * (len(whole) + missing):
        return _said("INVALID", 100 * withheld / len(whole), 100 * MOST_WITHHELD, "%", told, ANEW)
    if planned is None or of_arms * blocks < 2:
        return None
    if missing:
        lacking = f"{missing} of {of_arms * blocks} planned trials {'is' if missing == 1 else 'are'} not here"
        return _said("UNKNOWN", there, of_arms * blocks, "trials", f"{lacking}; {told}", GO_ON)
    valid = [{one["block"] for one in arm["trials"] if one["verdict"] == "VALID"} for arm in arms]
    complete = len(set.intersection(*valid))
    verdict = "VALID" if complete >= blocks else checks.worst(arm["verdict"] for arm in arms)
    told = f"{complete} of {blocks} blocks are complete; {told}"
    # what a trial broke says so by itself, and is what the verdict comes from
    return {**_said(verdict, complete, blocks, "blocks", told, ANEW), "withholds": ""}


def _said(verdict: str, value: float, limit: float, unit: str, said: str, remedy: str) -> dict[str, Any]:
    return {
        "name": BLOCKS, "verdict": verdict, "value": value, "limit": limit, "unit": unit, "withholds": checks.TRIAL,
        "remedy": remedy, "said": said,
    }  # fmt: skip


def _worst(found: Sequence[tuple[str, Said]]) -> dict[str, Any]:
    """One check of several trials: the worst verdict, said of each trial that has it, with the first one's value."""
    worst = checks.worst(check["verdict"] for _, check in found)
    same = [(label, check) for label, check in found if check["verdict"] == worst]
    withheld = [check["withholds"] for _, check in same if check["withholds"]]
    figures = dict.fromkeys(name for names in withheld if isinstance(names, list) for name in names)
    said = "; ".join(f"{label}: {check['said']}" for label, check in same)
    return {
        **same[0][1],
        "withholds": "trial" if "trial" in withheld else list(figures) or "",
        "said": same[0][1]["said"] if worst == "NOT ASKED" else said,
    }
