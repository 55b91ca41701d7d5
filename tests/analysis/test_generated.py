"""The run that analysis is timed with: as many requests of each kind as it says, and nothing odd about them."""

from __future__ import annotations

from pathlib import Path

from analysis import results
from tests.analysis import recompute
from timings import generate


def test_a_generated_run_is_a_plausible_one(tmp_path: Path) -> None:
    folder, kinds = generate.generate(tmp_path, 12_000, seed=3)
    made = results.analyse(folder.path)
    whole = made["arms"][0]["whole_run"]
    assert made["incomplete"] == []
    assert 11_000 < sum(kinds.values()) == whole["requests"] + whole["cut"] < 13_000
    assert whole["failures"] == sum(kinds.values()) - kinds["ok"] - kinds["cut"]
    assert 0.02 < whole["failures"] / whole["requests"] < 0.04
    assert whole["cut"] == kinds["cut"] > 0
    late = kinds["timeout, BrokenPipeError"] + kinds["timeout, ConnectionResetError"]
    assert whole["errors"] == {
        "timeout": late, "http_502": kinds["502 refused"] + kinds["502 closed"], "http_500": kinds["500"],
        "reset": kinds["reset"], "refused": kinds["refused"],
    }  # fmt: skip
    assert whole["undelivered"] == late + kinds["reset"] + kinds["cut"]
    assert recompute.compare(folder.path) == ([], [])


def test_the_same_seed_makes_the_same_run(tmp_path: Path) -> None:
    one, two, other = (
        generate.generate(tmp_path / name, 3000, seed)[0].trials[0].raw()
        for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    for path in ("load1/requests-1.rows", "app2/app-700-700000.rows", "proxy1/access.tsv"):
        assert (one / path).read_bytes() == (two / path).read_bytes() != (other / path).read_bytes()
