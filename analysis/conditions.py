"""The checks of one trial, from what its analysis has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis import checks
from analysis.checks import Check
from analysis.checks.evidence import Evidence
from analysis.load import Tables
from analysis.measures import spikes
from analysis.measures import window as windows
from analysis.readers.clock import Clocks
from analysis.tally import Sure, Tally
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.paths import TrialPaths


def judged(
    paths: TrialPaths,
    plan: TrialPlan,
    tables: Tables,
    clock: Clocks,
    figures: Mapping[str, Any],
    tally: Tally,
    sure: Sure,
) -> tuple[Check, ...]:
    """Every check of a trial. What nginx saw of a server counts where its log is whole, every address in it known, and its
    clock."""
    requests, time = sure.books
    evidence = Evidence(
        paths=paths,
        plan=plan,
        tables=tables,
        clock=clock,
        hold=tally.hold,
        zero_us=windows.zero(tables),
        figures=figures,
        busy={host: tally.waiting.busy(at) if sure.logged else None for at, host in enumerate(plan.apps)},
        attempts={
            host: int(tally.waiting.attempts[at]) if sure.logged and tally.run else None
            for at, host in enumerate(plan.apps)
        },
        malformed=tables.counts,
        requests=requests,
        time=time,
        seconds=spikes.seconds(tally.timeline, tally.hold) if tally.hold else None,
    )
    return checks.judge_all(evidence)


def nothing_here() -> tuple[Check, ...]:
    """Of a trial that was planned and of which there is nothing: no check has anything to ask."""
    remedy = "./inv runs says how to go on with what was left; or fetch it, where hosts have it"
    said = "nothing of it is here: it never ran, or was not fetched"
    return (Check("trials_here", "UNKNOWN", None, None, "", checks.TRIAL, remedy, said),)
