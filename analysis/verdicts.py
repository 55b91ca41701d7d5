"""Checks as results.json has them: of a trial, of an arm, of a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis import checks
from analysis.checks import Check

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


def of_run(arms: Sequence[Said]) -> dict[str, Any]:
    """ "verdict" and "checks" of a run. Of one block: the worst of its trials. Of several: VALID when every block has a
    VALID trial of each arm (one that was repeated counts by its repeat), at most 20 % of the trials were withheld, and
    arms have equally many but for one; else the worst of those that count."""
    found = joined([(arm["label"], arm) for arm in arms])
    trials = [one for arm in arms for one in arm["trials"]]
    blocks = {one["block"] for one in trials}
    if len(blocks) < 2:
        return found
    valid = [{one["block"] for one in arm["trials"] if one["verdict"] == "VALID"} for arm in arms]
    withheld = sum(one["verdict"] == "INVALID" for one in trials)
    even = max(map(len, valid)) - min(map(len, valid)) <= 1
    if all(one == blocks for one in valid) and even:
        verdict = "VALID" if withheld <= MOST_WITHHELD * len(trials) else "INVALID"
        return {**found, "verdict": verdict}
    return found


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
