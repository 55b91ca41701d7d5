"""Rows that may be bigger than memory: what is asked of a file is what a table in memory would give."""

from __future__ import annotations

import errno
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import rows, rowwriter
from analysis.rows import Rows
from analysis.rowwriter import Writer
from loadproof.errors import LocalDisk

TEXT = pa.dictionary(pa.int32(), pa.string())
SCHEMA = pa.schema([("at", pa.int64()), ("id", pa.uint64()), ("uri", TEXT), ("port", pa.uint16()), ("seconds", pa.float64()), ("lost", pa.bool_())])  # fmt: skip
COLUMNS = ("at", "uri", "port")
FORGED = (0, 7, (2 << 48) | ((1 << 48) - 1), (5 << 48) | 3, (0xFFF0 << 48) | 9, (1 << 64) - 1)


def made(count: int, seed: int, texts: int = 50, forged: float = 0.05) -> Any:
    """Rows of workers 1 to 3 nearly in order, some ids twice, some of nobody; texts and numbers may be null."""
    chance = np.random.default_rng(seed)
    worker = chance.integers(1, 4, count).astype(np.uint64)
    sequence = (np.arange(count) // 3 + chance.integers(0, 5, count)).astype(np.uint64)
    ids = (worker << np.uint64(48)) | sequence
    odd = chance.random(count) < forged
    ids[odd] = chance.choice(np.array(FORGED, np.uint64), int(odd.sum()))
    text = [None if one == 0 else f"/é/{one}" for one in chance.integers(0, texts, count).tolist()]
    port = chance.integers(0, 60_000, count).astype(np.uint16)
    columns = [
        pa.array(np.arange(count)), pa.array(ids), pa.array(text, pa.string()).dictionary_encode(),
        pa.array(port, mask=port < 10_000), pa.array(port / 7), pa.array(port > 30_000),
    ]  # fmt: skip
    return pa.table(columns, schema=SCHEMA)


def written(path: Path, table: Any, piece: int) -> Rows:
    with Writer(path, table.schema) as writer:
        for at in range(0, table.num_rows, piece):
            part = table.slice(at, piece)
            # each piece with codes of its own, as readers make them
            recoded = part["uri"].cast(pa.string()).combine_chunks().dictionary_encode()
            writer.add(part.set_column(part.schema.get_field_index("uri"), "uri", recoded))
        assert writer.count == table.num_rows
        writer.close({"source": "s"})
    assert not list(path.parent.glob("*.tmp")) and not list(path.parent.glob(".*.tmp"))
    found, said = rows.opened(path)
    assert said["source"] == "s"
    return found


def as_dicts(table: Any) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: row["at"])


def of_ids(table: Any, wanted: Any) -> list[dict[str, Any]]:
    """The rows whose id is wanted, by hand."""
    return [row for row in table.to_pylist() if wanted(row["id"] >> 48, row["id"] & ((1 << 48) - 1))]


@pytest.fixture(params=["file", "memory"])
def both(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Rows, Any]:
    """2000 rows in many runs and row groups, and as a table."""
    monkeypatch.setattr(rowwriter, "RUN", 300)
    monkeypatch.setattr(rowwriter, "GROUP", 70)
    monkeypatch.setattr(rowwriter, "LEAST", 20)
    monkeypatch.setattr(rows, "GROUP", 70)
    table = made(2000, 1)
    return (
        written(tmp_path / "a.parquet", table, 110) if request.param == "file" else rows.held(table)
    ), table


def test_all_rows_are_there_once(both: tuple[Rows, Any]) -> None:
    found, table = both
    assert found.count == table.num_rows and found.schema.equals(SCHEMA)
    assert as_dicts(found.table()) == table.to_pylist()
    pieces = list(found.pieces(COLUMNS))
    assert all(piece.column_names == list(COLUMNS) and 0 < piece.num_rows <= 70 for piece in pieces)
    assert as_dicts(pa.concat_tables(pieces)) == table.select(COLUMNS).to_pylist()


def test_codes_of_all_pieces_agree(both: tuple[Rows, Any]) -> None:
    found, _ = both
    labels = found.labels("uri")
    assert len(labels) == len(set(labels)) == 49
    for piece in [*found.pieces(("uri",)), found.of(2, 0, 500, ("uri",)), found.table()]:
        assert piece["uri"].num_chunks == 1
        assert piece["uri"].chunk(0).dictionary.to_pylist() == labels


@pytest.mark.parametrize(("worker", "low", "high"), [(1, 0, 50), (2, 40, 41), (3, 200, 700), (2, 0, 1 << 48), (4, 0, 9), (0, 0, 9), (1, 30, 30), (0xFFFF, 0, 1 << 48)])  # fmt: skip
def test_a_block_has_the_rows_of_its_ids(both: tuple[Rows, Any], worker: int, low: int, high: int) -> None:
    found, table = both
    wanted = of_ids(table, lambda one, sequence: one == worker and low <= sequence < high)
    block = found.of(worker, low, high, SCHEMA.names)
    assert as_dicts(block) == wanted
    assert [block[name].num_chunks for name in SCHEMA.names] == [1] * len(SCHEMA)
    assert as_dicts(found.of(worker, low, high, ("at",))) == [{"at": row["at"]} for row in wanted]
    # rows of one id come as they were written
    order = {}
    for row in block.to_pylist():
        order.setdefault(row["id"], []).append(row["at"])
    assert all(one == sorted(one) for one in order.values())


@pytest.mark.parametrize(
    "workers", [{}, {1: 600}, {1: 10_000, 2: 10_000, 3: 10_000}, {1: 100, 2: 1 << 47, 3: 0, 5: 4}]
)
def test_others_and_blocks_are_everything(both: tuple[Rows, Any], workers: dict[int, int]) -> None:
    found, table = both
    wanted = of_ids(table, lambda worker, sequence: sequence >= workers.get(worker, 0))
    others = list(found.others(workers, COLUMNS))
    assert sorted(row["at"] for one in others for row in one.to_pylist()) == [row["at"] for row in wanted]
    blocks = [found.of(worker, 0, high, ("at",)) for worker, high in workers.items()]
    assert sum(one.num_rows for one in (*others, *blocks)) == table.num_rows


def test_the_highest_number_of_each_worker(both: tuple[Rows, Any]) -> None:
    found, table = both
    highest: dict[int, int] = {}
    for id in table["id"].to_pylist():
        highest[id >> 48] = max(highest.get(id >> 48, 0), (id & ((1 << 48) - 1)) + 1)
    assert found.workers() == highest


def test_other_row_groups_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rowwriter, "RUN", 600)
    monkeypatch.setattr(rowwriter, "GROUP", 100)
    monkeypatch.setattr(rowwriter, "LEAST", 25)
    found = written(tmp_path / "a.parquet", made(6000, 2, forged=0), 1000)
    read: list[int] = []
    real = found._read
    monkeypatch.setattr(found, "_read", lambda index, columns: (read.append(index), real(index, columns))[1])
    for low in range(0, 200, 50):
        found.of(2, low, low + 50, COLUMNS)
    # a run has 200 rows of each worker, in 2 or 3 row groups of its 6; one block lies in two runs at most
    # a run has 200 rows of each worker, in 2 or 3 row groups of its 6; ids that were forged may lie in others
    assert 2 <= len(read) == len(set(read)) <= 4 and max(read) < 6
    monkeypatch.setattr(rows, "CACHED", 0)
    found.of(2, 0, 50, COLUMNS)
    found.of(1, 0, 50, COLUMNS)
    assert len(found._local.groups._tables) == 1


def test_many_forged_workers_are_found_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "MOST_SPANS", 5)
    ids = np.concatenate([np.arange(500), np.random.default_rng(1).integers(0, 1 << 63, 500)]).astype(
        np.uint64
    )
    found = written(tmp_path / "a.parquet", made(1000, 1).set_column(1, "id", pa.array(ids)), 300)
    assert found.of(0, 10, 20, ("id",))["id"].to_pylist() == list(range(10, 20))
    assert sum(one.num_rows for one in found.others({0: 500}, ("id",))) == 500
    assert all(
        found.of(int(id) >> 48, int(id) & ((1 << 48) - 1), 1 << 48, ("at",)).num_rows for id in ids[500:]
    )


def test_an_empty_file(tmp_path: Path) -> None:
    for found in (written(tmp_path / "a.parquet", made(0, 1), 10), rows.held(SCHEMA.empty_table())):
        assert (found.count, dict(found.workers()), list(found.pieces(COLUMNS))) == (0, {}, [])
        assert found.of(1, 0, 10, COLUMNS).column_names == list(COLUMNS)
        assert found.table().equals(SCHEMA.empty_table()) and list(found.others({}, COLUMNS)) == []


@pytest.mark.parametrize("twice", [0, 3], ids=["once", "some twice"])
@pytest.mark.parametrize("forged", [0, 5], ids=["none forged", "some forged"])
@pytest.mark.parametrize("seed", range(10))
def test_ids_are_sorted_and_those_of_one_id_keep_their_order(seed: int, forged: int, twice: int) -> None:
    chance = np.random.default_rng(seed)
    workers = chance.integers(1, 0xFFF0, chance.integers(1, 12)).astype(np.uint64)
    dense = [(one << np.uint64(48)) + np.arange(7, 300, dtype=np.uint64) for one in workers]
    ids = np.concatenate([*dense, chance.integers(0, 1 << 64, forged, np.uint64, endpoint=False)])
    ids = chance.permutation(np.concatenate([ids, chance.choice(ids, twice)]))
    order = rows.by_id(ids)
    assert order is not None and (order == np.argsort(ids, kind="stable")).all()
    assert rows.by_id(ids[order]) is None


@pytest.mark.parametrize("seed", range(20))
def test_row_groups_are_cut_between_workers(seed: int) -> None:
    chance = np.random.default_rng(seed)
    sizes = chance.choice([1, 5, 1000, 40_000, 100_000, 300_000], chance.integers(1, 30))
    of = np.repeat(np.arange(len(sizes), dtype=np.uint64), sizes) << np.uint64(48)
    ids = of + np.arange(len(of), dtype=np.uint64)
    groups = rowwriter.groups(ids)
    assert [begin for begin, _ in groups] == [0, *(end for _, end in groups[:-1])] and groups[-1][1] == len(
        ids
    )
    assert all(0 < end - begin <= rows.GROUP for begin, end in groups)
    assert all(end - begin >= rowwriter.LEAST for begin, end in groups[:-1])
    for begin, end in groups:  # no worker with many rows shares a group with another one that has many
        counts = np.unique(of[begin:end], return_counts=True)[1]
        assert np.count_nonzero(counts >= rowwriter.LEAST) <= 1


def test_too_many_texts_are_one_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = made(3000, 3, texts=400)
    for limit in ({"MOST_TEXTS": 30}, {"MOST_LETTERS": 200}):
        with monkeypatch.context() as patched:
            for name, value in limit.items():
                patched.setattr(rowwriter, name, value)
            with Writer(tmp_path / "a.parquet", SCHEMA) as writer:
                writer.add(table)
                left_out = writer.left_out()
                writer.close({})
        found, _ = rows.opened(tmp_path / "a.parquet")
        texts = dict(zip(found.table()["at"].to_pylist(), found.table()["uri"].to_pylist(), strict=True))
        before = table["uri"].to_pylist()
        more = [at for at, text in texts.items() if text == rowwriter.MORE_TEXTS]
        assert left_out == {"uri": len(more)} and 1000 < len(more) < 3000
        assert all(texts[at] == before[at] for at in set(texts) - set(more))
        assert len(found.labels("uri")) < 40


def test_long_lists_of_texts_keep_their_codes(tmp_path: Path) -> None:
    """Parquet may give up a long dictionary and make its own; ours has to hold all the same."""
    count = 60_000
    text = pa.array([f"/{'x' * 40}/{number}" for number in range(count)]).dictionary_encode()
    table = pa.table({"id": pa.array(np.arange(count)[::-1].astype(np.uint64)), "uri": text})
    found = written(tmp_path / "a.parquet", table, 7000)
    assert found.table()["uri"].to_pylist() == text.to_pylist()[::-1]
    other = tmp_path / "b.parquet"
    note = pq.ParquetFile(tmp_path / "a.parquet").metadata.metadata[rows.NOTE_KEY]
    with pq.ParquetWriter(other, found.schema, use_dictionary=False) as file:
        file.write_table(found.table(), row_group_size=1 << 17)
        file.add_key_value_metadata({rows.NOTE_KEY: note})
    again, _ = rows.opened(other)
    assert again.of(0, 5, 8, ("uri",))["uri"].to_pylist() == text.to_pylist()[::-1][5:8]
    assert again.labels("uri") == found.labels("uri")


def test_nothing_is_there_until_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    with pytest.raises(RuntimeError), Writer(path, SCHEMA) as writer:
        writer.add(made(100, 1))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_by_the_name_of_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "Error writing bytes to file. Detail: [errno 28]")

    path = tmp_path / "rows.parquet"
    with pytest.raises(LocalDisk) as told, Writer(path, SCHEMA) as writer:
        monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
        writer.add(made(10, 1))
        writer.close({})
    assert told.value.what.startswith(f"cannot write {path}: No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_damage_is_told(tmp_path: Path) -> None:
    """Also where the file can be opened: no row of a spoiled page is given."""
    path = tmp_path / "a.parquet"
    table = made(5000, 1)
    written(path, table, 1000)
    data = path.read_bytes()
    told = wrong = 0
    for at in range(0, len(data), max(1, len(data) // 300)):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
        try:
            found, _ = rows.opened(path)
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            told += 1
            continue
        try:
            whole = as_dicts(found.table())
        except rows.Damaged:
            told += 1
            continue
        wrong += whole != table.to_pylist()
    # headers of pages have no checksum: one in some hundred bytes of so small a file
    assert told > 250 and wrong < 5


@pytest.mark.parametrize("number", [b"1e9999", b"Infinity", b"1.5"])
def test_a_number_that_no_writer_wrote_is_damage(tmp_path: Path, number: bytes) -> None:
    path = tmp_path / "a.parquet"
    written(path, made(50, 1), 1000)
    data = path.read_bytes()
    low = str(1 << 48).encode()[:12]  # as many digits as any number of worker 1 begins with
    at = data.index(low)
    path.write_bytes(data[:at] + number.ljust(15) + data[at + 15 :])
    with pytest.raises((ValueError, pa.ArrowException)):
        rows.opened(path)


def test_several_threads_may_ask(both: tuple[Rows, Any]) -> None:
    found, _ = both
    wanted = [found.of(worker, 0, 600, COLUMNS) for worker in (1, 2, 3)]
    seen: list[bool] = []

    def ask() -> None:
        for _ in range(20):
            seen.append(
                all(found.of(worker, 0, 600, COLUMNS).equals(wanted[worker - 1]) for worker in (1, 2, 3))
            )

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 80
