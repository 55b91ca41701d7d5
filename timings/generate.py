"""Raw files of a run that never happened, of any size, seeded: what analysis is timed with.

    python -m timings.generate FOLDER [--requests 1e6] [--seed 1]

A closed loop of 1000 users (fewer below 700 000 requests) in 10 Locust workers on 2 load hosts, nginx and 2 app hosts; 3 % of the requests fail, in the
kinds of KINDS, each with what all three layers would have written of it. Rows lie in the order in which the programs
write them: clients' by their ends, the apps' by when they read the request, nginx's in the buffers of its 2 workers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import compute

from loadproof.plan.values import Experiment, Host, Inventory, Limit, Load, TrialPlan
from loadproof.runfolder import formats, record
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder, TrialPaths

T0 = 1_795_000_000_000_000  # second 0 on the control machine's clock, µs since the epoch
OFFSETS = {"load1": 1500, "load2": -800, "proxy1": 40_000, "app1": -2_000_000, "app2": 777}
HOSTS = (
    Host("app1", ("app",), "198.18.0.11", address="198.18.0.11", ports=(("app", 8000),)),
    Host("app2", ("app",), "198.18.0.12", address="198.18.0.12", ports=(("app", 8000),)),
    Host("proxy1", ("proxy",), "198.18.0.10", address="198.18.0.10", ports=(("proxy", 8080),)),
    Host("load1", ("load",), "198.18.0.20", address="198.18.0.20"),
    Host("load2", ("load",), "198.18.0.21", address="198.18.0.21"),
)
APPS = ("app1", "app2")
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
PENDING = np.dtype(
    [("id", "<u8"), ("done", "<i8"), ("connection", "<u4"), ("port", "<u2"), ("taken", "<i4"), ("status", "<i2"), ("ok", "?"),
     ("uri", "<i4"), ("server", "i1"), ("answered", "<i2"), ("connect", "<i4"), ("header", "<i4"), ("response", "<i4")]
)  # fmt: skip


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
        Limit("none", 100.0), "plain", 10_000, seed, WARM, "d3adbeef0123",
        (("client", load.timeout_s), ("nginx connect", 60), ("nginx send", 60), ("nginx read", 60)), end_s, 30.0,
    )  # fmt: skip


class Ordered:
    """Rows that are written in the order of a time, though they are made in another."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.rows: list[Any] = []

    def take(self, new: Any, before: int) -> Any:
        """Those before a moment, in order; the others wait."""
        whole = np.concatenate([*self.rows, new])
        ready = whole[self.key] < before
        self.rows = [whole[~ready]]
        found = whole[ready]
        return found[np.argsort(found[self.key], kind="stable")]


def generate(base: Path, requests: int, seed: int = 1) -> tuple[RunFolder, dict[str, int]]:
    """A run folder below `base` with about so many requests, and how many it has of each kind."""
    chance = np.random.default_rng(seed)
    spent = (1 - 0.012) * MEAN_US + 0.012 * TIMEOUT_US + THINK_US
    users = min(USERS, max(1, round(requests * spent / LEAST_S / 1e6 / WORKERS)) * WORKERS)
    end_s = max(LEAST_S, round(requests * spent / users / 1e6 + RAMP_S / 2, 1))
    folder = RunFolder(base / f"20261124T031500Z-made-{requests}")
    folder.path.mkdir(parents=True)
    made = plan(folder.id, users, end_s, seed)
    asked = Experiment("made", "", (2,), made.load, made.limit, made.variant, made.rows, seed, WARM)
    said = {"commit": "0" * 40, "dirty": False, "python": "3.11.2", "system": "Linux", "versions": []}
    record.write_run(folder, asked, Inventory("inventory/made.yml", HOSTS), said, ("inv", "bench"), [made])
    paths = folder.trial(made.folder)
    counts = _raw(paths, made, chance)
    _rest(paths, made, counts["by worker"])
    return folder, dict(zip((*(name for name, _ in KINDS), "cut"), counts["kinds"].tolist(), strict=True))


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
        file.write(_header(formats.CLIENT_MAGIC, number))
    for file in apps:
        file.write(_header(formats.APP_MAGIC, 0, 700))
    clients, reads, logged = Ordered("_key"), Ordered("_key"), Ordered("done")
    kinds, by_worker = np.zeros(9, np.int64), np.zeros(WORKERS + 1, np.int64)
    app, line = _warm()
    for before, (client, app_more, line_more, kind) in _chunks(made, chance):
        kinds += np.bincount(kind, minlength=9)
        _write_clients(clients.take(client, before), files, made, by_worker)
        _write_apps(reads.take(np.concatenate([app, app_more]), before), apps)
        _write_log(logged.take(np.concatenate([line, line_more]), before), log)
        app, line = app[:0], line[:0]
    for file in (*files.values(), *apps, log):
        file.close()
    return {"kinds": kinds, "by worker": by_worker}


def _header(magic: bytes, worker: int, pid: int = 1) -> bytes:
    return np.array([(magic, 1, 64, worker, 0, T0 - 10**7, 10**15, pid, b"")], formats.HEADER).tobytes()


def _chunks(made: TrialPlan, chance: np.random.Generator) -> Iterator[tuple[int, tuple[Any, Any, Any, Any]]]:
    """(moment before which all is known, rows of the three layers) of one stretch of time after the other."""
    end = T0 + round(made.load.end_s * 1e6)
    began = T0 + np.sort(chance.integers(0, int(RAMP_S * 1e6), made.load.users)).astype(np.int64)
    began[0] = T0
    ready = began + 1000
    sequences = np.zeros(WORKERS + 1, np.int64)
    turn = 0
    edges = [*np.arange(T0, end, int(CHUNK_S * 1e6)).tolist()[1:], end]
    for edge in edges:
        start, user, taken, kind = _started(ready, edge, chance)
        order = np.argsort(start, kind="stable")
        start, user, taken, kind = start[order], user[order], taken[order], kind[order]
        cut = start + taken > end
        taken, kind = np.where(cut, end + 300 - start, taken), np.where(cut, CUT, kind)
        worker = 1 + user % WORKERS
        sequence = _numbered(worker, sequences)
        server = (turn + np.arange(len(start))) % 2
        turn += len(start)
        ids = (worker.astype(np.uint64) << np.uint64(48)) | sequence.astype(np.uint64)
        rows = _layers(ids, user, start, taken, kind, server, chance)
        events = _events(began, edge, end, edge == edges[0], edge == end)
        yield (edge if edge < end else 1 << 62), (np.concatenate([events, rows[0]]), rows[1], rows[2], kind)


def _started(ready: Any, edge: int, chance: np.random.Generator) -> tuple[Any, Any, Any, Any]:
    """Every request that users begin before `edge`: start, user, time taken, kind. `ready` is when each begins next."""
    names = np.cumsum([share for _, share in KINDS])
    found: list[tuple[Any, Any, Any, Any]] = []
    while True:
        users = np.flatnonzero(ready < edge)
        if not len(users):
            return tuple(np.concatenate(one) for one in zip(*found, strict=True))  # type: ignore[return-value]
        most = int((edge - ready.min()) / (MEAN_US + THINK_US) * 0.7) + 10
        shape = (len(users), most)
        kind = np.minimum(np.searchsorted(names, chance.random(shape)), len(KINDS) - 1).astype(np.int8)
        taken = (4000 + chance.standard_gamma(2.0, shape, np.float32) * (MEAN_US - 4000) / 2).astype(np.int64)
        np.minimum(taken, TIMEOUT_US - 50_000, out=taken)
        taken[(kind == BROKEN) | (kind == LATE_RESET)] = TIMEOUT_US
        taken[(kind == NO_BACKEND) | (kind == REFUSED)] = 900
        after = np.cumsum(taken + THINK_US, axis=1)
        start = ready[users][:, None] + after - taken - THINK_US
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


CLIENT = np.dtype([("_key", "<i8"), ("_row", formats.CLIENT_ROW)])
APP = np.dtype([("_key", "<i8"), ("_server", "i1"), ("_row", formats.APP_ROW)])


def _layers(
    ids: Any, user: Any, start: Any, taken: Any, kind: Any, server: Any, chance: Any
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
    row["bytes"], row["think_us"] = np.where(kind == OK, 120, 0), THINK_US

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


def _write_clients(rows: Any, files: dict[int, BinaryIO], made: TrialPlan, by_worker: Any) -> None:
    row = rows["_row"]
    request, second = row["kind"] == formats.KIND_REQUEST, row["kind"] == formats.KIND_SECOND
    worker = np.where(
        request,
        formats.worker_of(row["id"]),
        np.where(second, row.view(formats.SECOND_ROW)["_pad1"], row["_pad"]),
    )
    cut = formats.ERROR_CLASSES.index("cut")
    for host, number in made.workers:
        mine = row[worker == number]
        moved = mine.view(formats.SECOND_ROW)["start_us"][mine["kind"] == formats.KIND_SECOND] + OFFSETS[host]
        seconds = mine["kind"] == formats.KIND_SECOND
        by_worker[number] += int(((mine["kind"] == formats.KIND_REQUEST) & (mine["error"] != cut)).sum())
        for name in ("intended_us", "start_us", "first_us", "end_us"):
            mine[name][~seconds & (mine[name] > 0)] += OFFSETS[host]
        mine.view(formats.SECOND_ROW)["start_us"][seconds] = moved
        files[number].write(mine.tobytes())


def _write_apps(rows: Any, files: list[BinaryIO]) -> None:
    for index, host in enumerate(APPS):
        mine = rows["_row"][rows["_server"] == index]
        for name in ("accepted_us", "read_us", "handed_us", "lost_us"):
            mine[name][mine[name] > 0] += OFFSETS[host]
        files[index].write(mine.tobytes())


MILLIS = [f"{at // 1000}.{at % 1000:03d}" for at in range(TIMEOUT_US // 1000 + 1001)]
TIMES = pa.array([*MILLIS, "-"])
LAST = pa.array([f"{text}\n" for text in (*MILLIS, "-")])
PARTS = pa.array([f".{at:03d}" for at in range(1000)])
URIS = pa.array([f"/items/{at}" for at in range(10_000)])
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def _write_log(rows: Any, file: BinaryIO) -> None:
    """As two nginx workers write it, each with a buffer of 0.2 s."""
    rows = rows[np.lexsort((rows["done"], rows["connection"] % 2, rows["done"] // 200_000))]
    if not len(rows):
        return

    def text(values: Any) -> Any:
        return pa.array(values).cast(pa.string())

    def table(texts: list[str], index: Any) -> Any:
        return pa.array(texts).take(pa.array(index))

    raw = rows["id"].astype(">u8").view(np.uint8).reshape(-1, 8)
    digits = np.stack([HEX[raw >> 4], HEX[raw & 15]], axis=2).reshape(-1)
    offsets = np.arange(0, 16 * len(rows) + 1, 16, dtype=np.int32)
    ids = pa.StringArray.from_buffers(len(rows), pa.py_buffer(offsets), pa.py_buffer(digits))
    done_ms = (rows["done"] + OFFSETS["proxy1"] + 500) // 1000
    columns = [
        ids, text(rows["connection"]), text(rows["port"]), table(["198.18.0.21", "198.18.0.20"], rows["port"] % 2),
        compute.binary_join_element_wise(text(done_ms // 1000), PARTS.take(pa.array(done_ms % 1000)), ""),
        TIMES.take(pa.array(rows["taken"])), text(rows["status"]), table(["", "OK"], rows["ok"].astype(np.int8)),
        table(["0", "120"], (rows["status"] == 200).astype(np.int8)), table(["GET"], np.zeros(len(rows), np.int8)),
        URIS.take(pa.array(rows["uri"])), table([f"{HOSTS[0].address}:8000", f"{HOSTS[1].address}:8000"], rows["server"]),
        table(["-", "200", "500", "502"], np.searchsorted([0, 200, 500, 502], rows["answered"])), TIMES.take(pa.array(rows["connect"] % len(TIMES))),
        TIMES.take(pa.array(rows["header"] % len(TIMES))), LAST.take(pa.array(rows["response"] % len(TIMES))),
    ]  # fmt: skip
    joined = compute.binary_join_element_wise(*columns, "\t")
    file.write(
        memoryview(joined.buffers()[2])[
            : joined.offset + int(np.frombuffer(joined.buffers()[1], np.int32)[len(rows)])
        ]
    )


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


def _rest(paths: TrialPaths, made: TrialPlan, by_worker: Any) -> None:
    """Plan, facts, journal, names, totals, samples, limiter events and manifests."""
    record.write_plan(paths.plan, made)
    with paths.facts.open("w") as file:
        for when in ("before", "after"):
            for host, offset in OFFSETS.items():
                facts = {
                    "os": {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"},
                    "boot_id": "one",
                    "cpus": 2,
                    "python": "3.11",
                }
                measured = {"best_us": offset, "half_trip_us": 100, "trips": []}
                file.write(
                    json.dumps({"when": when, "host": host, "facts": facts, "offset": measured}) + "\n"
                )
    with Journal(paths.journal) as journal:
        journal.write("trial", "end")
    for host, number in made.workers:
        (paths.raw(host) / f"names-{number}.json").write_text(json.dumps(["", "/items/[id]"]))
        total = {"worker": number, "requests": int(by_worker[number]), "failures": 0}
        (paths.raw(host) / f"totals-{number}.json").write_text(json.dumps(total))
    for host in OFFSETS:
        _samples(paths.raw(host) / "sample.jsonl", host, made.load.end_s)
        files = [
            {"path": path.name, "size": path.stat().st_size, "sha256": ""}
            for path in sorted(paths.raw(host).iterdir())
        ]
        said = {"format": 1, "host": host, "run": made.run, "trial": made.id, "files": files}
        (paths.raw(host) / formats.MANIFEST).write_text(json.dumps(said))


def _samples(path: Path, host: str, end_s: float) -> None:
    unit = {
        "app": "loadproof-app.service",
        "loa": "loadproof-load@1.service",
        "pro": "loadproof-proxy.service",
    }[host[:3]]
    with path.open("w") as file:
        file.write(
            json.dumps({"kind": "start", "host": host, "boot_id": "one", "cpus": 2, "clock_ticks": 100})
            + "\n"
        )
        for tick in range(-4, round(end_s * 2) + 7):
            moment = T0 + tick * 500_000 + OFFSETS[host]
            processes = [
                {
                    "pid": pid,
                    "start": 5000,
                    "name": "python3",
                    "unit": of,
                    "state": "S",
                    "cpu_ns": 10**9 + (tick + 4) * used,
                }
                for pid, of, used in ((700, unit, 300_000_000), (1, "init.scope", 1000))
            ]
            line = {
                "realtime_us": moment, "monotonic_ns": (moment - T0) * 1000 + 10**15, "processes": processes,
                "cpu": {"user_us": 10**9, "system_us": 0, "idle_us": 0, "iowait_us": 0, "steal_us": 0},
                "memory": {"total_kb": 2_000_000, "available_kb": 1_000_000}, "disk": {"free_kb": 9_000_000, "total_kb": 10_000_000},
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("folder", type=Path)
    words.add_argument("--requests", type=float, default=1e6)
    words.add_argument("--seed", type=int, default=1)
    given = words.parse_args()
    begun = time.monotonic()
    found, counts = generate(given.folder, int(given.requests), given.seed)
    print(f"{found.path}: {sum(counts.values())} requests in {time.monotonic() - begun:.1f} s: {counts}")
