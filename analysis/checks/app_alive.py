"""Did the app run all the time, as one process?"""

from __future__ import annotations

import re

import numpy as np

from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks.evidence import Evidence
from analysis.measures import cpu, shares
from analysis.measures.columns import Ints
from analysis.readers.facts import part, whole
from loadproof.plan.places import APP_UNIT
from loadproof.plan.values import TrialPlan

ASKS = "was each app neither frozen while requests waited, nor restarted?"
WITHHOLDS = "trial"
REMEDY = "see app.log of that host, and journalctl -u loadproof-app there, for why; then repeat the trial"

# Stopped is an app's normal state under cpulimit, for up to a third of a second; frozen is no progress for 2 s.
FROZEN_US = 2_000_000
# A process that is only stopped and continued uses some µs for it; one that works on requests uses ms even at 1 %.
PROGRESS_NS = 1_000_000
DOWN = ("failed", "inactive", "deactivating")
ROWS = re.compile(r"app-(\d+)-\d+\.rows")


def applies(plan: TrialPlan) -> bool:
    """Every trial has apps."""
    return True


def judge(evidence: Evidence) -> Measured:
    """The value is the longest time in s in which an app did nothing while requests waited; of a restart there is none."""
    return together([_host(evidence, host) for host in evidence.plan.apps])


def _host(evidence: Evidence, host: str) -> Measured:
    if again := restarted(evidence, host):
        return invalid(f"{host}: {again}", limit=FROZEN_US / 1e6, unit="s")
    frozen = _frozen(evidence, host)
    if frozen.verdict == "VALID" and not _process_known(evidence, host):
        return unknown(f"{host}: whether the app was restarted is unknown", limit=FROZEN_US / 1e6, unit="s")
    return frozen


def restarted(evidence: Evidence, host: str) -> str:
    """How it shows that an app is not the process any more that it was, or ""."""
    both = evidence.facts.both(host)
    if both is not None:
        before, after = (part(one, "units", APP_UNIT) for one in both)
        count = (whole(after, "restarts") or 0) - (whole(before, "restarts") or 0)
        if count > 0:
            return f"systemd restarted the app {count} time{'s' if count > 1 else ''}"
        pids = whole(before, "pid"), whole(after, "pid")
        if all(pids) and pids[0] != pids[1]:
            return f"the app was process {pids[0]} before the load and {pids[1]} after it"
        for one, when in ((before, "when the load began"), (after, "any more when the load ended")):
            if one.get("active") in DOWN:
                return f"the app was not running {when}"
    if gone := _unseen_s(evidence, host):
        return f"there was no process of the app for {gone:.1f} s"
    pids_of_rows = {found[1] for path in _files(evidence, host) if (found := ROWS.fullmatch(path))}
    if len(pids_of_rows) > 1:
        return f"{len(pids_of_rows)} processes of the app wrote rows"
    return ""


def _unseen_s(evidence: Evidence, host: str) -> float:
    """For how many seconds of the load samples saw no process of the app."""
    window, samples = evidence.window, evidence.samples(host, "app_processes")
    if window is None or samples is None:
        return 0.0
    at, count = samples
    inside = (at >= window.zero_us) & (at <= window.to_us)
    return float(np.count_nonzero(count[inside] == 0)) * cpu.SAMPLE_S


def _files(evidence: Evidence, host: str) -> list[str]:
    folder = evidence.paths.raw(host)
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def _process_known(evidence: Evidence, host: str) -> bool:
    """Whether facts tell of the same process before and after; else whether samples saw one that never ended."""
    both = evidence.facts.both(host)
    if both is not None and all(whole(part(one, "units", APP_UNIT), "pid") for one in both):
        return True
    ended, count = evidence.samples(host, "app_ended"), evidence.samples(host, "app_processes")
    return ended is not None and count is not None and not ended[1].any() and bool((count[1] > 0).all())


def _frozen(evidence: Evidence, host: str) -> Measured:
    limit = FROZEN_US / 1e6
    hold, samples = evidence.window, evidence.samples(host, "app_ns")
    if hold is None or samples is None or not len(samples[0]):
        why = "there is no window" if hold is None else "its CPU is unknown"
        return unknown(f"{host}: {why}", limit=limit, unit="s")
    at, used = samples
    begin = hold.zero_us
    if at[0] > begin or at[-1] < hold.to_us:
        return unknown(f"{host}: its samples do not reach over the load", limit=limit, unit="s")
    if any(since < hold.to_us and to > begin for since, to in cpu.gaps(at)):
        return unknown(
            f"{host}: its samples have a gap: whether the app stood still in it is not known",
            limit=limit,
            unit="s",
        )
    inside = (at >= begin) & (at <= hold.to_us)
    still = flat(at[inside], used[inside])
    waited = evidence.busy.get(host)
    if waited is None:
        longest = max((int(to - since) for since, to in still), default=0)
        if longest < FROZEN_US:
            return valid(f"{host}: never without progress for {limit:g} s", longest / 1e6, limit, "s")
        said = f"{host}: no progress for {longest / 1e6:.1f} s; whether requests waited then is unknown"
        return unknown(said, longest / 1e6, limit, "s")
    longest = max((_longest(waited, int(since), int(to)) for since, to in still), default=0)
    said = f"{host}: {'no progress' if longest >= FROZEN_US else 'never without progress'} for {longest / 1e6:.1f} s while requests waited"
    if longest >= FROZEN_US:
        return invalid(said, longest / 1e6, limit, "s")
    return valid(f"{host}: never frozen, never restarted", longest / 1e6, limit, "s")


def flat(at: Ints, used_ns: Ints) -> list[tuple[int, int]]:
    """Stretches between samples in which next to nothing was used, each as long as it can be."""
    found: list[tuple[int, int]] = []
    # from each sample on: the last one until which no more than PROGRESS_NS were used
    last = np.searchsorted(used_ns, used_ns + PROGRESS_NS, "right") - 1
    for first, end in enumerate(last.tolist()):
        if end > first and (not found or int(at[end]) > found[-1][1]):
            found.append((int(at[first]), int(at[end])))
    return found


def _longest(waited: Ints, from_us: int, to_us: int) -> int:
    """The longest time on end in which requests waited, inside a stretch."""
    cut = shares.clipped(waited, from_us, to_us)
    return int((cut[:, 1] - cut[:, 0]).max()) if len(cut) else 0
