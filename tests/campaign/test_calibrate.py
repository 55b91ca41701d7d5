"""A calibration from its first trial to the plans that it is for, over made hosts: what is planned, kept, and gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from analysis import calibration, checks, report, results
from analysis.measures.window import Window
from loadproof.campaign import calibrate, state
from loadproof.console.summary import summary
from loadproof.errors import LinkLost, RecordUnreadable
from loadproof.plan import actions, experiment
from loadproof.plan import trials as trial_plans
from loadproof.plan.values import Experiment, Inventory, TrialPlan
from loadproof.runfolder import formats, record
from loadproof.runfolder.journal import Journal
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic
from tests.analysis.synthetic import Raw
from tests.plan.inventories import states

HOSTS = Inventory("inventory/made.yml", synthetic.HOSTS)
OVER = {"app1": 0.6, "app2": 1.7}  # points that each app gets more than its limiter is set to


def users(raw: Raw) -> None:
    """One user of each worker, with one request a second."""
    end = raw.plan.load.end_s
    for _, worker in raw.plan.workers:
        raw.user(worker, 1, 0.0)
        for second in range(int(end)):
            raw.request(worker, second, second + 0.1, second + 0.2)
        raw.user(worker, 1, end + 0.01, formats.KIND_USER_STOPPED)


@dataclass
class Made:
    """A run folder whose trials are walked by nobody: hosts give what `share` says of (host, setting, trial number)."""

    folder: RunFolder
    asked: Experiment
    share: Callable[[str, float, int], float | None]
    ran: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def calibration(self) -> calibrate.Asked:
        return calibrate.Asked(self.asked, HOSTS, self.folder.id, states(self.asked, HOSTS))

    def begin(self) -> None:
        """What `bench` writes before it touches anything."""
        tried = trial_plans.first_try(self.asked, HOSTS)
        plan = trial_plans.calibration_trial(
            self.asked, HOSTS, self.folder.id, states(self.asked, HOSTS), 1, tried
        )
        record.write_run(self.folder, self.asked, HOSTS, {}, ("inv", "bench", "--calibrate"), [plan])
        record.write_plan(self.folder.trial(plan.folder).plan, plan)

    def run(self, plan: TrialPlan) -> None:
        paths = self.folder.trial(plan.folder)
        assert record.read_plan(paths.plan) == plan, "decided and written before it is run"
        assert plan.folder in record.read_run(self.folder).trials
        self.ran.append(plan.because)
        with Journal(paths.journal) as journal:
            journal.write("seal", "end")

    def bring(self, plan: TrialPlan) -> None:
        raw = Raw(plan)
        users(raw)
        shares = {host: self.share(host, plan.limit_at(host), int(plan.id)) for host in plan.apps}
        synthetic.quiet_samples(raw, {host: one / 100 for host, one in shares.items() if one is not None})
        for host, one in shares.items():
            if one is None:
                del raw.samples[host]
        raw.write(self.folder.trial(plan.folder))

    def go_on(self) -> tuple[TrialPlan, ...]:
        return calibrate.go_on(self.calibration, self.folder, self.run, self.bring, self.said.append)


def make(tmp_path: Path, share: Callable[[str, float, int], float | None], servers: str = "1,2") -> Made:
    folder = RunFolder(tmp_path / "20261124T031500Z-made")
    folder.path.mkdir()
    flags = {"calibrate": "yes", "processes": "3", "threads": "1", "repeats": "1"}
    asked = experiment.named("quick", flags, [f"factors.servers={servers}"])
    made = Made(folder, asked, share)
    made.begin()
    return made


def usual(host: str, setting: float, number: int) -> float:
    return setting + OVER[host] + (0.2 if number == 4 else 0.0)  # the repeat lies a little higher


def test_each_trial_follows_from_the_ones_before(tmp_path: Path) -> None:
    made = make(tmp_path, usual)
    planned = made.go_on()
    assert made.ran == [
        "calibration 01: -l 5",
        "calibration 02: app1 -l 4, app2 -l 3",
        "calibration 03: -l 4",
        "calibration 04: app1 -l 4, app2 -l 3 again (repeat error)",
    ]
    assert [(one.id, one.folder, one.limit_set) for one in planned] == [
        ("05", "05-servers-1", (("app1", 4.0),)),
        ("06", "06-servers-2", (("app1", 4.0), ("app2", 3.0))),
    ]
    assert planned[1].because == "block 1; calibration gave app1 -l 4, app2 -l 3"
    assert all(record.read_plan(made.folder.trial(one.folder).plan) == one for one in planned)
    assert record.read_run(made.folder).trials == tuple(paths.name for paths in made.folder.trials)
    assert made.said[0] == "calibration 01: app1 -l 5 gave 5.6 %, app2 -l 5 gave 6.7 %"
    assert "calibration: app1 -l 4 gives 4.7 % (± 0.1 between repeats), asked 5 %." in made.said


def test_hosts_are_told_their_own_setting(tmp_path: Path) -> None:
    made = make(tmp_path, usual)
    trial = made.go_on()[1]
    told = {host: actions.trial_json(HOSTS, trial, host)["limiter"]["percent"] for host in trial.apps}
    assert told == {"app1": 4, "app2": 3}


def test_what_was_left_is_gone_on_with_and_nothing_is_done_twice(tmp_path: Path) -> None:
    made = make(tmp_path, usual)
    whole = made.bring

    def lost(plan: TrialPlan) -> None:
        if plan.id == "02":
            raise LinkLost("app1", "the link is lost")
        whole(plan)

    made.bring = lost  # type: ignore[method-assign]
    with pytest.raises(LinkLost):
        made.go_on()
    assert state.to_be_planned(made.folder) and not state.here(made.folder)
    made.bring = whole  # type: ignore[method-assign]
    planned = made.go_on()
    assert [because.partition(":")[0] for because in made.ran] == [f"calibration 0{n}" for n in (1, 2, 3, 4)]
    assert not state.to_be_planned(made.folder)
    assert made.go_on() == planned and len(made.ran) == 4


def test_a_trial_that_was_cut_short_is_run_once_more_and_counts_for_nothing(tmp_path: Path) -> None:
    made = make(tmp_path, lambda host, setting, number: 9.0 if number == 2 else setting + OVER[host])
    whole = made.run

    def interrupted(plan: TrialPlan) -> None:
        whole(plan)
        if plan.id == "02":
            with Journal(made.folder.trial(plan.folder).journal) as journal:
                journal.write("watch", "begin")
            raise LinkLost("app1", "the link is lost")

    made.run = interrupted  # type: ignore[method-assign]
    with pytest.raises(LinkLost):
        made.go_on()
    made.run = whole  # type: ignore[method-assign]
    planned = made.go_on()
    assert made.ran == [
        "calibration 01: -l 5",
        "calibration 02: app1 -l 4, app2 -l 3",
        "repeat of 02: it was ended before its load was over",
        "calibration 04: -l 4",
        "calibration 05: app1 -l 4, app2 -l 3 again (repeat error)",
    ]
    assert [(one.id, one.limit_set) for one in planned] == [
        ("06", (("app1", 4.0),)),
        ("07", (("app1", 4.0), ("app2", 3.0))),
    ]
    assert (
        "calibration 02: app1 -l 4 gave 9.0 %, app2 -l 3 gave 9.0 %; it was ended before its load was over"
        in made.said
    )
    assert made.go_on() == planned and len(made.ran) == 5
    (found,) = results.analyse(made.folder.path)["calibrations"]
    assert [round(one["cpu_percent"], 1) for one in found["servers"][0]["measured"]] == [5.6, 4.6, 4.6, 4.6]


def check(name: str, verdict: checks.Verdict, said: str) -> checks.Check:
    return checks.Check(name, verdict, None, None, "", "trial", "", said)


GONE = check("limiter_attached", "UNKNOWN", "app1: limiter.jsonl: No such file or directory")


@pytest.mark.parametrize(
    ("seconds", "busy", "found", "known"),
    [
        (15.0, 5.5, [], (5.5, 5.5)),
        (15.0, None, [], (9.0, 9.0)),
        (4.9, None, [], (None, None)),  # of so short a window, bursts
        (15.0, 5.5, [GONE], (None, 5.5)),
        (15.0, 5.5, [check("app_alive", "UNKNOWN", "app1, app2: there is no window")], (None, None)),
        (15.0, 5.5, [check("hosts_up", "UNKNOWN", "load1: when it started is unknown")], (5.5, 5.5)),
        (15.0, 5.5, [check("drift", "UNKNOWN", "app1: unknown")], (5.5, 5.5)),
        (15.0, 5.5, [check("hosts_up", "INVALID", "load1 restarted during the trial")], (None, None)),
    ],
)
def test_a_share_needs_its_evidence(
    seconds: float, busy: float | None, found: list[checks.Check], known: tuple[float | None, float | None]
) -> None:
    servers = [{"host": host, "cpu_percent": 9.0, "cpu_saturated_percent": busy} for host in OVER]
    hold = Window("hold", 9, 0, 0, round(seconds * 1e6))
    judged = SimpleNamespace(figures={"servers": servers}, hold=hold, checks=found)
    assert calibration.shares(judged) == dict(zip(OVER, known, strict=True))  # type: ignore[arg-type]


def test_a_share_without_a_limiter_counts_for_nothing(tmp_path: Path) -> None:
    made = make(tmp_path, usual)
    whole = made.bring

    def unlimited(plan: TrialPlan) -> None:
        whole(plan)
        if plan.id == "01":
            path = made.folder.trial(plan.folder).raw("app1") / "limiter.jsonl"
            path.write_text(path.read_text().replace("attached", "detached"))

    made.bring = unlimited  # type: ignore[method-assign]
    made.go_on()
    assert made.said[0] == "calibration 01: app1 -l 5 is not known, app2 -l 5 is not known"
    assert made.ran[1] == "calibration 02: -l 5"


def test_a_server_whose_share_is_never_known_is_said(tmp_path: Path) -> None:
    made = make(tmp_path, lambda host, setting, number: None if host == "app2" else setting)
    with pytest.raises(RecordUnreadable, match="the share of app2 could not be measured") as caught:
        made.go_on()
    assert "its CPU is unknown" in caught.value.what
    assert len(made.ran) == 2 and "./inv report" in caught.value.next
    assert state.to_be_planned(made.folder)


def test_the_results_say_asked_set_and_achieved(tmp_path: Path) -> None:
    made = make(tmp_path, usual, servers="2")
    for trial in made.go_on():
        made.run(trial)
        made.bring(trial)
    found = results.analyse(made.folder.path)
    (arm,) = found["arms"]
    assert (
        arm["label"] == "servers=2"
        and len(arm["trials"]) == 1
        and arm["setup"]["limit"] == "cpulimit 5 %, calibrated"
    )
    servers = [
        (one["host"], one["limit_percent"], one["limit_set"], round(one["cpu_percent"], 3))
        for one in arm["servers"]
    ]
    assert servers == [("app1", 5.0, 4.0, 4.6), ("app2", 5.0, 3.0, 4.7)]
    (calibration,) = found["calibrations"]
    assert [one["because"] for one in calibration["trials"]] == made.ran[:4]
    assert [one["limit_set"] for one in calibration["servers"][1]["measured"]] == [5.0, 3.0, 4.0, 3.0]
    assert calibration["servers"][1]["repeat_error_points"] == pytest.approx(0.1)
    text = summary(found)
    assert "calibration: app2 -l 3 gives 4.8 % (± 0.1 between repeats), asked 5 %." in text
    assert "5.0 (set 4)" in text and "5.0 (set 3)" in text
    page = report.render(made.folder.path).read_text()
    assert "calibration: app2 -l 3 gives" in page and "(set 3)" in page


def test_a_run_that_was_left_in_its_calibration_can_be_read(tmp_path: Path) -> None:
    made = make(tmp_path, lambda host, setting, number: 9.0 + setting / 10)
    made.go_on()
    for paths in made.folder.trials:
        if json.loads(paths.plan.read_text())["purpose"] == "measure":
            paths.plan.unlink()
            paths.path.rmdir()
    found = results.analyse(made.folder.path)
    assert found["arms"] == []
    assert any("only calibration trials are here" in one for one in found["incomplete"])
    assert any(kind == "warn" and "nothing nearer was found" in said for kind, said in found["sentences"])
    assert "only calibration trials are here" in summary(found)
    assert report.render(made.folder.path).exists()


def test_a_plan_of_before_calibration_is_read_as_measured_and_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    record.write_plan(path, synthetic.plan())
    old = json.loads(path.read_text())
    for name in ("limit_set", "purpose"):
        del old[name]
    path.write_text(json.dumps(old))
    plan = record.read_plan(path)
    assert (plan.purpose, plan.limit_set, plan.limit_at("app1")) == ("measure", (), 5.0)
