"""Kills, signals and lost masters: rows stay readable, losses are written down, nobody runs on."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from analysis.readers import client
from analysis.readers.clock import Clocks
from analysis.readers.sealed import Seals
from loadproof.runfolder import formats
from loadproof.runfolder.paths import TrialPaths
from tests.analysis import synthetic
from tests.loadtests.fleet import Fleet, wait_until
from tests.loadtests.server import BadServer
from tests.loadtests.test_load import assert_conserved, sequences

Make = Callable[..., Fleet]


def running(made: Fleet, worker: int) -> bool:
    """Whether that worker has written some requests."""
    path = made.out / f"requests-{worker}.rows"
    return path.exists() and len(made.requests(worker)) > 20


def assert_judged(made: Fleet, folder: Path, present: tuple[str, ...], whole: tuple[str, ...]) -> None:
    """Which workers' rows the analysis takes to have no hole, and which to be all there."""
    (folder / "raw").mkdir()
    (folder / "raw" / "load1").symlink_to(made.out)
    plan = synthetic.plan(loads=("load1",), workers=(("load1", 1), ("load1", 2)))
    found = client.read(TrialPaths(folder), plan, Clocks({}, ()), Seals({}))
    assert (found.present, found.extra["whole"]) == (present, whole), found.notes


def test_a_killed_worker_then_a_stop(fleet: Make, tmp_path: Path) -> None:
    with BadServer(lambda _: "slow") as server:
        made = fleet(workers=2, users=8, hold=60.0, target=server.url).start()
        wait_until(lambda: running(made, 1) and running(made, 2), 10, "both workers at work")
        made.signal("2", signal.SIGKILL)
        lost = wait_until(
            lambda: [line for line in made.live() if "event" in line], 8, "the loss written down"
        )
        assert (lost[0]["event"], lost[0]["worker"]) == ("worker_lost", 2)
        assert lost[0]["elapsed_s"] > 0
        wait_until(lambda: made.live()[-1].get("lost") == [2], 4, "the loss in the live figures")
        begin = time.monotonic()
        for instance in ("master", "1"):
            made.signal(instance, signal.SIGTERM)
        codes = made.wait()
        assert time.monotonic() - begin < 3.0, made.logs()
    assert codes[:2] == [0, 0], made.logs()
    assert (codes[2], made.json("totals-master.json")["lost"]) == (-signal.SIGKILL, [2])
    killed = made.requests(2)
    assert len(killed) > 15
    assert set(killed["error"]) == {0}
    in_flight = {one for one in server.seen.ids if one >> 48 == 2} - {int(one) for one in killed["id"]}
    assert len(in_flight) <= 4, "only what was in flight has no row"
    rows, totals = made.requests(1), made.json("totals-1.json")
    assert len(rows) == totals["requests"] + totals["cut"]
    sequence = sequences(rows["id"])[1]
    assert sequence == list(range(len(sequence)))
    assert {int(one) for one in rows["id"]} == {one for one in server.seen.ids if one >> 48 == 1}
    assert (made.rows(1)["kind"] == formats.KIND_USER_STOPPED).sum() == 4
    assert_judged(made, tmp_path, present=("1", "2"), whole=("1",))


@pytest.mark.parametrize("instance", ["master", "all"])
def test_sigterm(instance: str, fleet: Make, tmp_path: Path) -> None:
    """A unit is stopped: everybody ends within 3 s, and everything that was begun has its row."""
    with BadServer(lambda _: "slow") as server:
        made = fleet(workers=2, users=8, hold=60.0, target=server.url).start()
        wait_until(lambda: running(made, 1) and running(made, 2), 10, "both workers at work")
        begin = time.monotonic()
        for one in [instance] if instance == "master" else list(made.processes):
            made.signal(one, signal.SIGTERM)
        assert made.wait() == [0, 0, 0]
        assert time.monotonic() - begin < 3.0
    if instance == "master":
        assert_conserved(made, server)
    for worker in (1, 2):
        totals = made.json(f"totals-{worker}.json")
        assert len(made.requests(worker)) == totals["requests"] + totals["cut"]
    assert not [line for line in made.live() if line.get("why") == "silent"]
    assert_judged(made, tmp_path, present=("1", "2"), whole=("1", "2"))


def test_workers_do_not_outlive_their_master(fleet: Make, tmp_path: Path) -> None:
    with BadServer(lambda _: "slow") as server:
        made = fleet(workers=2, users=4, hold=60.0, target=server.url).start()
        wait_until(lambda: running(made, 1) and running(made, 2), 10, "both workers at work")
        made.signal("master", signal.SIGKILL)
        begin = time.monotonic()
        made.wait()
        assert time.monotonic() - begin < 6.5
    for worker in (1, 2):
        totals = made.json(f"totals-{worker}.json")
        assert len(made.requests(worker)) == totals["requests"] + totals["cut"]
    assert "no word from the Locust master" in made.logs()
    assert_judged(made, tmp_path, present=("1", "2"), whole=("1", "2"))


def test_missing_workers(fleet: Make, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    made = fleet(workers=2, target="http://127.0.0.1:9")
    package = made.own_package(request.config.rootpath, tmp_path)
    master = package / "master.py"
    master.write_text(master.read_text().replace("JOIN_S = 30.0", "JOIN_S = 2.0"))
    made.start("master", "2")
    assert made.wait()[0] == 3
    assert made.live() == [{"event": "workers_missing", "connected": [2], "expected": 2}]


def test_a_rejected_trial_says_why(fleet: Make) -> None:
    made = fleet(target="http://127.0.0.1:9")
    trial = json.loads(made.trial.read_text())
    trial["load"]["scenario"] = "itmes"
    made.trial.write_text(json.dumps(trial))
    made.start("master", "1")
    assert made.wait() == [64, 64]
    assert made.logs().count("no scenario named 'itmes'") == 2
