"""What became of the answers that the apps made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.attribution import servers
from analysis.load import Tables
from analysis.measures.columns import Clients, Ints, Mask, coded, counted, ids, ints, is_text, planned
from analysis.measures.window import Window, whole
from analysis.readers.outcome import plural
from loadproof.plan.values import TrialPlan


@dataclass(frozen=True)
class Undelivered:
    """Requests that an app read and whose client got no complete response: distinct ids, their server (the last app
    that read them, index in plan.apps), when that was decided, and whether our own stop cut them."""

    id: NDArray[np.uint64]
    server: Ints
    at_us: Ints
    cut: Mask
    known: dict[str, bool]  # by server
    placed: frozenset[str]  # servers of which can be said what they did in a window

    def count(self, window: Window | None, host: int | None = None) -> int | None:
        """How many in a window (in the whole run: without one), of one server or of all; None when it is unknown."""
        return _count(self, window, host)


def known(
    tables: Tables, plan: TrialPlan, requests: Clients, names: dict[str, str]
) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Whether the rows of each app host are all there, and what speaks against it in words. An answer that came whole
    was made by an app, which wrote a row when it read the request: a success without one is a lost row, of the host
    that nginx names, or of any when it names none. `names`: host by nginx's upstream address."""
    known = {name: name in tables.present["app"] for name in plan.apps}
    answered = requests.id[requests.ok]
    lost = answered[~np.isin(answered, ids(tables.app))]
    if not len(lost):
        return known, ()
    server = servers(lost, tables, plan, names)
    notes = []
    for index, name in enumerate(plan.apps):
        count = int(np.count_nonzero(server == index))
        if count and known[name]:
            known[name] = False
            notes.append(
                f"{name}: {plural(count, 'answered request')} without an app row: rows were lost; undelivered and BrokenPipeError are unknown there"
            )
    astray = int(np.count_nonzero(server < 0))
    if astray and any(known.values()):
        known = dict.fromkeys(known, False)
        notes.append(
            f"{plural(astray, 'answered request')} without an app row, of no known server: rows were lost; undelivered and BrokenPipeError are unknown"
        )
    return known, tuple(notes)


def strangers(tables: Tables, plan: TrialPlan, requests: Clients) -> tuple[frozenset[str], tuple[str, ...]]:
    """Servers with requests of which nobody knows whether they are the load's, and what is odd, in words. An id of no
    worker of this trial is somebody else's. One of a worker whose rows are all there, and of which it has none, is
    somebody else's too, or these rows are not all there in spite of everything that says so."""
    of = ids(tables.app)
    mine = planned(of, plan)
    server = _servers(tables.app, plan)
    others = counted(of) & ~mine
    unwritten = mine & ~np.isin(of, requests.id) if whole(tables, plan) else np.zeros(len(of), bool)
    doubted, notes = [], []
    for index, name in enumerate(plan.apps):
        if count := int(np.count_nonzero(others & (server == index))):
            notes.append(
                f"{name}: {plural(count, 'request')} with ids of no Locust worker of this trial: left out"
            )
        if count := int(np.count_nonzero(unwritten & (server == index))):
            doubted.append(name)
            notes.append(
                f"{name}: {plural(count, 'request')} with ids that no Locust worker wrote down: its rows were lost, or somebody else sent them; undelivered is unknown there"
            )
    return frozenset(doubted), tuple(notes)


def undelivered(
    tables: Tables, plan: TrialPlan, requests: Clients, apps: dict[str, bool], placed: frozenset[str]
) -> Undelivered:
    """Joins app and client rows on the id (one trial at a time, so the key is (trial, id)).

    A complete response is a client row without error, or with a complete 4xx/5xx (http_NNN), or one that the scenario
    rejected after reading it whole (scenario). Everything else, and no client row at all, is no complete response. The
    moment is the app's own, as for broken pipes: when it lost the connection, else handed the answer over, else read the
    request. An app with a backlog answers requests whose clients left long ago: that work is wasted when it is done.
    Unknown for a server whose rows are not all there (`apps`), and for all when rows of a Locust worker are missing; in a
    window also where a server's clock is not known (`placed`).
    """
    of, host, read, ended = _app_rows(tables, plan)
    order = np.lexsort((read, of))
    of, host, ended = of[order], host[order], ended[order]
    last = np.append(of[1:] != of[:-1], True) if len(of) else np.zeros(0, bool)
    of, host, ended = of[last], host[last], ended[last]
    full = np.array(
        [name in ("", "scenario") or name.startswith("http_") for name in requests.classes] or [False]
    )
    by_id = np.argsort(requests.id, kind="stable")
    at = np.searchsorted(requests.id[by_id], of)
    inside = at < len(by_id)
    row = by_id[np.minimum(at, max(len(by_id) - 1, 0))] if len(by_id) else np.zeros(len(of), np.int64)
    seen = inside & (requests.id[row] == of) if len(by_id) else np.zeros(len(of), bool)
    delivered = seen & full[requests.error[row]] if len(by_id) else seen
    cut = seen & requests.cut[row] if len(by_id) else seen
    clients_known = whole(tables, plan)
    known = {name: clients_known and apps[name] for name in plan.apps}
    return Undelivered(of[~delivered], host[~delivered], ended[~delivered], cut[~delivered], known, placed)


@dataclass(frozen=True)
class BrokenPipes:
    """App rows whose connection_lost was given BrokenPipeError: server (index in plan.apps) and when."""

    server: Ints
    at_us: Ints
    known: dict[str, bool]
    placed: frozenset[str]

    def count(self, window: Window | None, host: int | None = None) -> int | None:
        """How many in a window (in the whole run: without one), of one server or of all; None when it is unknown."""
        return _count(self, window, host)

    def first_s(self, zero_us: int | None, host: int) -> float | None:
        """The second of the first one of a server, over the whole run; None for none, no second 0, or when it is unknown."""
        name = list(self.known)[host]
        if not self.known[name] or name not in self.placed:
            return None
        mine = self.at_us[self.server == host]
        return (int(mine.min()) - zero_us) / 1e6 if zero_us is not None and len(mine) else None


def broken_pipes(
    tables: Tables, plan: TrialPlan, apps: dict[str, bool], placed: frozenset[str]
) -> BrokenPipes:
    """Taken from the apps' own rows; the moment is when the app lost the connection. Unknown as in `undelivered`, but
    that the clients' rows do not matter."""
    mine = planned(ids(tables.app), plan) & is_text(tables.app, "exception", "BrokenPipeError")
    return BrokenPipes(_servers(tables.app, plan)[mine], ints(tables.app, "lost_us")[mine], apps, placed)


def _count(of: Undelivered | BrokenPipes, window: Window | None, host: int | None) -> int | None:
    names = list(of.known) if host is None else [list(of.known)[host]]
    if not all(of.known[name] and (window is None or name in of.placed) for name in names):
        return None
    mine = np.ones(len(of.server), bool) if host is None else of.server == host
    if window is not None:
        mine = mine & (of.at_us >= window.from_us) & (of.at_us < window.to_us)
    return int(np.count_nonzero(mine))


def _app_rows(tables: Tables, plan: TrialPlan) -> tuple[NDArray[np.uint64], Ints, Ints, Ints]:
    """Id, server, when it was read, and when it ended for the app."""
    of = ids(tables.app)
    mine = planned(of, plan)
    read, handed, lost = (ints(tables.app, name)[mine] for name in ("read_us", "handed_us", "lost_us"))
    ended = np.where(lost > 0, lost, np.where(handed > 0, handed, read))
    return of[mine], _servers(tables.app, plan)[mine], read, ended


def _servers(table: Any, plan: TrialPlan) -> Ints:
    host, labels = coded(table, "host")
    index = np.array(
        [plan.apps.index(name) if name in plan.apps else -1 for name in labels] or [-1], np.int64
    )
    return index[host] if labels else np.zeros(0, np.int64)
