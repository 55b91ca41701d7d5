"""Judges the trial of a rehearsal: whether its fault turned what it had to turn, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from analysis.readers.faults import Stretch
from loadproof.plan.faults import Fault
from loadproof.runfolder.paths import RunFolder

TURNED = ("INVALID", "UNKNOWN")
CALM = ("VALID", "NOT ASKED")
ATTRIBUTION = "attribution"  # beside the checks, what failed requests are put down to
# of requests that our own stop cut off there is nothing to explain
ALWAYS = ("client/own",)


@dataclass(frozen=True)
class Finding:
    """One line of a rehearsal: a check, what it had to say, what it said, and its sentence."""

    fault: str
    check: str
    expected: str
    found: str
    said: str
    ok: bool


def findings(fault: Fault | None, results: Mapping[str, Any]) -> list[Finding]:
    """What a trial's checks say, against what its fault has to turn (None: the clean trial, in which nothing may).

    Of those that need not turn only the ones that did are listed. Checks that withhold some figures speak of the
    outcome, of which a trial of seconds has little: they count only where they have to turn.
    """
    name = fault.name if fault else "clean"
    checks = {check["name"]: check for arm in results["arms"] for check in _checks(arm)}
    must = dict(fault.turns) if fault else {}
    found = []
    for check, expected in must.items():
        verdict, said = _verdict(checks.get(check))
        found.append(Finding(name, check, expected, verdict, said, verdict == expected))
    for check, value in checks.items():
        verdict, said = _verdict(value)
        if check in must or verdict in CALM or value.get("withholds") != "trial":
            continue
        allowed = fault is not None and check in fault.may_turn
        found.append(Finding(name, check, "may turn" if allowed else "VALID", verdict, said, allowed))
    if not checks:
        found.append(Finding(name, "all", "judged", "not judged", "results.json holds no checks", False))
    elif not must:
        turned = [one for one in found if not one.ok]
        verdict = "INVALID" if turned else "VALID"
        found.insert(0, Finding(name, "all", "VALID", verdict, f"{len(checks)} checks", not turned))
    return found


def _checks(arm: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    return [check for trial in arm["trials"] for check in trial.get("checks", ())]


def _verdict(check: Mapping[str, Any] | None) -> tuple[str, str]:
    return ("no such check", "") if check is None else (str(check["verdict"]), str(check.get("said") or ""))


def attributed(fault: Fault, journeys: Path, stretches: Sequence[Stretch]) -> Finding | None:
    """Whether every request that began and failed while the fault lasted is put down to what the fault does.

    `journeys` has one row per request: start_us, end_us, layer, reason (null or empty for those that did not fail).
    None where the fault makes none fail, or nobody has made that table.
    """
    if not fault.expects or not journeys.exists():
        return None
    table = pq.read_table(journeys, columns=["start_us", "layer", "reason"])
    start = table["start_us"].to_numpy()
    meanwhile = np.zeros(len(start), dtype=bool)
    for one in stretches:
        last = one.to_us if one.to_us is not None else np.iinfo(np.int64).max
        meanwhile |= (start >= one.from_us) & (start <= last)
    counts: dict[str, int] = {}
    rows = table.filter(meanwhile).select(["layer", "reason"]).to_pylist()
    for row in rows:
        if row["reason"]:
            name = f"{row['layer'] or '-'}/{row['reason']}"
            counts[name] = counts.get(name, 0) + 1
    patterns = (*fault.expects, *ALWAYS)
    wrong = {name: n for name, n in counts.items() if not any(fnmatchcase(name, one) for one in patterns)}
    said = ", ".join(f"{n} {name}" for name, n in sorted(counts.items(), key=lambda pair: -pair[1]))
    found = f"{sum(wrong.values())} of {sum(counts.values())} elsewhere" if wrong else "right"
    return Finding(fault.name, ATTRIBUTION, " ".join(fault.expects), found, said or "none failed", not wrong)


def journeys_of(folder: RunFolder) -> Path:
    """Where the journeys of a rehearsal's only trial are."""
    return folder.table("journeys", folder.trials[0].name)
