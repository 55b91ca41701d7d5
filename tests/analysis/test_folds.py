"""What is judged of rows chunk by chunk is what is judged of them at once, and forged ids take no memory."""

from __future__ import annotations

import dataclasses
import random
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import load
from analysis.readers import app, client, rowfile
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Outcome
from loadproof.runfolder import formats, record
from loadproof.runfolder.paths import RunFolder, TrialPaths
from tests.analysis import synthetic
from tests.analysis.small import CLOCKS, SEALS

REQUEST = formats.KIND_REQUEST
Rows = Any


def rows_of(path: Path) -> Rows:
    kind = formats.APP_ROW if path.name.startswith("app-") else formats.CLIENT_ROW
    return np.frombuffer(path.read_bytes()[64:], kind).copy()


def keep(path: Path, rows: Rows) -> None:
    path.write_bytes(path.read_bytes()[:64] + rows.tobytes())


def read_clients(paths: TrialPaths) -> Outcome:
    return client.read(
        paths, record.read_plan(paths.plan), Clocks({}, (), frozenset(synthetic.OFFSETS)), SEALS
    )


def read_apps(paths: TrialPaths) -> Outcome:
    return app.read(paths, record.read_plan(paths.plan).apps, CLOCKS, SEALS)


def same(one: Outcome, other: Outcome) -> bool:
    def plain(of: Outcome) -> tuple[Any, ...]:
        tables = (of.table, of.extra.get("users"), of.extra.get("workers"))
        rows = [table.to_pylist() if table is not None else None for table in tables]
        return (rows, of.present, of.notes, of.extra.get("whole"), of.malformed, of.all)

    return plain(one) == plain(other)


def harm(rows: Rows, chance: random.Random) -> Rows:
    """A few rows blank, strange, with impossible times, twice, gone, somebody else's or far away; room at the end."""
    for _ in range(chance.randint(0, 5)):
        at = chance.randrange(len(rows))
        which = chance.randrange(8)
        if which == 0:
            rows[at] = 0
        elif which == 1:
            rows["kind"][at] = chance.randrange(256)
        elif which == 2:
            rows["end_us"][at] = chance.choice([0, -5, 2**62])
        elif which == 3:
            rows = np.insert(rows, at, rows[at])
        elif which == 4:
            rows = np.delete(rows, slice(at, at + chance.randint(1, 9)))
        elif which == 5:
            rows["id"][at] = chance.choice([0, 5, 2**64 - 1, (1 << 48) + 2**47, (77 << 48) + 3])
        elif which == 6:
            rows = rows[: max(1, at)]
        else:
            rows = np.concatenate([rows, np.zeros(chance.randint(1, 300), rows.dtype)])
    return rows


@pytest.mark.parametrize("seed", range(6))
def test_chunks_of_any_size_tell_the_same(
    copy: RunFolder, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(seed)
    paths = copy.trials[1]
    for path in (*paths.raw("load1").glob("*.rows"), *paths.raw("load2").glob("*.rows")):
        keep(path, harm(rows_of(path), chance))
    for path in paths.raw("app1").glob("*.rows"):
        rows = rows_of(path)
        rows["state"][[chance.randrange(len(rows)) for _ in range(chance.randint(0, 3))]] = 0
        keep(path, np.concatenate([rows, np.zeros(chance.choice([0, 7, 500]), rows.dtype)]))
    clients, apps = read_clients(paths), read_apps(paths)
    for chunk in (chance.randint(5, 20), chance.randint(40, 400)):
        monkeypatch.setattr(rowfile, "CHUNK", chunk)
        assert same(read_clients(paths), clients) and same(read_apps(paths), apps)


def of_worker_1(copy: RunFolder, change: Callable[[Rows], Rows]) -> Outcome:
    path = copy.trials[0].raw("load1") / "requests-1.rows"
    keep(path, change(rows_of(path)))
    return read_clients(copy.trials[0])


def test_what_cannot_be_used_is_counted(copy: RunFolder) -> None:
    before = read_clients(copy.trials[0])
    assert before.malformed == 0 and before.all > before.table.num_rows

    def change(rows: Rows) -> Rows:
        rows[20] = 0
        rows["kind"][30], rows["start_us"][40] = 9, 2**60
        return np.concatenate([rows, np.zeros(50, rows.dtype)])

    found = of_worker_1(copy, change)
    assert (found.malformed, found.all) == (3, before.all)
    path = copy.trials[0].raw("load1") / "requests-1.rows"
    path.write_bytes(path.read_bytes().rstrip(b"\0")[:-70])
    cut = read_clients(copy.trials[0])
    assert cut.malformed == 4 and any("its last row is cut" in note for note in cut.notes)
    apps = read_apps(copy.trials[0])
    assert apps.malformed == 0 and apps.all == apps.table.num_rows > 0


@pytest.mark.parametrize("share", [0.01, 1.0])
def test_forged_numbers_take_no_memory(copy: RunFolder, share: float) -> None:
    """Sequence numbers and users of any size: what is kept is a few bytes for each row of the file."""
    chance = np.random.default_rng(1)

    def change(rows: Rows) -> Rows:
        many = np.resize(rows[rows["kind"] == REQUEST], 50_000)
        many["id"] = (1 << 48) | np.arange(len(many))
        odd = chance.random(len(many)) < share
        many["id"][odd] = (1 << 48) | chance.integers(0, 1 << 48, int(odd.sum()))
        many["user"] = chance.integers(0, 1 << 32, len(many))
        return np.concatenate([rows[rows["kind"] != REQUEST], many])

    tracemalloc.start()
    found = of_worker_1(copy, change)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 100 << 20
    assert "1" not in found.present
    assert any("numbers missing in the sequence" in note for note in found.notes)


def test_all_twice_is_told(copy: RunFolder) -> None:
    found = of_worker_1(copy, lambda rows: np.repeat(rows, 2))
    count = (found.table["worker"].to_numpy() == 1).sum() // 2
    assert any(f"{count} ids written twice" in note for note in found.notes)


def test_tables_say_how_much_could_be_used(copy: RunFolder) -> None:
    paths = copy.trials[0]
    log = paths.raw("proxy1") / formats.ACCESS_LOG
    lines = log.read_bytes().count(b"\n")
    log.write_bytes(log.read_bytes() + b"rubbish\n\x00\x01\n")
    plan = record.read_plan(paths.plan)

    def where(kind: str) -> Path:
        return copy.table(kind, paths.name)

    found = load.tables(paths, plan, where)
    assert found.counts["proxy"] == (2, lines + 2)
    assert found.counts["app"] == (0, found.app.count) and found.counts["requests"][0] == 0
    again = load.tables(paths, plan, where)
    assert again.counts == found.counts and again.notes == found.notes
    nowhere = dataclasses.replace(plan, proxy="nobody")
    assert load.tables(paths, nowhere, where, rebuild=True).counts["proxy"] == (0, 0)


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_a_table_that_fails_ends_the_others(
    copy: RunFolder, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """None of them is left half made, and what was there stays."""
    paths = copy.trials[0]
    plan = record.read_plan(paths.plan)
    before = {path: path.read_bytes() for path in copy.path.rglob("*.parquet")}

    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(load.samples, "read", fail)
    with pytest.raises(error):
        load.tables(paths, plan, lambda kind: copy.table(kind, paths.name), rebuild=True)
    assert {path for path in copy.path.rglob("*") if path.suffix in (".parquet", ".tmp")} == set(before)
    cpu = copy.table("cpu", paths.name)
    assert cpu.read_bytes() == before[cpu]
