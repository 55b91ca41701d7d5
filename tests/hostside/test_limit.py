"""The supervisor: whatever dies, the app is limited again and never frozen, and the record says so."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from tests.hostside.conftest import (
    BRIEFLY_FORKING,
    DATA,
    FORKING,
    IDLE,
    Stage,
    cpu_ns,
    load_program,
    runs_free,
    state_of,
    until,
)


def gone(pid: int) -> bool:
    """Whether a process is gone (a zombie is)."""
    return state_of(pid) in ("", "Z", "X")


def seconds_between(first: dict[str, Any], second: dict[str, Any]) -> float:
    return float(second["monotonic_ns"] - first["monotonic_ns"]) / 1e9


def share_of_cpu(pid: int, seconds: float) -> float:
    """CPU of a process in % over some seconds."""
    before, begun = cpu_ns(pid), time.monotonic_ns()
    until(lambda: time.monotonic_ns() - begun > seconds * 1e9, "the time is over", seconds + 5)
    return (cpu_ns(pid) - before) / (time.monotonic_ns() - begun) * 100


def test_holds_the_app_and_says_so(stage: Stage) -> None:
    app = stage.app()
    assert stage.limit("status", "--attached").returncode == 3
    stage.supervise()
    event = stage.attached()
    assert event["pid"] == app.pid and event["command"].endswith(f"-p {app.pid} -l 5 -c 1")
    started = stage.events("started")[0]
    assert (
        started["limiter"] == "cpulimit"
        and started["percent"] == 5
        and started["unit"] == "loadproof-app.service"
    )
    assert started["program"] == str(stage.bin / "cpulimit") and started["version"] == "CPUlimit version 2.8"
    assert share_of_cpu(app.pid, 1.0) < 60
    status = stage.limit("status", "--attached")
    assert status.returncode == 0 and json.loads(status.stdout)["alive"] is True


def test_cpulimit_killed_is_replaced_within_a_second(stage: Stage) -> None:
    app = stage.app()
    stage.supervise()
    first = stage.attached()
    for number in range(2, 5):
        os.kill(stage.events("attached")[-1]["child"], signal.SIGKILL)
        stage.attached(number)
    last = stage.events("attached")[-1]
    assert last["pid"] == app.pid and last["child"] != first["child"]
    gaps = [
        seconds_between(a, b) for a, b in zip(stage.events("gone"), stage.events("attached")[1:], strict=True)
    ]
    assert max(gaps) < 1.0
    assert "cpulimit: exit -9" in stage.events("gone")[0]["what"]
    before = cpu_ns(app.pid)
    until(lambda: cpu_ns(app.pid) > before + 1_000_000, "the app makes progress")


def test_app_killed_is_limited_again_within_a_second_of_systemd_knowing_it(stage: Stage) -> None:
    app = stage.app()
    stage.supervise()
    stage.attached()
    app.kill()
    until(lambda: stage.events("gone"), "the loss is recorded")
    assert stage.events("gone")[0]["what"] == "app"
    new = stage.app()
    known = time.monotonic_ns()
    event = stage.attached(2)
    assert event["pid"] == new.pid and (event["monotonic_ns"] - known) / 1e9 < 1.0
    until(lambda: gone(stage.events("attached")[0]["child"]), "the first cpulimit is gone")


def test_app_that_stays_away_is_waited_for(stage: Stage) -> None:
    supervisor = stage.supervise()
    until(lambda: stage.events("started"), "started")
    assert stage.limit("status", "--attached").returncode == 3
    app = stage.app()
    assert stage.attached()["pid"] == app.pid
    assert supervisor.poll() is None


def test_supervisor_killed_leaves_the_app_running_and_the_next_one_limits(stage: Stage) -> None:
    app = stage.app()
    supervisor = stage.supervise()
    first = stage.attached()
    supervisor.kill()
    supervisor.wait()
    until(lambda: gone(first["child"]), "its cpulimit died with it")
    until(lambda: runs_free(app.pid), "the app continues")
    stage.supervise()
    second = stage.attached(2, within=2.0)
    assert second["child"] != first["child"]
    assert [event["what"] for event in stage.events("gone")] == ["supervisor"]


def test_both_killed_at_once_and_lift_continues_the_app(stage: Stage) -> None:
    app = stage.app()
    supervisor = stage.supervise()
    child = stage.attached()["child"]
    until(lambda: state_of(app.pid) == "T", "the app is stopped")
    os.kill(child, signal.SIGSTOP)
    supervisor.kill()
    supervisor.wait()
    assert json.loads(stage.limit("lift").stdout)["lifted"] is True
    assert gone(child)
    until(lambda: runs_free(app.pid), "the app continues")
    events = len(stage.events())
    assert json.loads(stage.limit("lift").stdout)["lifted"] is False
    assert len(stage.events()) == events


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_and_lifts(stage: Stage, number: signal.Signals) -> None:
    app = stage.app()
    supervisor = stage.supervise()
    child = stage.attached()["child"]
    supervisor.send_signal(number)
    assert supervisor.wait(5) == 0
    assert gone(child)
    until(lambda: runs_free(app.pid), "the app continues")
    assert [event["event"] for event in stage.events()][-3:] == ["detached", "lifted", "ended"]
    assert stage.events("ended")[0]["why"] == number.name
    assert stage.limit("status", "--attached").returncode == 3


def test_its_time_is_over(stage: Stage) -> None:
    stage.trial("cpulimit", deadline_s=1)
    app = stage.app()
    supervisor = stage.supervise()
    assert supervisor.wait(5) == 0
    until(lambda: runs_free(app.pid), "the app continues")
    assert stage.events("ended")[0]["why"] == "deadline"


def test_a_restarted_supervisor_keeps_the_first_deadline(stage: Stage) -> None:
    stage.trial("cpulimit", deadline_s=20)
    stage.app()
    supervisor = stage.supervise()
    stage.attached()
    deadline = json.loads(stage.state.read_text())["deadline_ns"]
    supervisor.kill()
    supervisor.wait()
    stage.limit("lift")
    stage.supervise()
    stage.attached(2)
    assert json.loads(stage.state.read_text())["deadline_ns"] == deadline


def test_lift_ends_a_living_supervisor(stage: Stage) -> None:
    app = stage.app()
    supervisor = stage.supervise()
    stage.attached()
    assert stage.limit("lift").returncode == 0
    assert supervisor.wait(5) == 0
    until(lambda: runs_free(app.pid), "the app continues")


def test_a_second_supervisor_is_refused(stage: Stage) -> None:
    stage.app()
    first = stage.supervise()
    stage.attached()
    assert stage.supervise().wait(5) == 78
    assert first.poll() is None and len(stage.events("attached")) == 1


def test_cpulimit_stopped_does_not_leave_the_app_unlimited_unnoticed(stage: Stage) -> None:
    stage.app()
    stage.supervise()
    child = stage.attached()["child"]
    os.kill(child, signal.SIGSTOP)
    stage.attached(2)
    assert "was stopped" in stage.events("gone")[0]["what"]
    assert gone(child)


def test_frozen_app_is_continued(stage: Stage) -> None:
    stage.env["FLAVOUR"] = "sleepy"
    stage.app()
    stage.supervise()
    stage.attached(2, within=8)
    assert stage.events("gone")[0]["what"].startswith("frozen")


def test_idle_app_is_not_frozen(stage: Stage) -> None:
    stage.app(IDLE)
    stage.supervise()
    begun = stage.attached()["monotonic_ns"]
    until(lambda: time.monotonic_ns() - begun > 3e9, "three seconds of nothing to do", 8)
    assert not stage.events("gone")


def test_no_cpulimit_is_said_and_not_tried_again(stage: Stage) -> None:
    (stage.bin / "cpulimit").unlink()
    stage.app()
    assert stage.supervise().wait(5) == 78
    assert "no program cpulimit" in stage.events("ended")[0]["why"]


def test_cpulimit_that_cannot_work_is_given_up_with_its_words(stage: Stage) -> None:
    stage.env["FLAVOUR"] = "broken"
    app = stage.app()
    assert stage.supervise().wait(20) == 78
    assert "cannot work here" in stage.events("ended")[0]["why"]
    until(lambda: runs_free(app.pid), "the app continues")


def test_the_other_cpulimit_is_run_without_options_it_lacks(stage: Stage) -> None:
    stage.env["FLAVOUR"] = "opsengine"
    app = stage.app()
    stage.supervise()
    assert stage.attached()["command"].endswith(f"-p {app.pid} -l 5")
    assert stage.events("started")[0]["flavour"] == "opsengine"
    assert not stage.events("gone")


@pytest.mark.parametrize(("flavour", "option"), [("limitcpu", "-m"), ("opsengine", "-i")])
def test_children_of_the_app_are_watched_too(stage: Stage, flavour: str, option: str) -> None:
    stage.env["FLAVOUR"] = flavour
    stage.app(FORKING)
    stage.supervise()
    until(
        lambda: stage.events("attached") and stage.events("attached")[-1]["command"].endswith(option), option
    )


def test_children_that_come_and_go_end_the_limiter_once(stage: Stage) -> None:
    children = stage.folder / "children"
    children.touch()
    stage.trial("cpulimit", percent=50)
    stage.app(BRIEFLY_FORKING.format(path=str(children)))
    stage.supervise()
    until(lambda: stage.events("attached") and "-m" in stage.events("attached")[-1]["command"].split(), "-m")
    had = len(children.read_text().splitlines())
    until(lambda: len(children.read_text().splitlines()) >= had + 8, "eight more children", 20)
    assert len(stage.events("gone")) <= 1 and "-m" in stage.events("attached")[-1]["command"].split()


def test_quota_says_when_it_is_not_in_force(stage: Stage) -> None:
    stage.trial("quota")
    app = stage.app()
    supervisor = stage.supervise()
    event = until(lambda: stage.events("in_force"), "in_force")[0]
    assert event["ok"] is False and event["why"].startswith("accepted but not in force")
    assert (stage.folder / "properties").read_text().splitlines() == [
        "set-property --runtime loadproof-app.service CPUQuota=5%"
    ]
    assert stage.limit("status", "--attached").returncode == 0
    supervisor.terminate()
    assert supervisor.wait(5) == 0
    assert runs_free(app.pid)


def test_none_only_says_that_it_began(stage: Stage) -> None:
    stage.trial("none", percent=0)
    app = stage.app()
    supervisor = stage.supervise()
    until(lambda: stage.limit("status", "--attached").returncode == 0, "attached")
    assert runs_free(app.pid)
    supervisor.terminate()
    assert supervisor.wait(5) == 0
    assert [event["event"] for event in stage.events()] == ["started", "lifted", "ended"]


def test_no_trial_is_said(stage: Stage) -> None:
    stage.trial_path.unlink()
    assert stage.supervise().wait(5) == 78
    assert "cannot be read" in stage.events("ended")[0]["why"]
    assert json.loads(stage.limit("lift").stdout)["lifted"] is False


def test_events_that_cannot_be_written_do_not_end_the_limit(stage: Stage) -> None:
    stage.out.rmdir()
    stage.app()
    stage.supervise()
    until(lambda: stage.limit("status", "--attached").returncode == 0, "attached")


@pytest.mark.parametrize(
    ("text", "flavour", "one_cpu", "forks", "version"),
    [
        ("cpulimit-limitcpu-2.8.txt", "LimitCPU", "-c", "-m", "CPUlimit version 2.8"),
        ("cpulimit-opsengine-0.x.txt", "opsengine", "", "-i", "opsengine cpulimit 0.x"),
    ],
)
def test_recognises_both_programs(text: str, flavour: str, one_cpu: str, forks: str, version: str) -> None:
    found = load_program("limit").recognise((DATA / text).read_text())
    assert found == {"flavour": flavour, "one_cpu": one_cpu, "forks": forks, "version": version}


def test_an_unknown_program_gets_only_what_all_have() -> None:
    assert load_program("limit").recognise("something else")["one_cpu"] == ""
