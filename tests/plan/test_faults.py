"""Faults: found by file name, and every one of them keeps the contract; rehearsals are planned from them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from loadproof.errors import BadInput
from loadproof.plan import actions, experiment, faults, trials
from loadproof.plan.faults import _parts as parts
from loadproof.plan.faults import damage_log, fill_disk, lose_lines, lose_rows
from loadproof.plan.settings import choices
from loadproof.plan.values import Action, Inventory, PlannedFault, Put, Run, Stage, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.formats import CLIENT_ROW, HEADER, KIND_REQUEST
from tests.plan.inventories import ROOT, inventory, states

CHECKS = {
    *("limit_held", "limiter_attached", "app_alive", "every_backend", "generator_cpu", "generator_lag"),
    *(
        "generator_rate",
        "users_planned",
        "workers_kept",
        "rows_complete",
        "ledger_requests",
        "ledger_time",
        "arrivals_made",
    ),
    *("drift", "hosts_up", "quiet_hosts", "disk_room", "tail_drained", "logs_readable"),
    *("failures", "short_window", "percentiles", "steady"),
}


def planned(folder: Path, name: str) -> tuple[Inventory, TrialPlan]:
    """The trial of a rehearsal."""
    known = inventory(folder)
    asked = experiment.rehearsal(name, faults.load(name).trial)
    (trial,) = trials.trials(asked, known, "RUN", states(asked, known))
    return known, faults.into(trial, name)


def of(stages: tuple[Stage, ...]) -> list[Action]:
    """Every action of some stages."""
    return [action for stage in stages for wave in stage.waves for action in wave]


@pytest.mark.parametrize("name", faults.names())
def test_every_fault_keeps_the_contract(name: str, tmp_path: Path) -> None:
    fault = faults.load(name)
    known, trial = planned(tmp_path, name)
    (one,) = trial.faults
    assert fault.label and fault.colour in parts.COLOURS
    assert fault.turns and set(fault.turns) <= CHECKS and set(fault.turns.values()) <= {"INVALID", "UNKNOWN"}
    assert set(fault.may_turn) <= CHECKS - set(fault.turns)
    assert set(fault.says) <= set(fault.turns) and all(fault.says.values())
    assert all(pattern.count("/") == 1 for pattern in fault.expects)
    assert one.hosts and set(one.hosts) <= set(actions.hosts_of(trial))
    assert trial.because == f"rehearsal: {name} ({fault.label})"
    if one.when == "load":
        # what is judged is the window: nothing may begin before its users, or in its last seconds
        assert 0 < one.at_s <= trial.load.end_s - 4
        assert one.until_s is None or one.at_s < one.until_s < trial.load.end_s - 1
    for hurt in (fault.begin, fault.end, fault.prepare, fault.restore):
        done = hurt(known, trial)
        assert done == hurt(known, trial)
        assert {action.host for action in done} <= set(one.hosts)
    # a host ends it by itself: with commands alone, which a timer runs
    assert all(isinstance(action, Run) and not action.stdin for action in fault.end(known, trial))
    for action in (
        *fault.begin(known, trial),
        *of(faults.undo(known, trial)),
        *of(faults.restore(known, trial)),
    ):
        assert not isinstance(action, Put)
        assert subprocess.run(["sh", "-n", "-c", action.command]).returncode == 0, action.command


def test_every_check_has_a_fault_or_a_reason() -> None:
    turned = {check for name in faults.names() for check in faults.load(name).turns}
    assert turned | set(faults.WITHOUT) == CHECKS
    assert not turned & set(faults.WITHOUT) and not CHECKS & set(faults.names())


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["limiter_attached"], ("loosen_limiter", "stop_limiter")),
        (["drift", "edit_nginx"], ("edit_nginx", "forget_backend")),
        (["steal_cpu"], ("steal_cpu",)),
        (["steady"], ("weary_users",)),
        ([], faults.names()),
    ],
)
def test_faults_by_the_checks_they_turn(words: list[str], found: tuple[str, ...]) -> None:
    assert faults.turning(words) == found


def test_all_that_is_wrong_with_the_names_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        faults.turning(["drifts", "hosts_up", "drift"])
    first, second = (str(problem) for problem in caught.value.problems)
    assert "did you mean drift?" in first and "no fault turns hosts_up" in second


def test_a_fault_does_not_outlast_the_load_it_belongs_to(tmp_path: Path) -> None:
    _, trial = planned(tmp_path, "remove_backend")
    assert trial.faults == (PlannedFault("remove_backend", trial.apps[-1:], "before", 0.0, trial.load.end_s),)
    _, trial = planned(tmp_path, "edit_nginx")
    assert trial.faults[0].until_s is None


def test_closing_undoes_first_and_restores_last(tmp_path: Path) -> None:
    known, trial = planned(tmp_path, "fill_disk")
    names = [stage.name for stage in actions.closing(known, trial)]
    assert names == ["undo fill_disk", "stop", "lift", "seal", "restore"]
    clean = experiment.rehearsal("clean", {})
    (plain,) = trials.trials(clean, known, "RUN", states(clean, known))
    assert [stage.name for stage in actions.closing(known, plain)] == ["stop", "lift", "seal"]
    assert faults.prepare(known, plain) == faults.undo(known, plain) == faults.restore(known, plain) == ()


def test_what_a_killed_rehearsal_left_is_undone_first(tmp_path: Path) -> None:
    known, trial = planned(tmp_path, "fill_disk")
    first, *rest = faults.prepare(known, trial)
    assert [(action.host, action.name) for action in of((first,))] == [
        (host, "undo.earlier") for host in ("load1", "proxy1", "app1", "app2")
    ]
    assert [action.name for action in of(tuple(rest))] == ["disk.bound"]


def test_hosts_end_a_fault_by_themselves(tmp_path: Path) -> None:
    known, trial = planned(tmp_path, "freeze_app")
    (armed,) = faults.armed(known, trial, trial.faults[0])
    (end,) = faults.load("freeze_app").end(known, trial)
    assert isinstance(armed, Run) and isinstance(end, Run) and armed.host == end.host
    assert f"--on-active={trial.planned_s + trial.margin_s:.0f}" in armed.command
    assert "--signal=CONT --kill-whom=all loadproof-app.service" in end.command
    assert end.command in armed.command
    disarm = of(faults.undo(known, trial))[-1]
    assert isinstance(disarm, Run) and "rehearsal-undo-freeze_app.timer" in disarm.command


def test_a_plan_with_faults_is_read_back_and_one_of_before_has_none(tmp_path: Path) -> None:
    _, trial = planned(tmp_path, "kill_worker")
    record.write_plan(tmp_path / "plan.json", trial)
    assert record.read_plan(tmp_path / "plan.json") == trial
    old = json.loads((tmp_path / "plan.json").read_text())
    del old["faults"]
    (tmp_path / "plan.json").write_text(json.dumps(old))
    assert record.read_plan(tmp_path / "plan.json").faults == ()


def test_the_disk_that_is_filled_is_never_the_machines(tmp_path: Path) -> None:
    known, trial = planned(tmp_path, "fill_disk")
    (fill,) = fill_disk.begin(known, trial)
    assert isinstance(fill, Run) and fill.command.startswith("mountpoint -q ")
    assert f"head -c {fill_disk.ROOM_MB}M " in fill.command


def edit(program: str, path: Path) -> None:
    """Run a fault's program on a file."""
    subprocess.run(["python3", "-I", "-S", "-c", program, str(path)], check=True)


def test_lines_are_damaged_in_place(tmp_path: Path) -> None:
    path = tmp_path / "access.tsv"
    lines = [json.dumps({"number": number}) for number in range(200)]
    path.write_text("".join(f"{line}\n" for line in lines))
    edit(damage_log.PROGRAM, path)
    found = path.read_bytes().split(b"\n")
    assert len(path.read_bytes()) == sum(len(line) + 1 for line in lines)
    damaged = [number for number in range(200) if found[number] != lines[number].encode()]
    assert damaged == [7, 57, 107, 157]


def test_lines_and_rows_go_missing_without_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "access.tsv"
    path.write_text("".join(f"{number}\n" for number in range(200)))
    edit(lose_lines.PROGRAM, path)
    assert set(range(200)) - {int(line) for line in path.read_text().split()} == {7, 57, 107, 157}

    rows = np.zeros(100, CLIENT_ROW)
    rows["kind"], rows["id"] = KIND_REQUEST, np.arange(100)
    rows["kind"][::10] = 4
    path.write_bytes(np.zeros(1, HEADER).tobytes() + rows.tobytes())
    edit(lose_rows.PROGRAM, path)
    left = np.frombuffer(path.read_bytes()[HEADER.itemsize :], CLIENT_ROW)
    assert len(left) == 89 and (left["kind"] == 4).sum() == 10
    gone = sorted(set(range(100)) - set(left["id"].tolist()))
    assert len(gone) == 11 and gone[0] > 40 and gone[-1] < 70


@pytest.mark.parametrize("name", ["heavy_scenario", "weary_users"])
def test_the_scenario_that_is_a_fault_is_one(name: str) -> None:
    assert faults.load(name).trial["scenario"] in choices(ROOT / "loadtests" / "scenarios")
