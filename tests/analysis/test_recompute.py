"""Every number of results.json, counted again by a program that imports nothing of ours."""

from __future__ import annotations

import ast
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import results
from analysis.attribution import KEYS
from loadproof.runfolder import formats
from loadproof.runfolder.paths import RunFolder
from tests.analysis import recompute, synthetic

MIXED = (("", 200), ("refused", 0), ("connect_timeout", 0), ("reset", 0), ("closed", 0), ("timeout", 0), ("timeout", 0),
         ("timeout", 0), ("http", 500), ("http", 502), ("http", 504), ("scenario", 200), ("cut", 0), ("other", 0),
         ("not_made", 0))  # fmt: skip
ADDRESSES = {host.name: f"{host.address}:8000" for host in synthetic.HOSTS}
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


@pytest.mark.parametrize("whole", [True, False], ids=["all files whole", "a line of nginx is damaged"])
def test_every_mixture_of_witnesses(whole: bool, tmp_path: Path) -> None:
    """Any error class with any line and any row, also such as contradict each other: the same reasons, counted twice."""
    raw, chance = synthetic.Raw(synthetic.plan(servers=2)), random.Random(5)
    for user in range(9):
        raw.user(raw.plan.workers[user % 3][1], user, (0.0, 2.0, 4.0)[user // 3])
        raw.user(raw.plan.workers[user % 3][1], user, 22.01, formats.KIND_USER_STOPPED)
    for number in range(4000):
        mixed(raw, number, chance, whole)
    synthetic.quiet_samples(raw, {"app1": 0.05, "app2": 0.05})
    folder = synthetic.write_run(tmp_path, [raw])
    if not whole:
        with (folder.trials[0].raw("proxy1") / formats.ACCESS_LOG).open("r+b") as file:
            file.write(b"\t")
    figures = results.analyse(folder.path)["arms"][0]["whole_run"]
    assert recompute.compare(folder.path) == ([], [])
    absent = {"proxy/refused", "proxy/never_accepted"}
    assert set(figures["attribution"]) == set(KEYS) - (set() if whole else absent)
    assert figures["unexplained"] > 100


def mixed(raw: synthetic.Raw, number: int, chance: random.Random, whole: bool) -> None:
    """One request; a success is one in every witness, so that lines and rows count as whole."""
    error, status = chance.choice(MIXED)
    worker, start = 1 + number % 3, 6.0 + number * 0.0039
    end = start + chance.choice((0.3, 0.005))
    around = (end - 0.2, end - 0.015, end - 0.0001, end, end + 0.01, end + 0.2)
    name = chance.choice((2, 3, 4)) if error == "other" else 0
    id = raw.request(worker, number // 3, start, end, error, status, error_name=name)
    host = chance.choice(raw.plan.apps)
    row, line = error == "" or chance.random() < 0.6, error == "" or chance.random() < 0.8
    if row and (line or not whole):
        handed = chance.choice((None, None, None, *around))
        raw.read(host, id, chance.choice(around), handed, chance.choice((None, end + 0.3)), "", 200)
    if not line:
        return
    named = (
        host if chance.random() < 0.9 else chance.choice((*raw.plan.apps, "", "backends", "198.18.9.9:80"))
    )
    seen = (
        status
        if status and chance.random() < 0.8
        else chance.choice(("000", 200, 499, 499, 499, 500, 502, 504))
    )
    times = {f"upstream_{name}_time": chance.choice(("-", "0.001")) for name in ("connect", "header")}
    answered = chance.choice((str(seen), "200")) if times["upstream_header_time"] != "-" else "-"
    answered = str(seen) if seen in (502, 504) else answered
    left = (
        chance.choice(raw.plan.apps) if named and (error or named == host) and chance.random() < 0.3 else ""
    )
    if left:  # nginx had turned to that one before
        named, answered = f"{ADDRESSES[left]}, {ADDRESSES.get(named, named)}", f"502, {answered}"
        times = {name: f"{chance.choice(('-', '0.001'))}, {time}" for name, time in times.items()}
        if chance.random() < 0.5:
            raw.read(left, id, chance.choice(around), chance.choice((None, *around)), None, "", 200)
    completion = chance.choice(("OK", "OK", ""))
    for _ in range(chance.choice((1, 1, 1, 1, 1, 1, 2)) if error else 1):
        begun = chance.choice((start, start, start, end + 0.1))
        raw.logged(id, begun, max(begun, chance.choice(around)), named, seen, completion=completion,
                   upstream_status=answered, **times)  # fmt: skip


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
    # that was once said of windows whose times alone are not to be compared
    wrong = [one for one in wrong if ".window.short: True counted" not in one]
    assert (wrong, nulls) == ([], [])
    assert recompute.compare(path) == ([], [])
