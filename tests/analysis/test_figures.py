"""Figures whose answers are known."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from analysis import report, results
from analysis.measures import figures
from loadproof.errors import BadInput, RecordUnreadable
from loadproof.plan.values import Limit
from loadproof.runfolder import formats, record
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic


def test_a_trial_counted_by_hand(tmp_path: Path) -> None:
    folder, _ = synthetic.one_arm(tmp_path)
    made = results.analyse(folder.path)
    assert made["incomplete"] == []
    (arm,) = made["arms"]
    taken = [100.0, 200.0, 300.0, 999.999]
    mean = sum(taken) / 4
    assert arm["label"] == "servers=1" and arm["factors"] == {"servers": 1}
    assert arm["window"] == {
        "kind": "hold",
        "users": 9,
        "from_s": 6.0,
        "to_s": 22.0,
        "short": False,
        "short_for_times": False,
    }
    assert (arm["requests"], arm["failures"], arm["cut"]) == (8, 4, 0)
    assert arm["tps"] == 4 / 16
    assert arm["mtt_ms"] == pytest.approx(mean, rel=1e-12)
    assert arm["mtsd_ms"] == pytest.approx(math.sqrt(sum((one - mean) ** 2 for one in taken) / 4), rel=1e-12)
    assert (arm["p50_ms"], arm["p95_ms"], arm["p99_ms"]) == (200.0, 999.999, 999.999)
    assert arm["errors"] == {"http_503": 1, "other:ValueError": 1, "refused": 1, "timeout": 1}
    assert arm["unattributed"] == 1  # refused: it reached nobody
    assert (arm["undelivered"], arm["broken_pipe"]) == (1, 1)
    assert arm["efficiency"] == pytest.approx(4 / 0.8, rel=1e-9)
    (server,) = arm["servers"]
    assert server["host"] == "app1" and server["requests"] == 7 and server["limit_percent"] == 5.0
    assert server["errors"] == {"http_503": 1, "other:ValueError": 1, "timeout": 1}
    assert server["cpu_percent"] == pytest.approx(5.0, rel=1e-9)
    assert (server["undelivered"], server["broken_pipe"], server["first_broken_pipe_s"]) == (1, 1, 11.5)
    whole = arm["whole_run"]
    assert (whole["requests"], whole["failures"], whole["cut"]) == (10, 4, 1)
    assert (whole["undelivered"], whole["undelivered_cut"], whole["broken_pipe"]) == (2, 1, 2)
    assert whole["tps"] == pytest.approx(6 / 22.005001, rel=1e-12)
    assert whole["peak_tps"] == 1.0  # seconds 6 and 7: 2 successes in 2 s
    assert arm["trials"][0]["id"] == "01" and arm["trials"][0]["tps"] == arm["tps"]


def test_results_json_is_what_analyse_gives(two_arms: RunFolder) -> None:
    made = results.analyse(two_arms.path)
    assert json.loads(two_arms.results.read_text()) == json.loads(json.dumps(made))
    assert made["format"] == 1 and made["run"] == two_arms.id
    assert [arm["label"] for arm in made["arms"]] == ["servers=1", "servers=2"]


def test_a_restarted_app_keeps_its_cpu(two_arms: RunFolder) -> None:
    """servers=1: the app restarts at second 17 (seen at 17, born at 16.75): its first process counts to 16.5."""
    arm = results.analyse(two_arms.path)["arms"][0]
    # 0.052 CPU: 10.5 s of the first process, then 0.25 s before its successor is seen, and 5 s of it
    assert arm["servers"][0]["cpu_s"] == pytest.approx(0.052 * (10.5 + 0.25 + 5), rel=1e-6)


def test_all_clocks_are_one(two_arms: RunFolder, tmp_path: Path) -> None:
    """Hosts off by seconds give the figures of hosts that are not."""
    offsets = dict(synthetic.OFFSETS)
    try:
        synthetic.OFFSETS.update(dict.fromkeys(offsets, 0))
        straight = results.analyse(synthetic.two_arms(tmp_path).path)
    finally:
        synthetic.OFFSETS.update(offsets)
    assert results.analyse(two_arms.path)["arms"] == straight["arms"]


def test_several_trials_of_an_arm_have_no_figures_together(tmp_path: Path) -> None:
    raws = [synthetic.simulate(synthetic.plan(id=id), int(id), 0.05) for id in ("01", "02")]
    (arm,) = results.analyse(synthetic.write_run(tmp_path, raws).path)["arms"]
    assert len(arm["trials"]) == 2 and all(one["tps"] > 0 for one in arm["trials"])
    assert arm["tps"] is arm["window"] is arm["errors"] is arm["whole_run"]["tps"] is None


def test_without_a_limit_there_is_none(tmp_path: Path) -> None:
    folder, _ = synthetic.one_arm(tmp_path, synthetic.plan(limit=Limit("none", 5.0)))
    assert results.analyse(folder.path)["arms"][0]["servers"][0]["limit_percent"] is None


def test_a_load_that_ends_early_has_a_shorter_window(tmp_path: Path) -> None:
    _, raw = synthetic.one_arm(tmp_path / "a")
    raw.user(2, 5, 18.0, formats.KIND_USER_STOPPED)
    (arm,) = (made := results.analyse(synthetic.write_run(tmp_path / "b", [raw]).path))["arms"]
    assert (arm["window"]["to_s"], arm["window"]["short"]) == (18.0, True)
    assert arm["tps"] == 3 / 12
    assert any("the window ends at second 18.0, 22 was planned" in text for text in made["incomplete"])


def test_a_load_that_never_reached_its_window_has_no_figures(tmp_path: Path) -> None:
    _, raw = synthetic.one_arm(tmp_path / "a")
    for worker in raw.client:
        raw.client[worker] = [
            row for row in raw.client[worker] if max(row[10], row[12]) < synthetic.T0 + 4_500_000
        ]
    (arm,) = (made := results.analyse(synthetic.write_run(tmp_path / "b", [raw]).path))["arms"]
    assert arm["window"] is None and arm["tps"] is None and arm["whole_run"]["requests"] == 1
    assert any("before the window began" in text for text in made["incomplete"])


def test_short_is_below_fifteen_seconds_and_for_times_below_twenty_mtt(tmp_path: Path) -> None:
    brief = dataclasses.replace(synthetic.LOAD, hold_s=10, end_s=16)
    folder, _ = synthetic.one_arm(tmp_path / "a", synthetic.plan(load=brief))
    window = results.analyse(folder.path)["arms"][0]["window"]
    assert (window["short"], window["short_for_times"]) == (True, True)
    slow = synthetic.simulate(synthetic.plan(load=dataclasses.replace(synthetic.LOAD, timeout_s=9)), 2, 0.2)
    (arm,) = results.analyse(synthetic.write_run(tmp_path / "b", [slow]).path)["arms"]
    assert arm["mtt_ms"] > 800  # 9 users, one after the other, 0.2 s each
    assert (arm["window"]["short"], arm["window"]["short_for_times"]) == (False, True)
    assert arm["tps"] == pytest.approx(5.0, rel=0.15)  # chance of service times; rightly counted all the same
    thinks = dataclasses.replace(synthetic.LOAD, think_s=0.9)
    (arm,) = results.analyse(synthetic.one_arm(tmp_path / "c", synthetic.plan(load=thinks))[0].path)["arms"]
    assert arm["window"]["short"]  # 16 s are below 20 x 0.9


@pytest.mark.parametrize(
    ("count", "p50", "p95", "p99"),
    [(1, 1, 1, 1), (2, 1, 2, 2), (20, 10, 19, 20), (100, 50, 95, 99), (1000, 500, 950, 990)],
)
def test_percentiles_are_nearest_ranks(count: int, p50: int, p95: int, p99: int) -> None:
    found = figures.times(np.arange(1, count + 1, dtype=np.int64)[::-1] * 1000)
    assert [found[name] for name in ("p50_ms", "p95_ms", "p99_ms")] == [p50, p95, p99]


def test_percentiles_are_of_all_rows_not_of_hosts() -> None:
    """reliability.md, row E: 9000 rows of host A (80 at 20, rest 10 ms), 1000 of host B at 200 ms: p99 is 200."""
    taken = np.array([10_000] * 8920 + [20_000] * 80 + [200_000] * 1000, np.int64)
    assert figures.times(taken)["p99_ms"] == 200.0


def test_percentiles_of_a_trial_are_of_its_rows_whichever_server_gave_them(tmp_path: Path) -> None:
    """The same from raw files to results.json: the p99 of hosts, 10 and 200 ms, would have a mean of 105."""
    raw = synthetic.Raw(synthetic.plan(servers=2))
    workers = [number for _, number in raw.plan.workers]
    for user in range(9):
        raw.user(workers[user % 3], user, 0.004 * user)
    taken_ms = [10] * 8920 + [20] * 80 + [200] * 1000
    for index, taken in enumerate(taken_ms):
        end, host = 6.3 + 15 * index / len(taken_ms), "app2" if taken == 200 else "app1"
        begin = end - taken / 1000
        number = raw.request(workers[index % 3], index // 3, begin, end)
        raw.read(host, number, begin + 0.001, end - 0.001)
        raw.logged(number, begin, end, host)
    for worker in workers:
        raw.second(worker, 22.5, 3)
    synthetic.quiet_samples(raw, {"app1": 0.05, "app2": 0.05})
    (arm,) = results.analyse(synthetic.write_run(tmp_path, [raw]).path)["arms"]
    assert (arm["requests"], arm["failures"]) == (10_000, 0)
    assert [server["requests"] for server in arm["servers"]] == [9000, 1000]
    assert (arm["p50_ms"], arm["p95_ms"], arm["p99_ms"]) == (10.0, 200.0, 200.0)
    assert arm["mtt_ms"] == pytest.approx((8920 * 10 + 80 * 20 + 1000 * 200) / 10_000, abs=0.001)


def test_no_plan_no_results(tmp_path: Path) -> None:
    with pytest.raises(RecordUnreadable):
        results.analyse(tmp_path)


def test_a_plan_that_cannot_be_read_leaves_the_others(copy: RunFolder) -> None:
    copy.trials[0].plan.write_text("{")
    made = results.analyse(copy.path)
    assert [arm["label"] for arm in made["arms"]] == ["servers=2"]
    assert any("plan.json is no JSON" in text for text in made["incomplete"])


def test_runs_side_by_side_change_nothing_in_them(
    two_arms: RunFolder, copy: RunFolder, tmp_path: Path
) -> None:
    other = RunFolder(copy.path.rename(tmp_path / "20261124T041500Z-other"))
    before = {path: path.stat().st_mtime_ns for one in (two_arms, other) for path in one.path.rglob("*")}
    made, page = report.together([two_arms.path, other.path], tmp_path / "results")
    assert {
        path: path.stat().st_mtime_ns for one in (two_arms, other) for path in one.path.rglob("*")
    } == before
    assert made["sources"] == [two_arms.id, other.id] and len(made["arms"]) == 4
    assert len({arm["label"] for arm in made["arms"]}) == 4
    assert page.exists() and record.read_run(RunFolder(page.parent)).sources == (
        str(two_arms.path),
        str(other.path),
    )
    assert results.analyse(page.parent) == made


def test_two_runs_with_one_id_are_refused(two_arms: RunFolder, copy: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="one id") as caught:
        report.together([two_arms.path, copy.path], tmp_path / "results")
    assert str(two_arms.path) in caught.value.what and str(copy.path) in caught.value.what
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("seed", range(5))
def test_counted_times_give_what_all_of_them_would(seed: int) -> None:
    """In pieces, with times beyond what is counted one by one, against numpy on the whole."""
    chance = np.random.default_rng(seed)
    pieces = [
        chance.integers(0, chance.choice([50, 200_000, 1 << 23, 1 << 40]), chance.integers(0, 500))
        for _ in range(9)
    ]
    taken = figures.Taken()
    for piece in pieces:
        taken.add(piece)
    found, whole = taken.figures(), np.sort(np.concatenate(pieces))
    assert found["mtt_ms"] == pytest.approx(whole.mean() / 1000, rel=1e-12)
    assert found["mtsd_ms"] == pytest.approx(whole.std() / 1000, rel=1e-12)
    for q in (50, 95, 99):
        assert found[f"p{q}_ms"] == whole[-(-q * len(whole) // 100) - 1] / 1000


def test_no_times_are_no_figures() -> None:
    assert set(figures.times(np.zeros(0, np.int64)).values()) == {None}


@pytest.mark.parametrize("parts", [1, 3])
def test_a_curve_is_exact_at_its_edges(parts: int) -> None:
    """Against counting; times above 4.2 s too, in any number of pieces."""
    chance = np.random.default_rng(11)
    taken = np.concatenate(
        [chance.integers(1, 3_000_000, 5000), chance.integers(4_000_000, 90_000_000, 300), [0, 1, figures.MOST_US, figures.MOST_US - 1]]
    ).astype(np.int64)  # fmt: skip
    found = figures.Taken()
    for part in np.array_split(taken, parts):
        found.add(part)
    within = found.within()
    assert within.tolist() == [int((taken <= edge).sum()) for edge in figures.EDGES]
    assert within[-1] == len(taken) and figures.Taken().within().sum() == 0


def test_edges_are_two_percent_apart() -> None:
    edges = figures.EDGES
    assert edges[0] == 1 and edges[-1] >= figures.LONGEST_US and (np.diff(edges) > 0).all()
    wide = edges[edges > 1000]
    assert (wide[1:] / wide[:-1]).max() < 1.02 + 2 / 1000  # whole µs
