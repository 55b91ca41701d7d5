"""Judges the trial of a rehearsal: whether its fault turned what it had to turn, and nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from analysis.checks import quiet_hosts
from analysis.readers.faults import Stretch
from loadproof.plan.faults import Fault
from loadproof.runfolder.paths import RunFolder

CALM = ("VALID", "NOT ASKED")
ATTRIBUTION = "attribution"  # beside the checks, what failed requests are put down to
UNEXPLAINED = "unexplained"
ALL = "all"  # the line for all checks of a trial together
STOLEN = "(stolen)"  # expected of nobody: the machine below did it
QUIET = "quiet_hosts"  # the check that sees that
BY_THEFT = ("generator_lag",)  # what gets no CPU is late: a theft turns these too
NO_FAILURE = (None, "", "cut")  # what our own stop cut off has nothing to explain


@dataclass(frozen=True)
class Finding:
    """One line of a rehearsal: a check, what it had to say, what it said, and its sentence."""

    fault: str
    check: str
    expected: str
    found: str
    said: str
    ok: bool
    stolen: bool = False  # what turned the check is the machine below, which kept CPU for itself


def findings(fault: Fault | None, results: Mapping[str, Any]) -> list[Finding]:
    """What a trial's checks say, against what its fault has to turn (None: the clean trial, in which nothing may).

    Of those that need not turn only the ones that did are listed. Checks that withhold some figures speak of the
    outcome, of which a trial of seconds has little: they count only where they have to turn. What a theft by the machine
    below turned, or may have turned, is not the fault's.
    """
    name = fault.name if fault else "clean"
    checks = {check["name"]: check for arm in results["arms"] for check in _checks(arm)}
    must = dict(fault.turns) if fault else {}
    quiet = checks.get(QUIET)
    found = []
    for check, expected in must.items():
        verdict, said = _verdict(checks.get(check))
        stolen = quiet is not None and quiet_hosts.stolen(quiet, beside=check in BY_THEFT)
        if stolen and verdict == expected and check in (QUIET, *BY_THEFT):
            found.append(Finding(name, check, expected, STOLEN, said, False, True))
            continue
        words = fault.says.get(check, "") if fault else ""
        if verdict == expected and words not in said:
            found.append(Finding(name, check, expected, verdict, f"{said}; wanted: {words}", False))
        else:
            found.append(Finding(name, check, expected, verdict, said, verdict == expected))
    for check, value in checks.items():
        verdict, said = _verdict(value)
        if check in must or verdict in CALM or value.get("withholds") != "trial":
            continue
        allowed = fault is not None and check in fault.may_turn
        word, stolen = "may turn" if allowed else "VALID", quiet_hosts.stolen(value, beside=allowed)
        found.append(Finding(name, check, word, verdict, said, allowed and not stolen, stolen))
    if not checks:
        found.append(Finding(name, ALL, "judged", "not judged", "results.json holds no checks", False))
    elif not must:
        turned = [one for one in found if not one.ok]
        verdict = "INVALID" if turned else "VALID"
        found.insert(0, Finding(name, ALL, "VALID", verdict, f"{len(checks)} checks", not turned))
    return found


def disturbed(found: Sequence[Finding]) -> bool:
    """Whether the machine below the lab took so much CPU away that a check turned for it: what else turned, or did not,
    says nothing of the fault then."""
    return any(one.stolen and not one.ok for one in found)


def unplanned(found: Sequence[Finding]) -> list[Finding]:
    """The findings of a trial with a fault, where a theft by the machine below is what it is: one more fault, which nobody
    planned and which its check saw. It excuses nothing else, least of all what the fault had to turn; and a trial without a
    fault has to be VALID all the same."""
    if any(one.check == ALL for one in found):
        return list(found)
    excused = [one.stolen and not one.ok and one.found != STOLEN for one in found]
    return [
        replace(one, expected=STOLEN, ok=True) if yes else one
        for one, yes in zip(found, excused, strict=True)
    ]


def _checks(arm: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [check for trial in arm["trials"] for check in trial.get("checks", ())]


def _verdict(check: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("no such check", "") if check is None else (str(check["verdict"]), str(check.get("said") or ""))


def attributed(fault: Fault, journeys: Path, stretches: Sequence[Stretch]) -> Finding | None:
    """Whether every request that began and failed while the fault lasted is put down to what the fault does.

    `journeys` has one row per request: start_us, error, layer, reason (null for those that nobody can explain). None where
    the fault makes none fail, or nobody has made that table.
    """
    if not fault.expects or not journeys.exists():
        return None
    counts: Counter[str] = Counter()
    table = pq.read_table(journeys, columns=["start_us", "error", "layer", "reason"])
    for row in table.filter(_meanwhile(table["start_us"], stretches)).to_pylist():
        if row["error"] not in NO_FAILURE:
            counts[f"{row['layer']}/{row['reason']}" if row["reason"] else UNEXPLAINED] += 1
    wrong = {key: n for key, n in counts.items() if not any(fnmatchcase(key, one) for one in fault.expects)}
    said = ", ".join(f"{n} {key}" for key, n in counts.most_common())
    if wrong:
        said += f"; wanted: {' '.join(fault.expects)}"
    found = f"{sum(wrong.values())} of {counts.total()} wrong" if wrong else "right"
    return Finding(fault.name, ATTRIBUTION, "right", found, said or "no request failed", not wrong)


def _meanwhile(start_us: Any, stretches: Sequence[Stretch]) -> Any:
    """Which requests began in any of the stretches; one without a client has no beginning."""
    mask = pa.array([False] * len(start_us))
    for one in stretches:
        inside = compute.greater_equal(start_us, one.from_us)
        if one.to_us is not None:
            inside = compute.and_(inside, compute.less_equal(start_us, one.to_us))
        mask = compute.or_(mask, inside)
    return compute.fill_null(mask, False)


def journeys_of(folder: RunFolder) -> Path:
    """Where the journeys of a rehearsal's only trial are."""
    return folder.table("journeys", folder.trials[0].name)
