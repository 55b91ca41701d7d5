"""Evidence of a sound trial, made by hand: every check finds it VALID. Tests spoil one thing of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analysis import checks
from analysis.checks import Check
from analysis.checks.evidence import Evidence
from analysis.ledgers import RequestLedger, TimeLedger
from analysis.load import SCHEMAS, Tables
from analysis.measures.columns import Ints
from analysis.measures.window import Window
from analysis.readers.clock import Clocks
from analysis.steady import Seconds
from loadproof.plan.actions import hosts_of
from loadproof.plan.places import APP_UNIT, load_unit
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import TrialPaths
from tests.analysis import synthetic

T0 = synthetic.T0
Line = dict[str, Any]


def us(second: float) -> int:
    """A second of the load as µs since the epoch."""
    return T0 + round(second * 1e6)


def stretches(*pairs: tuple[float, float]) -> Ints:
    """Stretches of seconds as µs, shape (n, 2)."""
    return np.array([(us(begin), us(end)) for begin, end in pairs], np.int64).reshape(-1, 2)


@dataclass
class Made:
    """All parts of the evidence, to be changed before `evidence`. Seconds count from second 0."""

    folder: Path
    plan: TrialPlan = field(default_factory=lambda: synthetic.plan(servers=2))
    # CPU-seconds used at a second, by (host, column); others use none
    used: dict[tuple[str, str], Callable[[float], float]] = field(default_factory=dict)
    samples: dict[str, Line] = field(default_factory=dict)  # by host: other columns, the same in every sample
    sampled: dict[str, tuple[float, float]] = field(default_factory=dict)  # by host: from and to
    unsampled: dict[str, tuple[float, float]] = field(default_factory=dict)  # by host: a gap
    ended: dict[str, tuple[float, ...]] = field(default_factory=dict)  # by host: whose samples miss a process
    users: list[tuple[float, str]] = field(default_factory=list)
    lag_ms: dict[int, Callable[[int], float]] = field(default_factory=dict)
    stall_ms: dict[int, tuple[int, float]] = field(
        default_factory=dict
    )  # by worker: in which second, how long
    worker_cpu: dict[int, float] = field(default_factory=dict)  # share of a CPU
    silent: dict[int, tuple[float, float]] = field(default_factory=dict)  # workers without rows from, to
    before: dict[str, Line] = field(default_factory=dict)
    after: dict[str, Line] = field(default_factory=dict)
    limiter: dict[str, list[Line] | None] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)
    journal: list[tuple[str, str, Line]] | None = field(default_factory=list)
    lost: list[int] | None = field(default_factory=list)
    busy: dict[str, Ints | None] = field(default_factory=dict)
    attempts: dict[str, int | None] = field(default_factory=dict)
    figures: dict[str, Any] = field(default_factory=dict)
    malformed: dict[str, tuple[int, int]] = field(default_factory=dict)
    present: dict[str, tuple[str, ...]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)  # "host/name"; None is not possible: remove the key
    placed: frozenset[str] = frozenset()
    hold: Window | None = None
    zero: int | None = T0
    requests: RequestLedger | None = RequestLedger(0, 5000)
    time: TimeLedger | None = TimeLedger(144.0, 143.4)
    seconds: Seconds | None = None

    @staticmethod
    def sound(folder: Path, plan: TrialPlan | None = None) -> Made:
        """A trial in which everything held."""
        made = Made(folder) if plan is None else Made(folder, plan)
        one, hosts = made.plan, hosts_of(made.plan)
        for host in one.apps:
            made.used[host, "app_ns"] = lambda at: 0.065 * max(0.0, at)
            made.limiter[host] = events((-2, "started"), (-1, "attached"), (24, "lifted"), (24, "ended"))
            made.files[f"{host}/app-700-1.rows"] = b""
            made.files[f"{host}/app.log"] = b"INFO started\n"
            made.busy[host], made.attempts[host] = stretches((0, 23)), 400
        for host, number in one.workers:
            made.files[f"{host}/requests-{number}.rows"] = b""
            made.lag_ms[number], made.worker_cpu[number] = (lambda second: 1.0), 0.1
            made.rates[host] = 2000.0
        made.files[f"{one.proxy}/access.jsonl"] = b"{}\n"
        made.users = [(second + 0.01 * k, "user_started") for second in (0.0, 2.0, 4.0) for k in range(3)] + [
            (22.01, "user_stopped")
        ] * 9
        made.before = {host: facts(one, host) for host in hosts}
        made.after = {host: facts(one, host) for host in hosts}
        made.journal = [("drain", "begin", {}), ("drain", "end", {})]
        whole = {"requests": 800, "failures": 8, "mtt_ms": 180.0, "p50_ms": 170.0}
        made.figures = {**whole, "servers": [{"host": host, "requests": 400} for host in one.apps], "whole_run": {"peak_tps": 60.0}}  # fmt: skip
        if one.load.rate is not None:
            made.figures["arrivals"] = {"planned": 800, "made": 800, "late": 0, "not_made": 0}
        made.malformed = {"requests": (0, 900), "proxy": (0, 900), "app": (0, 1100)}
        workers = tuple(str(number) for _, number in one.workers)
        made.present = {"requests": workers, "workers": workers, "users": workers, "proxy": (one.proxy,), "app": one.apps, "cpu": hosts}  # fmt: skip
        made.placed = frozenset(hosts)
        made.hold = Window("hold", 9, T0, us(6), us(22))
        made.seconds = Seconds(np.tile([48.0, 52.0], 8), np.tile([179.0, 181.0], 8))
        return made

    def evidence(self) -> Evidence:
        """The parts as checks see them; files are written."""
        paths = TrialPaths(self.folder)
        for name, data in self.files.items():
            (paths.raw() / name).parent.mkdir(parents=True, exist_ok=True)
            (paths.raw() / name).write_bytes(data)
        for host, found in self.limiter.items():
            if found is not None:
                (paths.raw(host) / "limiter.jsonl").write_text(
                    "".join(json.dumps(one) + "\n" for one in found)
                )
        if self.lost is not None:
            totals = paths.raw(self.plan.loads[0]) / "totals-master.json"
            totals.write_text(json.dumps({"requests": 1, "lost": self.lost}))
        lines = [{"when": "before", "host": host, "facts": one} for host, one in self.before.items()]
        lines += [{"when": "after", "host": host, "facts": one} for host, one in self.after.items()]
        lines += [{"when": "rate", "host": host, "rate": rate} for host, rate in self.rates.items()]
        paths.facts.write_text("".join(json.dumps(line) + "\n" for line in lines))
        if self.journal is not None:
            with Journal(paths.journal) as journal:
                for stage, event, fields in self.journal:
                    journal.write(stage, event, **fields)
        clock = Clocks({}, (), self.placed)
        return Evidence(
            paths, self.plan, self._tables(), clock, self.hold, self.zero, self.figures, self.busy, self.attempts,
            self.malformed, self.requests, self.time, self.seconds,
        )  # fmt: skip

    def judge(self, name: str) -> Check:
        """What one check finds."""
        return next(one for one in checks.judge_all(self.evidence()) if one.name == name)

    def _tables(self) -> Tables:
        empty = {kind: schema.empty_table() for kind, schema in SCHEMAS.items()}
        made = empty | {"users": self._users(), "workers": self._workers(), "cpu": self._cpu()}
        return Tables(**made, present=self.present, notes=())

    def _users(self) -> Any:
        rows = [
            {"host": "load1", "worker": 1, "user": user, "kind": kind, "at_us": us(at)}
            for user, (at, kind) in enumerate(self.users)
        ]
        return pa.Table.from_pylist(rows, schema=SCHEMAS["users"])

    def _workers(self) -> Any:
        rows = []
        for host, number in self.plan.workers:
            begin, end = self.silent.get(number, (99, 99))
            for second in range(1, 24):
                if begin <= second < end or number not in self.lag_ms:
                    continue
                lag = int(self.lag_ms[number](second) * 1000)
                spent = int(self.worker_cpu[number] * second * 1e9)
                row = {"host": host, "worker": number, "at_us": us(second + 0.3), "users": 3}
                when, stall = self.stall_ms.get(number, (-1, 0.0))
                longest = int(stall * 1000) if when == second else lag
                rows.append(row | {"lag_max_us": longest, "lag_p99_us": lag, "cpu_ns": spent})
        return pa.Table.from_pylist(rows, schema=SCHEMAS["workers"])

    def _cpu(self) -> Any:
        rows = []
        for host in self.present["cpu"]:
            begin, end = self.sampled.get(host, (-2, 25))
            for tick in range(int(begin * 2), int(end * 2)):
                at = tick / 2
                gap = self.unsampled.get(host, (99, 99))
                if gap[0] < at < gap[1]:
                    continue
                row = dict.fromkeys(SCHEMAS["cpu"].names, 0) | {"host": host, "at_us": us(at)}
                row |= {"app_processes": 1, "disk_free_kb": 9_000_000, "host_idle_us": int((at + 9) * 1e6)}
                row |= {"app_ended": self.ended.get(host, ()).count(at)}
                row |= self.samples.get(host, {})
                for (owner, column), share in self.used.items():
                    if owner == host:
                        scale = 1e9 if column.endswith("_ns") else 1e6
                        row[column] = int(share(at) * scale)
                rows.append(row)
        return pa.Table.from_pylist(rows, schema=SCHEMAS["cpu"])


def events(*found: tuple[float, str], **fields: Any) -> list[Line]:
    """Events of a limiter at 5 %."""
    about = {"started": {"percent": 5}, "attached": {"pid": 700}, "ended": {"why": "SIGTERM"}}
    return [{"realtime_us": us(at), "event": name, **about.get(name, {}), **fields} for at, name in found]


def facts(plan: TrialPlan, host: str) -> Line:
    """What a host says that is as deployed."""
    units = {load_unit(number): {"active": "inactive"} for owner, number in plan.workers if owner == host}
    said: Line = {
        "boot_id": "b", "pid1_start": 77, "cpus": 2, "files": {"/etc/loadproof/deploy.json": {"sha256": "a"}},
        "trees": {"/opt/loadproof/trees/app-1": True}, "altered": {}, "dropins": [], "health": {}, "config": {},
    }  # fmt: skip
    if host in plan.apps:
        units[APP_UNIT] = {"active": "active", "pid": 700, "restarts": 0}
        said["health"] = {"8000": {"deploy_id": plan.deploy_id, "variant": plan.serving.variant}}
    if host == plan.proxy:
        said["config"] = {"8079": "c0ffee"}
        said["files"] = said["files"] | {"/etc/loadproof/nginx.conf": {"sha256": "n"}}
    return json.loads(json.dumps(said | {"units": units}))  # type: ignore[no-any-return]
