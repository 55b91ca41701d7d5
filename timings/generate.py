"""Raw files of a run that never happened, of any size, seeded: what analysis is timed with.

    python -m timings.generate FOLDER [--requests 1e6] [--seed 1]

A closed loop of 1000 users (fewer below 700 000 requests) in 10 Locust workers on 2 load hosts, nginx and 2 app hosts; 3 % of the requests fail, in the
kinds of KINDS, each with what all three layers would have written of it. Rows lie in the order in which the programs
write them: clients' by their ends, the apps' by when they read the request, nginx's in the buffers of its 2 workers.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from loadproof.plan.values import Arm, Experiment, Inventory, Limit, Load, Serving, TrialPlan
from loadproof.runfolder import formats, record
from loadproof.runfolder.paths import RunFolder, TrialPaths
from timings.rawfiles import (
    APP,
    APPS,
    CLIENT,
    HOSTS,
    OFFSETS,
    PENDING,
    T0,
    Ordered,
    header,
    write_apps,
    write_clients,
    write_log,
    write_records,
)

WORKERS, USERS, RAMP_S, SETTLE_S, LEAST_S = 10, 1000, 10.0, 5.0, 31.0
THINK_US, TIMEOUT_US, MEAN_US = 10_000, 2_000_000, 38_000
CHUNK_S = 25.0  # generated at a time, about half a million requests
WARM = 200

# what becomes of requests: (name, share), the rest is answered
KINDS = (
    ("ok", 0.97),
    ("timeout, BrokenPipeError", 0.010),  # client gives up, nginx 499, the app answers later and finds nobody
    ("timeout, ConnectionResetError", 0.002),
    ("502 refused", 0.006),  # nginx cannot connect to the app: no app row
    ("500", 0.006),  # the app's own
    ("502 closed", 0.003),  # the app loses the connection before it answers
    ("reset", 0.002),  # the client's connection is reset: nginx 499
    ("refused", 0.001),  # by the proxy host: neither nginx nor app know of it
)  # fmt: skip
OK, BROKEN, LATE_RESET, NO_BACKEND, SERVER_ERROR, CLOSED, RESET, REFUSED, CUT = range(9)


def plan(run: str, users: int, end_s: float, seed: int) -> TrialPlan:
    """The plan of the one trial."""
    steps = tuple((float(second), users * (second + 1) // 11) for second in range(int(RAMP_S) + 1))
    load = Load(
        WORKERS, users // WORKERS, users, "users", steps, RAMP_S, SETTLE_S, end_s - RAMP_S - SETTLE_S, end_s, THINK_US / 1e6,
        TIMEOUT_US / 1e6, "items", (),
    )  # fmt: skip
    workers = tuple((f"load{1 + (number > WORKERS // 2)}", number) for number in range(1, WORKERS + 1))
    return TrialPlan(
        run, "01", "servers=2", (("servers", 2),), 1, "block 1", APPS, (), "proxy1", ("load1", "load2"), (), load, workers,
        Limit("none", 100.0), Serving(), seed, WARM, "d3adbeef0123",
        (("client", load.timeout_s), ("nginx connect", 60), ("nginx send", 60), ("nginx read", 60)), end_s, 30.0,
    )  # fmt: skip


def generate(base: Path, requests: int, seed: int = 1) -> tuple[RunFolder, dict[str, int]]:
    """A run folder below `base` with about so many requests, and how many it has of each kind."""
    chance = np.random.default_rng(seed)
    spent = (1 - 0.012) * MEAN_US + 0.012 * TIMEOUT_US + THINK_US
    users = min(USERS, max(1, round(requests * spent / LEAST_S / 1e6 / WORKERS)) * WORKERS)
    end_s = max(LEAST_S, round(requests * spent / users / 1e6 + RAMP_S / 2, 1))
    folder = RunFolder(base / f"20261124T031500Z-made-{requests}")
    folder.path.mkdir(parents=True)
    made = plan(folder.id, users, end_s, seed)
    arm = Arm(made.arm, made.factors, 2, made.load, made.limit, made.serving)
    asked = Experiment("made", "", (arm,), seed, WARM)
    said = {"commit": "0" * 40, "dirty": False, "python": "3.11.2", "system": "Linux", "versions": []}
    record.write_run(folder, asked, Inventory("inventory/made.yml", HOSTS), said, ("inv", "bench"), [made])
    counts = trial(folder.trial(made.folder), made, chance)
    return folder, dict(zip((*(name for name, _ in KINDS), "cut"), counts.tolist(), strict=True))


def trial(paths: TrialPaths, made: TrialPlan, chance: np.random.Generator) -> Any:
    """All files of one trial; gives how many requests it has of each kind, the last one: cut."""
    counts = _raw(paths, made, chance)
    write_records(paths, made, counts["by worker"])
    return counts["kinds"]


def _raw(paths: TrialPaths, made: TrialPlan, chance: np.random.Generator) -> dict[str, Any]:
    """The clients', nginx's and the apps' files."""
    for host in OFFSETS:
        paths.raw(host).mkdir(parents=True)
    files = {
        number: (paths.raw(host) / f"requests-{number}.rows").open("wb") for host, number in made.workers
    }
    apps = [(paths.raw(host) / "app-700-700000.rows").open("wb") for host in APPS]
    log = (paths.raw("proxy1") / formats.ACCESS_LOG).open("wb")
    for number, file in files.items():
        file.write(header(formats.CLIENT_MAGIC, number))
    for file in apps:
        file.write(header(formats.APP_MAGIC, 0, 700))
    clients, reads, logged = Ordered("_key"), Ordered("_key"), Ordered("done")
    kinds, by_worker = np.zeros(9, np.int64), np.zeros(WORKERS + 1, np.int64)
    app, line = _warm()
    for before, (client, app_more, line_more, kind) in _chunks(made, chance):
        kinds += np.bincount(kind, minlength=9)
        write_clients(clients.take(client, before), files, made, by_worker)
        write_apps(reads.take(np.concatenate([app, app_more]), before), apps)
        write_log(logged.take(np.concatenate([line, line_more]), before), log)
        app, line = app[:0], line[:0]
    for file in (*files.values(), *apps, log):
        file.close()
    return {"kinds": kinds, "by worker": by_worker}


def _chunks(made: TrialPlan, chance: np.random.Generator) -> Iterator[tuple[int, tuple[Any, Any, Any, Any]]]:
    """(moment before which all is known, rows of the three layers) of one stretch of time after the other."""
    end = T0 + round(made.load.end_s * 1e6)
    began = T0 + np.sort(chance.integers(0, max(1, int(made.load.ramp_end_s * 1e6)), made.load.users)).astype(
        np.int64
    )
    began[0] = T0
    ready = began + 1000
    sequences = np.zeros(WORKERS + 1, np.int64)
    think_us = round(made.load.think_s * 1e6)
    turn = 0
    edges = [*np.arange(T0, end, int(CHUNK_S * 1e6)).tolist()[1:], end]
    for edge in edges:
        start, user, taken, kind = _started(ready, edge, chance, think_us)
        order = np.argsort(start, kind="stable")
        start, user, taken, kind = start[order], user[order], taken[order], kind[order]
        cut = start + taken > end
        taken, kind = np.where(cut, end + 300 - start, taken), np.where(cut, CUT, kind)
        worker = 1 + user % WORKERS
        sequence = _numbered(worker, sequences)
        server = (turn + np.arange(len(start))) % 2
        turn += len(start)
        ids = (worker.astype(np.uint64) << np.uint64(48)) | sequence.astype(np.uint64)
        rows = _layers(ids, user, start, taken, kind, server, chance, think_us)
        events = _events(began, edge, end, edge == edges[0], edge == end)
        yield (edge if edge < end else 1 << 62), (np.concatenate([events, rows[0]]), rows[1], rows[2], kind)


def _started(ready: Any, edge: int, chance: np.random.Generator, think_us: int) -> tuple[Any, Any, Any, Any]:
    """Every request that users begin before `edge`: start, user, time taken, kind. `ready` is when each begins next."""
    names = np.cumsum([share for _, share in KINDS])
    found: list[tuple[Any, Any, Any, Any]] = []
    while True:
        users = np.flatnonzero(ready < edge)
        if not len(users):
            return tuple(np.concatenate(one) for one in zip(*found, strict=True))  # type: ignore[return-value]
        most = int((edge - ready.min()) / (MEAN_US + think_us) * 0.7) + 10
        shape = (len(users), most)
        kind = np.minimum(np.searchsorted(names, chance.random(shape)), len(KINDS) - 1).astype(np.int8)
        taken = (4000 + chance.standard_gamma(2.0, shape, np.float32) * (MEAN_US - 4000) / 2).astype(np.int64)
        np.minimum(taken, TIMEOUT_US - 50_000, out=taken)
        taken[(kind == BROKEN) | (kind == LATE_RESET)] = TIMEOUT_US
        taken[(kind == NO_BACKEND) | (kind == REFUSED)] = 900
        after = np.cumsum(taken + think_us, axis=1)
        start = ready[users][:, None] + after - taken - think_us
        kept = start < edge
        ready[users] = (ready[users][:, None] + after)[
            np.arange(len(users)), np.maximum(kept.sum(axis=1) - 1, 0)
        ]
        found.append((start[kept], np.broadcast_to(users[:, None], shape)[kept], taken[kept], kind[kept]))


def _numbered(worker: Any, sequences: Any) -> Any:
    """The sequence number of each request in its worker, which goes on."""
    found = np.empty(len(worker), np.int64)
    for number in range(1, WORKERS + 1):
        mine = np.flatnonzero(worker == number)
        found[mine] = sequences[number] + np.arange(len(mine))
        sequences[number] += len(mine)
    return found


def _layers(
    ids: Any, user: Any, start: Any, taken: Any, kind: Any, server: Any, chance: Any, think_us: int = THINK_US
) -> tuple[Any, Any, Any]:
    count = len(ids)
    gone = (kind == BROKEN) | (kind == LATE_RESET) | (kind == RESET) | (kind == CUT)
    end = start + taken
    client = np.zeros(count, CLIENT)
    row = client["_row"]
    client["_key"] = end
    row["kind"], row["id"], row["name"], row["user"] = formats.KIND_REQUEST, ids, 1, 1 + user // WORKERS
    error = np.zeros(9, np.uint8)
    for one, name in ((BROKEN, "timeout"), (LATE_RESET, "timeout"), (NO_BACKEND, "http"), (SERVER_ERROR, "http"),
                      (CLOSED, "http"), (RESET, "reset"), (REFUSED, "refused"), (CUT, "cut")):  # fmt: skip
        error[one] = formats.ERROR_CLASSES.index(name)
    status = np.array([200, 0, 0, 502, 500, 502, 0, 0, 0])
    row["error"], row["status"] = error[kind], status[kind]
    row["port"], row["intended_us"], row["start_us"], row["end_us"] = 20_000 + user, start, start, end
    row["first_us"] = np.where(status[kind] > 0, end - 100, 0)
    row["bytes"], row["think_us"] = np.where(kind == OK, 120, 0), think_us

    to_app = (kind != NO_BACKEND) & (kind != REFUSED)
    late = np.where(gone, chance.integers(1000, 400_000, count), -900)
    app = np.zeros(int(to_app.sum()), APP)
    row = app["_row"]
    one, began = kind[to_app], (start + 700)[to_app]
    handed = (end + late)[to_app]
    row["id"], row["connection"], row["peer_port"] = (
        ids[to_app],
        np.arange(len(row)) + 1,
        1024 + np.arange(len(row)) % 60_000,
    )
    row["status"] = np.where(one == SERVER_ERROR, 500, np.where(one == CLOSED, 0, 200))
    row["exception"] = np.select([(one == BROKEN) | (one == CUT), one == LATE_RESET], [1, 2], 0)
    row["accepted_us"], row["read_us"] = began - 100, began
    row["handed_us"] = np.where(one == CLOSED, 0, handed)
    row["lost_us"] = handed + 200
    row["state"] = np.where(one == CLOSED, 5, 7)
    app["_key"], app["_server"] = began, server[to_app]

    seen = kind != REFUSED
    line = np.zeros(int(seen.sum()), PENDING)
    one, took = kind[seen], np.maximum(taken[seen] - 400, 0) // 1000
    line["id"], line["done"], line["connection"], line["port"] = (
        ids[seen],
        end[seen] - 200,
        1 + user[seen],
        20_000 + user[seen],
    )
    line["taken"], line["uri"], line["server"] = took, chance.integers(0, 10_000, len(line)), server[seen]
    line["status"] = np.array([200, 499, 499, 502, 500, 502, 499, 0, 499])[one]
    line["answered"] = np.array([200, 0, 0, 502, 500, 502, 0, 0, 0])[one]
    line["ok"] = ~gone[seen]
    line["connect"] = np.where(one == NO_BACKEND, -1, 0)
    line["header"] = np.where((one == OK) | (one == SERVER_ERROR), took, -1)
    line["response"] = took
    return client, app, line


def _events(began: Any, edge: int, end: int, first: bool, last: bool) -> Any:
    """Users that start or stop, and every worker's seconds, up to `edge`. The worker stands in a field of padding."""
    found = []
    user = np.arange(len(began))
    for wanted, kind, at in (
        (first, formats.KIND_USER_STARTED, began),
        (last, formats.KIND_USER_STOPPED, np.full(len(began), end + 1000)),
    ):
        if wanted:
            rows = np.zeros(len(began), CLIENT)
            rows["_key"], rows["_row"]["kind"], rows["_row"]["start_us"] = at, kind, at
            rows["_row"]["user"], rows["_row"]["_pad"] = 1 + user // WORKERS, 1 + user % WORKERS
            found.append(rows)
    since = T0 if first else T0 + (edge - T0 - 1) // int(CHUNK_S * 1e6) * int(CHUNK_S * 1e6)
    for at in range(since + 1_000_000, edge + 1, 1_000_000):
        rows = np.zeros(WORKERS, CLIENT)
        second = rows["_row"].view(formats.SECOND_ROW)
        second["kind"], second["users"] = formats.KIND_SECOND, int((began <= at).sum()) // WORKERS
        second["start_us"], second["lag_max_us"], second["lag_p99_us"] = at, 900, 400
        second["cpu_ns"] = (at - T0) * 300
        rows["_key"], second["_pad1"] = at, 1 + np.arange(WORKERS)
        found.append(rows)
    return np.concatenate(found) if found else np.zeros(0, CLIENT)


def _warm() -> tuple[Any, Any]:
    """Requests of the warm-up, which are outside every figure."""
    number = np.arange(2 * WARM)
    ids = (np.uint64(formats.WORKER_WARM) << np.uint64(48)) | number.astype(np.uint64)
    start = T0 - 9_000_000 + number * 10_000
    kind = np.zeros(len(ids), np.int8)
    _, app, line = _layers(
        ids, number, start, np.full(len(ids), 3000), kind, number % 2, np.random.default_rng(0)
    )
    return app, line


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path)
    words.add_argument("--requests", type=float, default=1e6)
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args()
    begun = time.monotonic()
    found, counts = generate(given.folder, int(given.requests), given.seed)
    print(f"{found.path}: {sum(counts.values())} requests in {time.monotonic() - begun:.1f} s: {counts}")
