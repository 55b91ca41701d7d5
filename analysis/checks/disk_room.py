"""Had what is written a place to go?"""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
from pyarrow import compute

from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.measures.columns import is_text
from analysis.readers import lines
from loadproof.plan.actions import hosts_of
from loadproof.plan.values import TrialPlan

ASKS = "had every host room for what it had to write down?"
WITHHOLDS = "trial"
REMEDY = "free the disk that holds /var/lib/loadproof on that host; inv doctor says how much there is; then repeat the trial"

# The files of rows grow by 1 MiB at a time, nginx writes 64 KiB at a time: with this much nobody had to wait or lose.
LEAST_MB = 8.0
LOGS = {
    "error.log": (b"was incomplete: ", b"(28: No space left on device)"),
    "sample.jsonl": (
        b'{"kind":"lost"',
    ),  # of the time in which there was no room there are no samples either
    "app.log": (b"witness stopped:", b"No space left on device"),
}


def applies(plan: TrialPlan) -> bool:
    """Every trial writes."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the least room on any host in MB; also what nginx, apps and samplers say of writes that failed."""
    plan = evidence.plan
    measured = [host for host in hosts_of(plan) if host not in plan.idle_apps]
    found = together([_host(evidence, host) for host in measured], least=True)
    if found.verdict == "VALID" and found.value is not None:
        return valid(f"at least {found.value:,.0f} MB free on every host", found.value, LEAST_MB, "MB")
    return found


def _host(evidence: Evidence, host: str) -> Measured:
    said = next(_complaints(evidence, host), "")
    free = _free_mb(evidence, host)
    if said:
        return invalid(f"{host}: {said}", free, LEAST_MB, "MB")
    if free is None:
        return unknown(f"{host}: how much room it had is unknown", limit=LEAST_MB, unit="MB")
    text = f"{host}: {free:.1f} MB free at least"
    return (valid if free >= LEAST_MB else invalid)(text, free, LEAST_MB, "MB")


def _free_mb(evidence: Evidence, host: str) -> float | None:
    """The least room in all its samples: it may have run out before the window, and no clock matters."""
    table = evidence.tables.cpu
    if host not in evidence.tables.present["cpu"]:
        return None
    mine = table["disk_free_kb"].filter(pa.array(is_text(table, "host", host)))
    least = compute.min(mine).as_py()
    return None if least is None else float(least / 1024)


def _complaints(evidence: Evidence, host: str) -> Iterator[str]:
    """What those who write say of writes that failed."""
    for name, words in LOGS.items():
        path = evidence.paths.raw(host) / name
        try:
            for piece in lines.pieces(path, lines.Malformed()):
                for word in words:
                    if word in piece:
                        yield f"{name} tells of writes that failed"
        except OSError:
            continue  # an error.log that is not here says nothing; missing files are for rows_complete
