"""Open loads: how rates are written, how many users they take, and what may be asked for together."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from loadproof.errors import BadInput
from loadproof.plan import actions, calibration, experiment, openload, trials
from loadproof.plan.load import MOST_USERS
from loadproof.plan.values import Experiment, Load
from loadtests import autostop, trial
from loadtests.profiles.arrivals import BEGIN_S
from tests.plan.inventories import inventory, states


@pytest.mark.parametrize(
    ("text", "rate", "spelled"),
    [("200/s", 200.0, "200/s"), ("0.5/s", 0.5, "0.5/s"), ("60/m", 1.0, "1/s"), ("1/m", 1 / 60, "0.016667/s"),
     ("6/h", 6 / 3600, "0.1/m"), (" 2.5/s ", 2.5, "2.5/s")],
)  # fmt: skip
def test_rates(text: str, rate: float, spelled: str) -> None:
    assert openload.parse(text) == pytest.approx(rate)
    assert openload.spell(openload.parse(text)) == spelled
    assert openload.parse(spelled) == pytest.approx(rate, rel=1e-4)


@pytest.mark.parametrize(
    "text",
    ["", "200", "0/s", "-1/s", "200/", "/s", "1e3/s", "200 /s", "2/d", "nan/s", "9" * 12 + "/s", "２/s"],
)
def test_what_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="is no rate: a number above 0"):
        openload.parse(text)


@pytest.mark.parametrize(
    ("rate", "timeout"), [(0.1, 1.0), (8.0, 2.0), (50.0, 10.0), (200.0, 10.0), (300.0, 10.0)]
)
def test_users_are_enough_though_nobody_answers(rate: float, timeout: float) -> None:
    number = openload.pool(rate, timeout)
    assert rate * timeout + 3 * math.sqrt(rate * timeout) < number <= MOST_USERS
    assert openload.pool(rate * 1000, timeout * 100) == MOST_USERS


def asked(*flags: str) -> Load:
    return experiment.from_flags(dict(flag.split("=") for flag in flags)).arms[0].load


def test_a_rate_makes_an_open_load() -> None:
    load = asked("rate=20/s", "timeout=2s", "hold=20s")
    number = load.users
    assert (load.rate, load.arrivals, load.autostop) == (20.0, "poisson", "none")
    assert (load.table, load.ramp_end_s, load.end_s) == (((0.0, number),), BEGIN_S, 26.0)
    assert number == openload.pool(20.0, 2.0) == load.processes * load.threads
    assert f"{number} users make the requests of 20/s: enough if none is answered in time" in load.said
    assert openload.said(load) == "open, 20/s, Poisson"
    assert asked("rate=20/s", "arrivals=even", "vusers=50").users == 50
    assert asked("rate=20/s", "processes=2", "threads=7", "think=0").users == 14
    assert (
        asked("rate=900/s").users <= MOST_USERS
        and "all that nginx is set up for" in asked("rate=900/s").said[0]
    )


def refused(*flags: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        asked(*flags)
    return [str(problem) for problem in caught.value.problems]


def test_what_only_a_closed_load_has_is_refused_all_at_once() -> None:
    found = refused(
        "rate=20/s",
        "think=1s",
        "initial=3",
        "step=3",
        "interval=1s",
        "ramp=thread",
        "arrivals=evn",
        "autostop=grinder",
    )
    assert [one.partition(":")[0] for one in found] == [
        "--autostop", "--arrivals", "--think", "--ramp", "--initial", "--step", "--interval",
    ]  # fmt: skip
    assert "--think: users of an open load do not think: --rate says when requests begin" in found
    assert (
        "--step: an open load has no ramp, and no step: its users are all there before the first request"
        in found
    )
    assert refused("rate=fast") == [
        "--rate: 'fast' is no rate: a number above 0 and /s, /m or /h, as in 200/s or 0.5/s"
    ]
    assert refused("arrivals=even") == ["--arrivals: arrivals are those of an open load: they need --rate"]
    assert refused("rate=5000/s", "duration=1h") == [
        "--rate: 18,000,000 requests are more than 10,000,000: a lower rate, or a shorter load"
    ]
    assert refused("rate=5/s", "vusers=5000") == [
        "--vusers: 5000 users are more than 4096, which nginx is set up for"
    ]


def written(folder: Path, text: str, *settings: str) -> Experiment:
    path = folder / "asked.yml"
    path.write_text(text)
    return experiment.named(str(path), {}, settings)


def test_a_rate_may_be_set_and_be_a_factor(tmp_path: Path) -> None:
    found = written(
        tmp_path, "factors: {rate: [10/s, 20/s], arrivals: [even, poisson]}\nautostop: ngrinder\n"
    )
    assert [(arm.label, arm.load.rate, arm.load.arrivals) for arm in found.arms] == [
        ("rate=10/s,arrivals=even", 10.0, "even"), ("rate=10/s,arrivals=poisson", 10.0, "poisson"),
        ("rate=20/s,arrivals=even", 20.0, "even"), ("rate=20/s,arrivals=poisson", 20.0, "poisson"),
    ]  # fmt: skip
    assert {arm.load.autostop for arm in found.arms} == {"ngrinder"}
    assert found.arms[0].load.users < found.arms[2].load.users
    # set over a file of a closed load it takes the place of what that says of users, ramp and thinking
    (arm,) = written(tmp_path, "vusers: 10\nthink: 1s\nstep: 2\n", "rate=30/s").arms
    assert (arm.load.rate, arm.load.think_s, arm.load.users) == (30.0, 0.0, openload.pool(30.0, 10.0))
    with pytest.raises(BadInput, match="asked.yml:2: users of an open load do not think"):
        written(tmp_path, "rate: 30/s\nthink: 1s\n")
    with pytest.raises(BadInput, match="asked.yml:2: users of an open load do not think"):
        written(tmp_path, "factors: {rate: [30/s, 40/s]}\nthink: 1s\n")


def test_load_hosts_are_told_and_read_it(tmp_path: Path) -> None:
    known = inventory(tmp_path)
    found = experiment.from_flags({"rate": "20/s", "arrivals": "even", "autostop": "ngrinder"})
    (one,) = trials.trials(found, known, "RUN", states(found, known))
    told = actions.trial_json(known, one, one.loads[0])
    read = trial.parse(told, "trial.json")
    assert (read.rate, read.arrivals, read.autostop) == (20.0, "even", "ngrinder")
    assert set(autostop.NAMES) == {"none", "ngrinder"}
    for name, value, words in (
        ("rate", -1, "rate must be"),
        ("arrivals", "often", "must be one of even, poisson"),
        ("autostop", "x", "none, ngrinder"),
    ):
        wrong = {**told, "load": {**told["load"], name: value}}
        with pytest.raises(trial.BadTrial, match=words):
            trial.parse(wrong, "trial.json")
    before = {
        key: value for key, value in told["load"].items() if key not in ("rate", "arrivals", "autostop")
    }
    assert trial.parse({**told, "load": before}, "trial.json").rate is None


def test_a_calibration_is_closed() -> None:
    load = calibration.load(asked("rate=20/s", "autostop=ngrinder"), 2, 5.0)
    assert (load.rate, load.arrivals, load.autostop) == (None, "", "none")
