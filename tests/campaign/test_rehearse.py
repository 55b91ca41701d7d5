"""`inv rehearse`: which trials, on which hosts, and what it says."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.rehearsal import Finding
from lab import owner
from lab.config import LabConfig
from loadproof.campaign import bench, rehearse
from loadproof.console import rehearse as show
from loadproof.errors import BadInput, Interrupted, Refused, StepFailed
from loadproof.plan import experiment, faults
from loadproof.plan.values import Experiment, Inventory
from loadproof.runfolder.paths import RunFolder
from tests.plan.inventories import ROOT, inventory
from words import given


@pytest.mark.parametrize(
    ("words", "flags"),
    [
        (["rehearse"], ["rehearse"]),
        (["rehearse", "--steal", "8%", "drift"], ["rehearse", "--steal", "8%", "--turn=drift"]),
        (["rehearse", "drift", "disk_room"], ["rehearse", "--turn=drift", "--turn=disk_room"]),
        (["rehearse", "-i", "lab.yml", "drift"], ["rehearse", "-i", "lab.yml", "--turn=drift"]),
        (["rehearse", "--group=app=web", "drift"], ["rehearse", "--group=app=web", "--turn=drift"]),
        (["rehearse", "--turn"], ["rehearse", "--turn="]),
        (["experiment", "quick", "--set"], ["experiment", "--name=quick", "--set="]),
        (
            ["experiment", "--set", "--repeats", "8", "q"],
            ["experiment", "--set=", "--repeats", "8", "--name=q"],
        ),
        (["experiment", "--resume", "-1"], ["experiment", "--resume", "--name=-1"]),
        (["rerun", "-1"], ["rerun", "--run=-1"]),
        (["report", "A", "--run"], ["report", "--run=A", "--run="]),
        (["bench", "drift"], ["bench", "drift"]),
    ],
)
def test_words_are_names_of_checks(words: list[str], flags: list[str]) -> None:
    assert given.repeated(words) == flags


def test_all_faults_and_a_clean_trial_or_those_that_were_asked_for() -> None:
    assert rehearse.chosen([]) == ("clean", *faults.names())
    assert rehearse.chosen(["disk_room"]) == ("fill_disk",)
    assert rehearse.chosen(["clean"]) == ("clean",)
    assert rehearse.chosen(["disk_room", "clean"]) == ("clean", "fill_disk")


def test_what_a_rehearsal_asks_for() -> None:
    plain, own = (
        experiment.rehearsal(name, values) for name, values in (("clean", {}), ("a_b", {"hold": "5s"}))
    )
    assert (plain.name, own.name) == ("rehearse-clean", "rehearse-a-b")
    ((arm,), (short,)) = plain.arms, own.arms
    assert (arm.servers, arm.load.users, arm.load.table, arm.load.end_s) == (2, 40, ((0.0, 40),), 14.0)
    assert short.load.hold_s == 5.0 and ("hold", "plan/faults/a_b.py") in own.origins
    tolerant = experiment.rehearsal("clean", {}, {"steal": "8%"})
    assert (plain.steal, tolerant.steal) == (2.0, 8.0) and ("steal", "flag --steal") in tolerant.origins
    with pytest.raises(BadInput, match="steal"):
        experiment.rehearsal("clean", {}, {"steal": "9%"})


def lab(folder: Path, addresses: list[str]) -> LabConfig:
    """A lab with app hosts at these addresses, as it is written down."""
    config = replace(LabConfig.of(folder, {}), owner=folder / "owner.json")
    config.owner.write_text(json.dumps({"clone": str(folder), "uid": os.getuid(), "user": "anna"}))
    hosts = [{"name": f"app{index}", "role": "app", "address": one} for index, one in enumerate(addresses)]
    config.record.parent.mkdir(parents=True)
    config.record.write_text(json.dumps({"format": 1, "hosts": hosts}))
    return config


TEN = [f"10.0.0.{number}" for number in (1, 2, 3, 10, 20)]


@pytest.mark.parametrize(("addresses", "yes"), [(TEN, True), ([*TEN, "10.0.0.9"], True), (TEN[1:], False)])
def test_only_hosts_of_the_lab_are_hurt(tmp_path: Path, addresses: list[str], yes: bool) -> None:
    known, config = inventory(tmp_path), lab(tmp_path, addresses)
    assert owner.is_lab(config, known) is yes
    local = replace(known, hosts=(*known.hosts[:-1], replace(known.hosts[-1], connection="local")))
    assert not owner.is_lab(config, local)
    config.owner.unlink()
    assert not owner.is_lab(config, known)


def test_other_hosts_are_refused_before_anything_is_touched(tmp_path: Path) -> None:
    inventory(tmp_path)
    done = subprocess.run(
        ["./inv", "rehearse", "drift", "-i", str(tmp_path / "hosts.yml")],
        cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
        env=os.environ | {"LOADPROOF_RESULTS": str(tmp_path / "results")},
    )  # fmt: skip
    assert done.returncode == Refused.exit_code, done.stderr
    assert "it is for the lab's hosts only" in done.stderr and "kept:  nothing was touched" in done.stderr
    assert not (tmp_path / "results").exists()


def walk(
    monkeypatch: pytest.MonkeyPatch, known: Inventory, error: Exception
) -> tuple[bool, list[list[Finding]], list[str]]:
    """A rehearsal of two faults whose trials end with an error."""
    begun: list[str] = []

    def failing(asked: Experiment, *words: object, fault: str = "") -> RunFolder:
        begun.append(fault)
        raise error

    monkeypatch.setattr(bench, "run", failing)
    found: list[list[Finding]] = []
    watcher = bench.Watcher(lambda text: None, lambda *trial: None, lambda live: None)
    green = rehearse.rehearse(
        ("steal_cpu", "drop_port"), known, ROOT, ROOT, (), watcher, lambda some, folder: found.append(list(some)), {}
    )  # fmt: skip
    return green, found, begun


def test_a_trial_that_fails_is_a_finding_and_the_next_one_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = StepFailed("app1", "nft", 1, "no nft")
    green, found, begun = walk(monkeypatch, inventory(tmp_path), error)
    assert not green and begun == ["steal_cpu", "drop_port"]
    assert [(one.check, one.found, one.said, one.ok) for (one,) in found] == [
        ("all", "no trial", error.what, False)
    ] * 2


STOLEN = Finding("freeze_app", "quiet_hosts", "VALID", "INVALID", "load1: 3.1 % was stolen", False, True)
FOUND = Finding("freeze_app", "app_alive", "INVALID", "INVALID", "app2: frozen", True)
MISSED = Finding("freeze_app", "app_alive", "INVALID", "VALID", "app2: went on", False)
EXCUSED = replace(STOLEN, expected="(stolen)", ok=True)
DOUBTED = Finding("freeze_app", "generator_lag", "INVALID", "(stolen)", "worker 1 was late", False, True)
CLEAN = [Finding("clean", "all", "VALID", "INVALID", "1 check", False), replace(STOLEN, fault="clean")]


def rehearsed(
    names: Sequence[str], trials: list[list[Finding]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[bool, list[list[Finding]], list[str]]:
    """A rehearsal of these names whose trials give these findings, all of them: whether it was green, what was told, and
    what was said on the way."""
    left, heard, said = list(trials), list[list[Finding]](), list[str]()
    monkeypatch.setattr(rehearse, "_one", lambda *words: (left.pop(0), RunFolder(folder / "RUN")))
    watcher = bench.Watcher(said.append, lambda *trial: None, lambda live: None)
    green = rehearse.rehearse(
        names, inventory(folder), ROOT, ROOT, (), watcher, lambda some, _: heard.append(list(some)), {}
    )  # fmt: skip
    assert not left
    return green, heard, said


@pytest.mark.parametrize(
    ("trials", "green", "told"),
    [
        ([[STOLEN, FOUND], [FOUND]], True, [[FOUND]]),
        ([[STOLEN, FOUND], [STOLEN], [FOUND]], True, [[FOUND]]),
        # the machine below did it each time: one more fault, that its check saw, and no excuse for another
        ([[STOLEN, FOUND]] * 3, True, [[EXCUSED, FOUND]]),
        ([[STOLEN, MISSED]] * 3, False, [[EXCUSED, MISSED]]),
        ([[DOUBTED, STOLEN]] * 3, False, [[DOUBTED, EXCUSED]]),
        ([CLEAN] * 3, False, [CLEAN]),
        ([[FOUND]], True, [[FOUND]]),
    ],
)
def test_a_trial_from_which_the_machine_took_cpu_away_is_made_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trials: list[list[Finding]],
    green: bool,
    told: list[list[Finding]],
) -> None:
    done, heard, said = rehearsed(["freeze_app"], trials, tmp_path, monkeypatch)
    assert (done, heard) == (green, told)
    again = [one for one in said if not one.startswith("rehearsing")]
    assert again == ["freeze_app: load1: 3.1 % was stolen; again (run RUN is kept)"] * (len(trials) - 1)


QUIET = [Finding("clean", "all", "VALID", "VALID", "44 checks", True)]


@pytest.mark.parametrize(
    ("trials", "green", "told"),
    [
        ([CLEAN] * 3 + [[FOUND]] + [CLEAN, QUIET], True, [[FOUND], QUIET]),
        ([CLEAN] * 3 + [[FOUND]] + [CLEAN] * 3, False, [[FOUND], CLEAN]),
        # a fault that its check did not see while CPU was taken away has its second chance too
        ([QUIET] + [[STOLEN, MISSED]] * 3 + [[FOUND]], True, [QUIET, [FOUND]]),
        ([QUIET] + [[STOLEN, FOUND]] * 3, True, [QUIET, [EXCUSED, FOUND]]),
        ([QUIET, [MISSED]], False, [QUIET, [MISSED]]),
    ],
)
def test_what_the_machine_below_spoilt_each_time_is_put_off_to_the_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trials: list[list[Finding]],
    green: bool,
    told: list[list[Finding]],
) -> None:
    done, heard, said = rehearsed(["clean", "freeze_app"], trials, tmp_path, monkeypatch)
    assert (done, heard) == (green, told)
    put_off = [one for one in said if "put off" in one]
    assert len(put_off) == 2 * (len(trials) > 4)


def test_ctrl_c_ends_a_rehearsal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted, match="Ctrl-C"):
        walk(monkeypatch, inventory(tmp_path), Interrupted("Ctrl-C"))


RIGHT = Finding("freeze_app", "app_alive", "INVALID", "INVALID", "app2: frozen for 5.0 s", True)
WRONG = Finding("freeze_app", "drift", "VALID", "UNKNOWN", "x" * 500, False)


def test_what_is_printed() -> None:
    lines = [*show.header().splitlines(), *show.rows([RIGHT, WRONG], "RUN").splitlines()]
    assert lines[1].split() == ["freeze_app", "app_alive", "INVALID", "INVALID", "yes", *RIGHT.said.split()]
    assert " NO " in lines[2] and lines[2].endswith("x…") and lines[3] == "  run RUN"
    # columns stand under their heads
    assert all(line.index(text) == lines[0].index(head) for line, text, head in zip(
        lines[1:3], ("app_alive", "drift"), ("check", "check"), strict=True
    ))  # fmt: skip
    assert show.ending([RIGHT], 1) == "the rehearsal is green: trials: 1, findings: 1, all as expected"
    assert "not green, 1 of 2: freeze_app: drift UNKNOWN" in show.ending([RIGHT, WRONG], 1)
    assert show.ending(CLEAN, 1).endswith(show.SPOILT) and show.SPOILT not in show.ending([WRONG], 1)
    assert show.ending([RIGHT, EXCUSED], 1).endswith(
        "as expected, but for CPU that the machine below kept for itself (freeze_app)"
    )
