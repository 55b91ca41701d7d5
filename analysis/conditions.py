"""The checks of one trial, from what its analysis has at hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis import checks
from analysis.checks import Check
from analysis.checks.evidence import Evidence
from analysis.ledgers import RequestLedger, TimeLedger
from analysis.load import Tables
from analysis.measures.columns import Ints, coded, ids, ints, planned
from analysis.measures.window import Window
from analysis.readers.clock import Clocks
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.paths import TrialPaths


def judged(
    paths: TrialPaths,
    plan: TrialPlan,
    tables: Tables,
    clock: Clocks,
    hold: Window | None,
    zero_us: int | None,
    figures: Mapping[str, Any],
    busy: Mapping[str, Ints | None],
    attempts: Mapping[str, int | None],
    malformed: Mapping[str, tuple[int, int]],
    requests: RequestLedger | None,
    time: TimeLedger | None,
) -> tuple[Check, ...]:
    """Every check of a trial; what is None or not there is not known."""
    return checks.judge_all(
        Evidence(
            paths, plan, tables, clock, hold, zero_us, figures, busy, attempts, malformed, requests, time
        )
    )


def by_proxy(
    tables: Tables, plan: TrialPlan, names: Mapping[str, str], hold: Window | None
) -> tuple[dict[str, Ints | None], dict[str, int | None]]:
    """Per app host, from nginx's lines: stretches [from, to) in µs in which a request waited at that server, and how many
    were sent there in the window. None without nginx's lines, or when the server of one is not known. A request whose
    connection was never made did not wait at a server: its app may be idle behind a port that is silent."""
    table = tables.proxy
    mine = planned(ids(table), plan)
    code, texts = coded(table, "server")
    hosts = np.array([*(names.get(text, "?") for text in texts), ""])[code]  # -1: nginx asked no server
    done, taken = ints(table, "done_us"), ints(table, "server_response_us")
    connected = table["server_connect_us"].is_valid().to_numpy()
    busy: dict[str, Ints | None] = dict.fromkeys(plan.apps)
    attempts: dict[str, int | None] = dict.fromkeys(plan.apps)
    if plan.proxy not in tables.present["proxy"] or "?" in hosts[mine]:
        return busy, attempts
    for host in plan.apps:
        at = mine & (hosts == host)
        here = at & connected
        busy[host] = np.stack((done[here] - taken[here], done[here]), axis=1)
        if hold is not None:
            inside = (done[at] >= hold.from_us) & (done[at] < hold.to_us)
            attempts[host] = int(np.count_nonzero(inside))
    return busy, attempts
