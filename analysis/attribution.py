"""Which server a request belongs to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analysis.load import Tables
from analysis.measures.columns import Clients, Ints, coded, ids, ints, planned
from loadproof.plan.values import Inventory, TrialPlan


def addresses(inventory: Inventory | None) -> dict[str, str]:
    """Host name by "address:port", as nginx writes its upstreams."""
    if inventory is None:
        return {}
    found = {}
    for host in inventory.group("app"):
        address = host.address or host.ssh_host
        found[f"{f'[{address}]' if ':' in address else address}:{host.port('app')}"] = host.name
    return found


def knows_servers(
    tables: Tables, names: dict[str, str], whole: dict[str, bool], requests: Clients, server: Ints
) -> tuple[dict[str, bool], tuple[str, ...]]:
    """Whether the requests of each server can be told, and why not, in words: by its own rows where they are all there
    (`whole`), or by nginx's upstream addresses when nginx's log has every success. `server` is what `servers` gave for
    the requests."""
    good = requests.id[requests.ok]
    logged = np.isin(good, ids(tables.proxy))
    proxy, lacking = bool(tables.present["proxy"]), int(np.count_nonzero(~logged))
    told = {host: rows or (proxy and not lacking and host in names.values()) for host, rows in whole.items()}
    notes = [
        f"{host}: its rows are not all there, and nginx's log lacks {lacking} of {len(good)} successes; its requests are unknown"
        for host, known in told.items()
        if not known and proxy and lacking and host in names.values()
    ]
    nowhere = int(np.count_nonzero(requests.ok & (server < 0)))
    if nowhere and all(told.values()):  # an answer comes from a server: rows of one are missing
        notes.append(
            f"{nowhere} of {len(good)} successes are in no server's rows; requests per server are unknown"
        )
        told = dict.fromkeys(told, False)
    return told, tuple(notes)


def servers(wanted: NDArray[np.uint64], tables: Tables, plan: TrialPlan, names: dict[str, str]) -> Ints:
    """For each id the index in plan.apps of its server, -1 for none: the app host that read it (the last one when
    several did), else the host of nginx's last upstream address."""
    by_proxy = _last(wanted, *_proxy(tables, plan, names))
    by_app = _last(wanted, *_app(tables, plan))
    return np.where(by_app >= 0, by_app, by_proxy)


def _app(tables: Tables, plan: TrialPlan) -> tuple[NDArray[np.uint64], Ints]:
    of = ids(tables.app)
    host, labels = coded(tables.app, "host")
    index = np.array([plan.apps.index(name) if name in plan.apps else -1 for name in labels] or [-1])
    order = np.lexsort((ints(tables.app, "read_us"), of))
    order = order[planned(of, plan)[order]]
    return of[order], index[host[order]] if len(labels) else np.zeros(0, np.int64)


def _proxy(tables: Tables, plan: TrialPlan, names: dict[str, str]) -> tuple[NDArray[np.uint64], Ints]:
    of = ids(tables.proxy)
    code, texts = coded(tables.proxy, "server")
    known = [names.get(text, "") for text in texts]
    index = np.array([plan.apps.index(name) if name in plan.apps else -1 for name in known] or [-1])
    server = np.where(code >= 0, index[code], -1)
    order = np.lexsort((ints(tables.proxy, "done_us"), of))
    return of[order], server[order]


def _last(wanted: NDArray[np.uint64], keys: NDArray[np.uint64], values: Ints) -> Ints:
    """The value of the last row of each wanted key; -1 where there is none. `keys` are sorted."""
    if not len(keys):
        return np.full(len(wanted), -1, np.int64)
    at = np.searchsorted(keys, wanted, side="right") - 1
    found = (at >= 0) & (keys[np.maximum(at, 0)] == wanted)
    return np.where(found, values[np.maximum(at, 0)], -1).astype(np.int64)
