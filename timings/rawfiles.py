"""Raw files and records of a trial, from arrays: what `timings.generate` makes up is laid down as real programs do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa
from pyarrow import compute

from loadproof.plan.values import Host, TrialPlan
from loadproof.runfolder import formats, record
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import TrialPaths

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
CLIENT = np.dtype([("_key", "<i8"), ("_row", formats.CLIENT_ROW)])
APP = np.dtype([("_key", "<i8"), ("_server", "i1"), ("_row", formats.APP_ROW)])
PENDING = np.dtype(
    [("id", "<u8"), ("done", "<i8"), ("connection", "<u4"), ("port", "<u2"), ("taken", "<i4"), ("status", "<i2"), ("ok", "?"),
     ("uri", "<i4"), ("server", "i1"), ("answered", "<i2"), ("connect", "<i4"), ("header", "<i4"), ("response", "<i4")]
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


def header(magic: bytes, worker: int, pid: int = 1) -> bytes:
    """The header of a row file."""
    return np.array([(magic, 1, 64, worker, 0, T0 - 10**7, 10**15, pid, b"")], formats.HEADER).tobytes()


def write_clients(rows: Any, files: dict[int, BinaryIO], made: TrialPlan, by_worker: Any) -> None:
    """Rows to the file of their worker, by its host's clock; counts those that were not cut."""
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


def write_apps(rows: Any, files: list[BinaryIO]) -> None:
    """Rows to the file of their app, by its host's clock."""
    for index, host in enumerate(APPS):
        mine = rows["_row"][rows["_server"] == index]
        for name in ("accepted_us", "read_us", "handed_us", "lost_us"):
            mine[name][mine[name] > 0] += OFFSETS[host]
        files[index].write(mine.tobytes())


MILLIS = [f"{at // 1000}.{at % 1000:03d}" for at in range(10_001)]  # no time is longer
TIMES = pa.array([*MILLIS, "-"])
LAST = pa.array([f"{text}\n" for text in (*MILLIS, "-")])
PARTS = pa.array([f".{at:03d}" for at in range(1000)])
URIS = pa.array([f"/items/{at}" for at in range(10_000)])
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def write_log(rows: Any, file: BinaryIO) -> None:
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


def write_records(paths: TrialPaths, made: TrialPlan, by_worker: Any) -> None:
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
                "cpu": {"user_us": 10**9, "system_us": 0, "idle_us": (tick + 4) * 10**6, "iowait_us": 0, "steal_us": 0},
                "memory": {"total_kb": 2_000_000, "available_kb": 1_000_000}, "disk": {"free_kb": 9_000_000, "total_kb": 10_000_000},
            }  # fmt: skip
            file.write(json.dumps(line) + "\n")
