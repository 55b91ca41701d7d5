"""The lock of a host: exactly one wins, and a stale one does not stand in the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.hostside.conftest import HOSTSIDE, SYSTEMCTL


def entry(run: str, seconds: float = 3600.0, **more: Any) -> str:
    return json.dumps({"owner": "a@b", "run": run, "seconds": seconds} | more)


class Locker:
    """lock.py on a lock of its own, with a systemctl that says whether a load runs."""

    def __init__(self, folder: Path) -> None:
        self.file, self.active = folder / "run" / "lock.json", folder / "active"
        (folder / "bin").mkdir()
        (folder / "bin" / "systemctl").write_text(SYSTEMCTL)
        (folder / "bin" / "systemctl").chmod(0o755)
        self.env = {"PATH": f"{folder}/bin", "FAKES": str(folder)}

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-I", "-S", str(HOSTSIDE / "lock.py"), "--file", str(self.file), *words]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, text=True)

    def ask(self, *words: str) -> tuple[int, Any]:
        process = self.start(*words)
        said = process.communicate(timeout=30)[0]
        return process.returncode, json.loads(said)

    def change(self, **fields: Any) -> None:
        self.file.write_text(json.dumps(json.loads(self.file.read_text()) | fields))


@pytest.fixture
def locker(tmp_path: Path) -> Locker:
    return Locker(tmp_path)


def test_of_many_takers_exactly_one_wins(locker: Locker) -> None:
    takers = [locker.start("take", entry(f"run{number}")) for number in range(8)]
    said = [json.loads(taker.communicate(timeout=30)[0]) for taker in takers]
    winners = [answer for taker, answer in zip(takers, said, strict=True) if taker.returncode == 0]
    assert len(winners) == 1
    losers = [answer["run"] for taker, answer in zip(takers, said, strict=True) if taker.returncode == 3]
    assert losers == [winners[0]["lock"]["run"]] * 7


def test_since_and_until_are_of_the_hosts_own_clock(locker: Locker) -> None:
    before = time.time_ns() // 1000
    exited, said = locker.ask("take", entry("mine", seconds=1.5, since_us=1, until_us=2))
    after = time.time_ns() // 1000
    assert exited == 0 and before <= said["lock"]["since_us"] <= after
    assert said["lock"]["until_us"] - said["lock"]["since_us"] == 1_500_000


def test_the_same_run_takes_again_and_others_do_not(locker: Locker) -> None:
    assert locker.ask("take", entry("mine"))[0] == 0
    assert locker.ask("take", entry("mine"))[0] == 0
    exited, owner = locker.ask("take", entry("other"))
    assert exited == 3 and owner["run"] == "mine" and owner["owner"] == "a@b"


def test_release_is_for_the_owner_and_may_be_repeated(locker: Locker) -> None:
    locker.ask("take", entry("mine"))
    assert locker.ask("release", '{"run":"other"}')[0] == 3
    assert locker.ask("release", '{"run":"mine"}') == (0, {"released": True})
    assert locker.ask("release", '{"run":"mine"}') == (0, {"released": False})
    assert locker.ask("show") == (0, {"lock": None, "stale": ""})


@pytest.mark.parametrize("changed", [{"boot_id": "another"}, {"pid1_start": 1}])
def test_a_lock_from_before_a_reboot_is_stale(locker: Locker, changed: dict[str, Any]) -> None:
    locker.ask("take", entry("old"))
    locker.change(**changed)
    assert "rebooted" in locker.ask("show")[1]["stale"]
    exited, said = locker.ask("take", entry("new"))
    assert exited == 0 and said["replaced"]["run"] == "old" and "rebooted" in said["why"]


def test_a_lock_past_its_end_is_stale_unless_a_load_runs(locker: Locker) -> None:
    locker.ask("take", entry("old", seconds=-3600))
    locker.active.touch()
    assert locker.ask("take", entry("new"))[0] == 3
    locker.active.unlink()
    assert locker.ask("take", entry("new"))[0] == 0


def test_force_takes_it_and_says_from_whom(locker: Locker) -> None:
    locker.ask("take", entry("old"))
    exited, said = locker.ask("take", entry("new", force=True))
    assert exited == 0 and said["replaced"]["run"] == "old"


def test_an_unreadable_lock_is_no_lock(locker: Locker) -> None:
    os.makedirs(locker.file.parent)
    locker.file.write_text("{")
    assert locker.ask("take", entry("mine"))[0] == 0
