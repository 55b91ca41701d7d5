"""Every number of results.json, counted again by a program that imports nothing of ours."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import results
from loadproof.runfolder.paths import RunFolder
from tests.analysis import recompute, synthetic

STORED = Path(__file__).parent.parent / "data" / "runs"


def test_recompute_is_independent() -> None:
    tree = ast.parse(Path(recompute.__file__).read_text())
    names = [one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert set(names) <= set(sys.stdlib_module_names)


def test_a_run_with_every_trouble(two_arms: RunFolder) -> None:
    ran = subprocess.run(
        [sys.executable, "-I", "-S", recompute.__file__, str(two_arms.path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "0 differences; 0 figures are null" in ran.stdout


@pytest.mark.parametrize("seed", range(4))
def test_other_runs(seed: int, tmp_path: Path) -> None:
    raws = [
        synthetic.simulate(synthetic.plan(id=f"0{n}", servers=n), seed * 2 + n, 0.12, fail=0.1)
        for n in (1, 2)
    ]
    folder = synthetic.write_run(tmp_path, raws)
    results.analyse(folder.path)
    assert recompute.compare(folder.path) == ([], [])


def test_a_wrong_number_is_found(copy: RunFolder) -> None:
    made = json.loads(copy.results.read_text())
    made["arms"][1]["undelivered"] += 1
    made["arms"][0]["trials"][0]["mtt_ms"] *= 1 + 1e-8
    copy.results.write_text(json.dumps(made))
    wrong, _ = recompute.compare(copy.path)
    assert len(wrong) == 2


@pytest.mark.parametrize("stored", sorted(STORED.iterdir()), ids=lambda path: path.name)
def test_stored_runs_give_what_they_gave(stored: Path, tmp_path: Path) -> None:
    """A run folder of every format version: readable for ever, and the figures stay."""
    path = Path(shutil.copytree(stored, tmp_path / stored.name))
    before = json.loads((path / "results.json").read_text())
    made = json.loads(json.dumps(results.analyse(path)))
    nulls: list[str] = []
    wrong = list(
        recompute.differences("arms", before["arms"], made["arms"], nulls)
    )  # later formats may add keys
    assert (wrong, nulls) == ([], [])
    assert recompute.compare(path) == ([], [])
