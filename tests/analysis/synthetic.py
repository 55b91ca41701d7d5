"""Raw files of trials that never happened, laid out as real ones: for figures whose answer is known."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from loadproof.plan.values import Arm, Experiment, Host, Inventory, Limit, Load, Serving, TrialPlan
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
TABLE = ((0.0, 3), (2.0, 6), (4.0, 9))
LOAD = Load(
    3, 3, 9, "users", TABLE, 4.0, 2.0, 16.0, 22.0, 0.0, 2.0, "items", ("9 users = 3 processes x 3 threads",)
)

OPEN = dataclasses.replace(LOAD, rate=50.0, arrivals="even", table=((0.0, 9),), ramp_end_s=1.0, settle_s=5.0)


def plan(
    run: str = "20261124T031500Z-made", id: str = "01", servers: int = 1, load: Load = LOAD, **changes: Any
) -> TrialPlan:
    """A TrialPlan with 2 load hosts and 3 Locust workers."""
    made = TrialPlan(
        run, id, f"servers={servers}", (("servers", servers),), 1, "block 1", ("app1", "app2")[:servers],
        ("app2",)[: 2 - servers], "proxy1", ("load1", "load2"), (), load, (("load1", 1), ("load1", 2), ("load2", 3)),
        Limit("cpulimit", 5.0), Serving(), 1, 200, "d3adbeef0123",
        (("client", load.timeout_s), ("nginx connect", 60), ("nginx send", 60), ("nginx read", 60)), load.end_s, 30.0,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


@dataclass
class Raw:
    """What the hosts of one trial wrote. Seconds count from second 0, on the control machine's clock."""

    plan: TrialPlan
    client: dict[int, list[tuple[Any, ...]]] = field(default_factory=dict)  # worker -> rows in time order
    app: dict[tuple[str, int], list[tuple[Any, ...]]] = field(default_factory=dict)  # (host, pid) -> rows
    proxy: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    names: list[str] = field(
        default_factory=lambda: ["", "/items/[id]", "ValueError", "EHOSTUNREACH", "HTTPParseError"]
    )

    def host_of(self, worker: int) -> str:
        return {number: host for host, number in self.plan.workers}[worker]

    def us(self, host: str, second: float) -> int:
        """A moment as that host's clock shows it."""
        return T0 + round(second * 1e6) + OFFSETS[host]

    def user(self, worker: int, user: int, second: float, kind: int = formats.KIND_USER_STARTED) -> None:
        row = (kind, 0, 0, 0, 0, 0, user, 0, 0, 0, self.us(self.host_of(worker), second), 0, 0, 0, 0)
        self.client.setdefault(worker, []).append(row)

    def request(
        self, worker: int, sequence: int, start: float, end: float, error: str = "", status: int = 200,
        user: int = 1, error_name: int = 0, id: int | None = None, due: float | None = None,
    ) -> int:  # fmt: skip
        """A client row; gives its id. `due`: when an open load was to send it."""
        number = (worker << 48) | sequence if id is None else id
        host = self.host_of(worker)
        begin, done = self.us(host, start), self.us(host, end)
        first = done if error in ("", "http", "scenario") else 0
        row = (
            formats.KIND_REQUEST, formats.ERROR_CLASSES.index(error), status, 1, error_name, number, user, 40_000, 0,
            begin if due is None else self.us(host, due), begin, first, done, 120, 0,
        )  # fmt: skip
        self.client.setdefault(worker, []).append(row)
        return number

    def second(self, worker: int, at: float, users: int) -> None:
        row = np.zeros(1, formats.SECOND_ROW)
        row["kind"], row["users"], row["start_us"] = (
            formats.KIND_SECOND,
            users,
            self.us(self.host_of(worker), at),
        )
        row["lag_max_us"], row["lag_p99_us"], row["cpu_ns"] = 900, 400, int(max(0, at) * 1e8)
        self.client.setdefault(worker, []).append(tuple(row.view(formats.CLIENT_ROW)[0]))

    def read(
        self, host: str, id: int, read: float, handed: float | None = None, lost: float | None = None,
        exception: str = "", status: int = 200, pid: int = 700,
    ) -> None:  # fmt: skip
        """An app row."""
        state = formats.APP_STATE_READ | (2 if handed is not None else 0) | (4 if lost is not None else 0)
        times = [0 if one is None else self.us(host, one) for one in (read, read, handed, lost)]
        row = (id, 1, 50_000, status, state, formats.APP_EXCEPTIONS.index(exception), b"", *times, 0)
        self.app.setdefault((host, pid), []).append(row)

    def logged(
        self, id: int, start: float, end: float, server: str = "app1", status: int = 200, **changes: Any
    ) -> None:
        """A line of nginx."""
        address = {host.name: f"{host.address}:8000" for host in HOSTS}.get(server, server)
        taken = f"{end - start:.3f}"
        line = {
            "id": f"{id:016x}", "connection": 7, "port": 40_000, "peer": "198.18.0.20",
            "msec": f"{self.us('proxy1', end) / 1e6:.3f}", "request_time": taken, "status": str(status), "completion": "OK",
            "bytes": 120, "method": "GET", "uri": "/items/3", "upstream_addr": address, "upstream_status": str(status),
            "upstream_connect_time": "0.000", "upstream_header_time": taken, "upstream_response_time": taken,
        }  # fmt: skip
        if status == 499:  # the client left before there was an answer
            line |= {"completion": "", "bytes": 0, "upstream_status": "-", "upstream_header_time": "-"}
        self.proxy.append({**line, **changes})

    def sample(self, host: str, at: float, processes: Sequence[tuple[int, int, str, float]]) -> None:
        """A tick; processes are (pid, start, unit, CPU-seconds so far)."""
        listed = [
            {
                "pid": pid,
                "start": start,
                "name": "python3",
                "unit": unit,
                "state": "S",
                "cpu_ns": round(cpu * 1e9),
            }
            for pid, start, unit, cpu in processes
        ]
        moment = self.us(host, at)
        self.samples.setdefault(host, []).append(
            {
                "realtime_us": moment, "monotonic_ns": (moment - T0) * 1000 + 10**15, "processes": listed,
                "cpu": {"user_us": 10**9, "system_us": 0, "idle_us": round((at + 100) * 2e6), "iowait_us": 0, "steal_us": 0},
                "memory": {"total_kb": 2_000_000, "available_kb": 1_000_000},
                "disk": {"free_kb": 9_000_000, "total_kb": 10_000_000},
            }
        )  # fmt: skip

    def write(self, paths: TrialPaths) -> None:
        """Everything, as if fetched: plan, facts, raw files, names, totals and manifests."""
        record.write_plan(paths.plan, self.plan)
        hosts = (*self.plan.loads, self.plan.proxy, *self.plan.apps)
        with paths.facts.open("w") as file:
            for when, host in itertools.product(("before", "after"), hosts):
                half = 100 if when == "before" else 300
                offset = {"best_us": OFFSETS[host] + (half > 100), "half_trip_us": half, "trips": []}
                facts = {
                    "os": {"PRETTY_NAME": "Debian GNU/Linux 12 (bookworm)"},
                    "boot_id": "one",
                    "cpus": 2,
                    "python": "3.11",
                }
                file.write(json.dumps({"when": when, "host": host, "facts": facts, "offset": offset}) + "\n")
        with Journal(paths.journal) as journal:
            journal.write("trial", "end")
        for host in hosts:
            paths.raw(host).mkdir(parents=True, exist_ok=True)
        self._rows(paths)
        self._lines(paths)
        for host in hosts:
            seal(paths.raw(host), host, self.plan)

    def _rows(self, paths: TrialPaths) -> None:
        for host, worker in self.plan.workers:
            rows = np.array(self.client.get(worker, []), formats.CLIENT_ROW)
            folder = paths.raw(host)
            (folder / f"requests-{worker}.rows").write_bytes(
                header(formats.CLIENT_MAGIC, worker) + rows.tobytes()
            )
            (folder / f"names-{worker}.json").write_text(json.dumps(self.names))
            requests = rows[rows["kind"] == formats.KIND_REQUEST]
            done = int((requests["error"] != formats.ERROR_CLASSES.index("cut")).sum())
            (folder / f"totals-{worker}.json").write_text(
                json.dumps({"worker": worker, "requests": done, "failures": 0})
            )
        for host in self.plan.apps:
            self.app.setdefault((host, 700), [])
        for (host, pid), rows_of in self.app.items():
            data = np.array(rows_of, formats.APP_ROW).tobytes()
            (paths.raw(host) / f"app-{pid}-{pid}000.rows").write_bytes(
                header(formats.APP_MAGIC, 0, pid) + data
            )

    def _lines(self, paths: TrialPaths) -> None:
        (paths.raw(self.plan.proxy) / formats.ACCESS_LOG).write_bytes(b"".join(map(tabbed, self.proxy)))
        for host in self.plan.apps:
            kind, percent, over = self.plan.limit.kind, self.plan.limit_at(host), self.plan.load.end_s + 1
            events: tuple[tuple[float, dict[str, Any]], ...] = (
                (-2, {"event": "started", "limiter": kind, "percent": percent}),
                (-1, {"event": "attached", "pid": 700, "child": 900}),
                (-1, {"event": "in_force", "ok": True, "why": ""}),
                (over, {"event": "lifted", "pid": 700}),
                (over, {"event": "ended", "why": "SIGTERM"}),
            )
            text = "".join(
                json.dumps({"realtime_us": self.us(host, at), **event}) + "\n" for at, event in events
            )
            (paths.raw(host) / "limiter.jsonl").write_text(text)
        for host, ticks in self.samples.items():
            start = {"kind": "start", "host": host, "boot_id": "one", "cpus": 2, "clock_ticks": 100}
            text = "".join(json.dumps(line) + "\n" for line in (start, *ticks))
            (paths.raw(host) / "sample.jsonl").write_text(text)


def tabbed(line: Mapping[str, Any]) -> bytes:
    """A line as nginx writes it."""
    fields = [str(line[name]).encode("utf-8", "surrogatepass") for name in formats.PROXY_FIELDS]
    return b"\t".join(map(escaped, fields)) + b"\n"


def escaped(field: bytes) -> bytes:
    """What nginx makes of a value with escape=default."""
    return b"".join(
        b"%c" % one if 32 <= one <= 126 and one not in b'"\\' else b"\\x%02X" % one for one in field
    )


def header(magic: bytes, worker: int, pid: int = 1) -> bytes:
    """The header of a row file."""
    return np.array([(magic, 1, 64, worker, 0, T0, 10**15, pid, b"")], formats.HEADER).tobytes()


def seal(folder: Path, host: str, made: TrialPlan) -> None:
    """manifest.json over what is in a folder now."""
    (folder / formats.MANIFEST).unlink(missing_ok=True)
    files = [
        {"path": path.name, "size": path.stat().st_size, "sha256": ""} for path in sorted(folder.iterdir())
    ]
    said = {"format": 1, "host": host, "run": made.run, "trial": made.id, "files": files}
    (folder / formats.MANIFEST).write_text(json.dumps(said))


def write_run(
    base: Path, raws: Iterable[Raw], note: str = "does a second server help?", **provenance: Any
) -> RunFolder:
    """A run folder with one trial per Raw."""
    made = list(raws)
    folder = RunFolder(base / made[0].plan.run)
    folder.path.mkdir(parents=True)
    first = made[0].plan
    servers = tuple(len(raw.plan.apps) for raw in made)
    arms = tuple(
        Arm(f"servers={count}", (("servers", count),), count, first.load, first.limit, first.serving)
        for count in servers
    )
    asked = Experiment("made", note, arms, first.seed, 200)
    inventory = Inventory("inventory/made.yml", HOSTS)
    said = {
        "commit": "0123456789abcdef0123456789abcdef01234567", "dirty": False, "python": "3.11.2",
        "system": "Linux", "versions": [["numpy", "2.4.6"]], **provenance,
    }  # fmt: skip
    record.write_run(folder, asked, inventory, said, ("inv", "demo"), [raw.plan for raw in made])
    for raw in made:
        raw.write(folder.trial(raw.plan.folder))
    return folder


def quiet_samples(raw: Raw, share: Mapping[str, float], restart: Mapping[str, float] | None = None) -> None:
    """Samples of all hosts from second -2 to 3 s after the end; apps use `share` of a CPU from second 0 on."""
    end = raw.plan.load.end_s + 3
    for host in (*raw.plan.loads, raw.plan.proxy, *raw.plan.apps):
        again = (restart or {}).get(host, end + 9)
        for tick in range(int((end + 2) * 2)):
            at = tick / 2 - 2
            cpu = 0.4 + share.get(host, 0.01) * max(0.0, at)
            app = (700, 5000, "loadproof-app.service", cpu)
            if at >= again:  # a new process, which began between two samples
                app = (701, 9000, "loadproof-app.service", share[host] * (at - again + 0.25))
            unit = [app] if host.startswith("app") else [(600, 4000, "loadproof-load@1.service", cpu)]
            raw.sample(
                host,
                at,
                [
                    *unit,
                    (1, 1, "init.scope", 3.0),
                    (800, 6000, "loadproof-limit.service", 1 + 0.01 * (at + 2)),
                ],
            )


def simulate(made: TrialPlan, seed: int, service_s: float, fail: float = 0.01) -> Raw:
    """A closed loop over FIFO servers, users as in the load table. Clients give up after the timeout; the app finds out
    when it answers (BrokenPipeError); what is in flight at the end is cut. Workers' users and servers take turns."""
    chance = random.Random(seed)
    raw = Raw(made)
    free = dict.fromkeys(made.apps, 0.0)
    sequence = {worker: itertools.count() for _, worker in made.workers}
    turns = itertools.cycle(made.apps)
    queue: list[tuple[float, int, int]] = []
    users = 0
    for second, wanted in made.load.table:
        for user in range(users, wanted):
            worker = made.workers[user % len(made.workers)][1]
            raw.user(worker, user, second + (user - users) * 0.004)
            heapq.heappush(queue, (second + (user - users) * 0.004 + 0.001, user, worker))
        users = wanted
    end = made.load.end_s
    while queue:
        begin, user, worker = heapq.heappop(queue)
        if begin >= end:
            continue
        done = _one(
            raw, made, chance, free, next(turns), begin, worker, next(sequence[worker]), user, service_s, fail
        )
        if done < end:
            heapq.heappush(queue, (done + made.load.think_s + 0.0005, user, worker))
    for user in range(made.load.users):
        raw.user(made.workers[user % len(made.workers)][1], user, end + 0.001, formats.KIND_USER_STOPPED)
    for at in range(1, int(end) + 2):
        for _, worker in made.workers:
            raw.second(worker, at, users // len(made.workers))
    for rows in raw.client.values():
        rows.sort(key=lambda row: row[12] or row[10])
    quiet_samples(raw, dict.fromkeys(made.apps, 0.052), {"app1": end - 5} if seed % 2 else None)
    for at in range(200):  # warm-up, outside every figure
        raw.read(made.apps[at % len(made.apps)], (0xFFF0 << 48) | at, -9 + at / 100, -9 + at / 100 + 0.002)
        raw.logged((0xFFF0 << 48) | at, -9 + at / 100, -9 + at / 100 + 0.003, made.apps[at % len(made.apps)])
    return raw


def _one(
    raw: Raw, made: TrialPlan, chance: random.Random, free: dict[str, float], server: str, begin: float, worker: int,
    number: int, user: int, service_s: float, fail: float,
) -> float:  # fmt: skip
    read = begin + 0.001
    free[server] = max(free[server], read) + chance.expovariate(1 / service_s)
    done = free[server]
    limit, end = begin + made.load.timeout_s, made.load.end_s
    kind, status, ended = ("http", 502, done + 0.001) if chance.random() < fail else ("", 200, done + 0.001)
    if done > min(limit, end):
        kind, status, ended = ("timeout", 0, limit) if limit <= end else ("cut", 0, end)
    id = raw.request(worker, number, begin, ended, kind, status, user)
    gone = kind in ("timeout", "cut")
    if status == 502:
        raw.logged(id, begin, ended, server, 502)
        return ended
    raw.read(server, id, read, done, done + 0.0002 if gone else None, "BrokenPipeError" if gone else "")
    raw.logged(id, begin, ended, server, 499 if gone else status)
    return ended


def two_arms(base: Path, run: str = "20261124T031500Z-made") -> RunFolder:
    """1 server and 2 servers, overloaded: timeouts, 502s, broken pipes, cut requests, a restarted app."""
    load = dataclasses.replace(LOAD, timeout_s=1.8)
    arms = [
        simulate(plan(run, "01", 1, load), 1, 0.16),
        simulate(plan(run, "02", 2, load), 2, 0.16),
    ]
    return write_run(base, arms)


def one_arm(base: Path, made: TrialPlan | None = None) -> tuple[RunFolder, Raw]:
    """A trial small enough to count by hand; see test_figures.py for its answers."""
    raw = Raw(made or plan())
    for user in range(9):
        raw.user(raw.plan.workers[user % 3][1], user, (0.0, 2.0, 4.0)[user // 3])
    by_hand(raw)
    for user in range(9):
        raw.user(raw.plan.workers[user % 3][1], user, 22.01, formats.KIND_USER_STOPPED)
    quiet_samples(raw, {"app1": 0.05})
    return write_run(base, [raw]), raw


def by_hand(raw: Raw) -> None:
    """Requests around the window [6, 22): what counts and what does not."""
    number = raw.request(1, 0, 1.0, 2.0)  # in the ramp
    raw.read("app1", number, 1.1, 1.9)
    for index, (start, end) in enumerate([(5.9, 6.0), (7.0, 7.2), (8.0, 8.3), (21.0, 21.999999)]):
        number = raw.request(2, index, start, end)
        raw.read("app1", number, start + 0.01, end - 0.01)
        raw.logged(number, start, end)
    number = raw.request(2, 4, 9.0, 10.0, "http", 503)  # delivered: a complete 5xx
    raw.read("app1", number, 9.1, 9.9, status=503)
    number = raw.request(3, 0, 9.0, 11.0, "timeout", 0)  # read, never delivered
    raw.read("app1", number, 9.1, 11.5, 11.5, "BrokenPipeError")
    raw.logged(number, 9.0, 11.0, status=499)
    raw.request(3, 1, 12.0, 12.1, "refused", 0)  # never reached an app
    number = raw.request(3, 2, 13.0, 13.5, "other", 0, error_name=2)  # nginx names its server, no app row
    raw.logged(number, 13.0, 13.5, status=502)
    number = raw.request(1, 1, 21.9, 22.0, "", 200)  # ends with the window's end: outside
    raw.read("app1", number, 21.95, 21.99)
    number = raw.request(1, 2, 21.5, 22.005, "cut", 0)
    raw.read("app1", number, 21.6, 22.2, 22.2, "BrokenPipeError")
    raw.read("app1", (0xFFF1 << 48) | 1, 12.0, 12.0, 12.1, "BrokenPipeError")  # health: outside every figure
    raw.read("app1", 0, 12.0, 12.0, 12.1, "BrokenPipeError")  # no valid id: nobody of ours
