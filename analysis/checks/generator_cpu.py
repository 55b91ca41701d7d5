"""CPU of the Locust workers and of the hosts they share."""

from __future__ import annotations

import numpy as np

from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.measures import shares
from analysis.measures.columns import ints
from analysis.measures.window import Window
from analysis.readers.facts import whole
from loadproof.plan.values import TrialPlan

ASKS = "had every Locust worker, and every load host, CPU to spare in any 5 s of the window?"
WITHHOLDS = "trial"
REMEDY = "spread the users over more processes (--processes) or more load hosts; then repeat the trial"

SLIDE_US = 5_000_000
MOST = 90.0  # % of one CPU for a worker, of all its CPUs for a host: where Locust itself begins to warn
PERIOD_US = 1_500_000  # a worker's rows come every second; its first and last one in a window may be so far from its edge


def applies(plan: TrialPlan) -> bool:
    """Every trial has a generator."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the highest share in %: of one CPU by a worker, which is one thread; or of the CPUs of a load host by
    all workers there and the master, for several of them may share one CPU, none of which comes to 90 % then."""
    hold = evidence.window
    if hold is None:
        return unknown("there is no window", limit=MOST, unit="%")
    workers = [_worker(evidence, host, number, hold) for host, number in evidence.plan.workers]
    hosts = [_host(evidence, host, hold) for host in evidence.plan.loads]
    found = together([*workers, *hosts])
    if found.verdict == "VALID" and found.value is not None:
        said = f"at most {found.value:.0f} % of a CPU in any 5 s, workers and load hosts"
        return valid(said, found.value, MOST, "%")
    return found


def _worker(evidence: Evidence, host: str, number: int, hold: Window) -> Measured:
    table = evidence.tables.workers
    mine = ints(table, "worker") == number
    at, used = ints(table, "at_us")[mine], ints(table, "cpu_ns")[mine]
    order = np.argsort(at, kind="stable")
    at, used = at[order], used[order]
    begin, end = (int(at.min()), int(at.max())) if len(at) else (0, 0)
    name = f"{host}: Locust worker {number}"
    if len(at) < 2 or begin > hold.from_us + PERIOD_US or end < hold.to_us - PERIOD_US:
        return unknown(f"{name}: its CPU is not known over the window", limit=MOST, unit="%")
    found = shares.sliding(at, used, max(begin, hold.from_us), min(end, hold.to_us), SLIDE_US)
    if not len(found):  # in a window of a second there may be no row at all
        return unknown(f"{name}: its CPU is not known over the window", limit=MOST, unit="%")
    return _judged(name, "of one CPU", 100 * float(found.max()))


def _host(evidence: Evidence, host: str, hold: Window) -> Measured:
    cpus = whole(evidence.facts.before.get(host, evidence.facts.after.get(host, {})), "cpus")
    samples = evidence.samples(host, "load_ns")
    if not cpus or samples is None:
        return unknown(
            f"{host}: {'its CPU is' if cpus else 'how many CPUs it has is'} unknown", limit=MOST, unit="%"
        )
    found = shares.sliding(*samples, hold.from_us, hold.to_us, SLIDE_US)
    if not len(found):
        return unknown(f"{host}: its samples do not reach over the window", limit=MOST, unit="%")
    return _judged(f"{host}: its generator", f"of {cpus} CPUs", 100 * float(found.max()) / cpus)


def _judged(name: str, of: str, percent: float) -> Measured:
    said = f"{name} used {percent:.0f} % {of} in 5 s"
    made = invalid if percent > MOST else valid
    return made(said, percent, MOST, "%")
