"""The data file: the same for the same seed, whole or not there."""

from __future__ import annotations

from pathlib import Path

import pandas
import pytest

from app import data


def test_same_rows_and_seed_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        data.write(tmp_path / name, 1000, 7)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_seed_gives_other_items(tmp_path: Path) -> None:
    for seed in (1, 2):
        data.write(tmp_path / str(seed), 1000, seed)
    one, two = (pandas.read_parquet(tmp_path / str(seed)) for seed in (1, 2))
    assert list(one.columns) == list(two.columns)
    assert (one["price"] != two["price"]).mean() > 0.9


@pytest.mark.parametrize("rows", [1, 2, 10_000])
def test_ids_run_from_0_without_a_gap(rows: int, tmp_path: Path) -> None:
    data.write(str(tmp_path / "items.parquet"), rows, 1)
    table = pandas.read_parquet(tmp_path / "items.parquet")
    assert table["item_id"].tolist() == list(range(rows))
    assert not table.isna().any().any()
    assert (table["price"] >= 1).all() and (table["stock"] >= 0).all()


@pytest.mark.parametrize("rows", [0, -1])
def test_no_rows_are_refused_and_nothing_is_left(rows: int, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 1 row"):
        data.write(tmp_path / "items.parquet", rows, 1)
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data.write(tmp_path / "items.parquet", 10, 1)
    before = (tmp_path / "items.parquet").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    with pytest.raises(OSError, match="No space"):
        data.write(tmp_path / "items.parquet", 10, 2)
    assert (tmp_path / "items.parquet").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["items.parquet"]
