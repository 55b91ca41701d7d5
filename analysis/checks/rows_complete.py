"""Are the rows of clients and apps here, to the last one? Lines of nginx have no numbers: those that are lost show in the
ledger of requests."""

from __future__ import annotations

from collections.abc import Iterator

from analysis.checks import Measured, invalid, unknown, valid
from analysis.checks.evidence import Evidence
from loadproof.plan.values import TrialPlan

ASKS = "are the rows of every Locust worker and of every app here, to the last one?"
WITHHOLDS = "trial"
REMEDY = (
    "fetch again, if the hosts still have them; else see the list of what is incomplete, and repeat the trial"
)


def applies(plan: TrialPlan) -> bool:
    """Every trial has witnesses."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is how many files of rows are missing or not whole. One that is not here is evidence missing; one that
    is here and lacks rows has lost them."""
    spoiled, absent = list(_spoiled(evidence)), list(_absent(evidence))
    if spoiled:
        said = f"rows are missing: {', '.join(spoiled)}"
        return invalid(said, float(len(spoiled) + len(absent)), 0.0, "files")
    if absent:
        return unknown(f"not here: {', '.join(absent)}", float(len(absent)), 0.0, "files")
    return valid("every row is here", 0.0, 0.0, "files")


def _absent(evidence: Evidence) -> Iterator[str]:
    paths, plan = evidence.paths, evidence.plan
    for host, number in plan.workers:
        if not (paths.raw(host) / f"requests-{number}.rows").exists():
            yield f"Locust worker {number} on {host}"
    for host in plan.apps:
        if not any(paths.raw(host).glob("app-*.rows")):
            yield f"the app on {host}"


def _spoiled(evidence: Evidence) -> Iterator[str]:
    plan, present = evidence.plan, evidence.tables.present
    absent = set(_absent(evidence))
    found = [
        *(
            (f"Locust worker {number} on {host}", str(number) in present["workers"])
            for host, number in plan.workers
        ),
        *((f"the app on {host}", host in present["app"]) for host in plan.apps),
    ]
    for name, whole in found:
        if not whole and name not in absent:
            yield name
