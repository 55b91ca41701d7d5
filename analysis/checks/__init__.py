"""Conditions of a trial: one file per check, found by its name. A check module has

ASKS        one sentence: what it asks
WITHHOLDS   "trial" (a condition that broke spoils everything) or names of figures of results.json
REMEDY      one sentence: what to do where it broke
applies(plan) -> bool         False: NOT ASKED, what is planned excludes it
NOT_ASKED   where there is one, why it is not asked then: one sentence
judge(evidence) -> Measured   UNKNOWN only where it was asked and its evidence is missing

Conditions never look at what is being measured: a trial is not thrown away for what it found.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

Verdict = Literal["VALID", "INVALID", "UNKNOWN", "NOT ASKED"]
WORST: tuple[Verdict, ...] = ("INVALID", "UNKNOWN", "VALID", "NOT ASKED")
TRIAL = "trial"
MISSING = "see what is incomplete for the evidence that is missing; fetch again if hosts still have it, or repeat the trial"
NO_CHECKS = ("evidence",)  # files of this folder that are none


@dataclass(frozen=True)
class Measured:
    """What a check found: its verdict, one sentence for a person, the measured value and its limit. `withholds` names
    fewer figures than the check may withhold; None: all of them. `remedy`: where the check's own, or that for missing
    evidence, would not help."""

    verdict: Verdict
    said: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    withholds: tuple[str, ...] | None = None
    remedy: str = ""


@dataclass(frozen=True)
class Check:
    """One check of one trial, as results.json has it. `withholds`: "trial", names of figures, or "" for nothing."""

    name: str
    verdict: Verdict
    value: float | None
    limit: float | None
    unit: str
    withholds: str | tuple[str, ...]
    remedy: str
    said: str


class CheckModule(Protocol):
    """What a file of this folder holds."""

    ASKS: str
    WITHHOLDS: str | tuple[str, ...]
    REMEDY: str

    def applies(self, plan: TrialPlan) -> bool:
        """Whether a trial planned so can break it."""

    def judge(self, evidence: Evidence) -> Measured:
        """What was found."""


def valid(said: str, value: float | None = None, limit: float | None = None, unit: str = "") -> Measured:
    """It held."""
    return Measured("VALID", said, value, limit, unit)


def invalid(said: str, value: float | None = None, limit: float | None = None, unit: str = "") -> Measured:
    """It broke."""
    return Measured("INVALID", said, value, limit, unit)


def unknown(said: str, value: float | None = None, limit: float | None = None, unit: str = "") -> Measured:
    """It was asked, and its evidence is missing."""
    return Measured("UNKNOWN", said, value, limit, unit)


def together(found: Sequence[Measured], least: bool = False) -> Measured:
    """What hosts (or workers) say as one: the worst verdict, what those say who have it, and the greatest value among
    them (`least`: the smallest)."""
    worst = min((WORST.index(one.verdict) for one in found), default=WORST.index("UNKNOWN"))
    same = [one for one in found if WORST.index(one.verdict) == worst]
    if not same:
        return unknown("there is nothing to ask")
    known = [one for one in same if one.value is not None]
    at = (min if least else max)(known, key=lambda one: one.value or 0.0) if known else same[0]
    return replace(at, said="; ".join(_grouped(one.said for one in same)))


def _grouped(said: Iterable[str]) -> list[str]:
    """`host: what`, where several hosts say the same, as `host, host: what`."""
    by_what: dict[str, list[str]] = {}
    for one in said:
        who, colon, what = one.partition(": ")
        hosts = by_what.setdefault(colon + what if colon else one, [])
        if colon and who not in hosts:
            hosts.append(who)
    return [", ".join(hosts) + what for what, hosts in by_what.items()]


def names() -> tuple[str, ...]:
    """Every check there is, sorted."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if not name.startswith("_") and name not in NO_CHECKS))


def load(name: str) -> Any:
    """The module of a check."""
    return importlib.import_module(f"{__name__}.{name}")


def judge_all(evidence: Evidence) -> tuple[Check, ...]:
    """Every check of one trial, in order of name."""
    return tuple(_judge(name, load(name), evidence) for name in names())


def _judge(name: str, module: CheckModule, evidence: Evidence) -> Check:
    if not module.applies(evidence.plan):
        why = getattr(module, "NOT_ASKED", "what is planned leaves nothing to ask")
        return Check(name, "NOT ASKED", None, None, "", "", module.REMEDY, why)
    one = module.judge(evidence)
    withheld = module.WITHHOLDS if one.withholds is None else one.withholds
    withholds = "" if one.verdict == "VALID" else withheld
    remedy = one.remedy or (MISSING if one.verdict == "UNKNOWN" else module.REMEDY)
    return Check(name, one.verdict, one.value, one.limit, one.unit, withholds, remedy, one.said)


def verdict(checks: Iterable[Check]) -> Verdict:
    """The worst of the conditions: INVALID, then UNKNOWN, then VALID. What withholds only figures, and what was not
    asked, is no part of it."""
    found = [one.verdict for one in checks if one.withholds == TRIAL]
    return worst(found) if found else "VALID"


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The worst of several verdicts; UNKNOWN for none."""
    return min(verdicts, key=WORST.index, default="UNKNOWN")
