"""Defaults and flags merged, each value with its origin, all problems at once."""

from __future__ import annotations

import pytest

from loadproof.errors import BadInput
from loadproof.plan import experiment
from loadproof.plan.settings import choices
from loadproof.plan.values import Limit, Serving
from tests.plan.inventories import ROOT


def problems(**flags: str) -> list[str]:
    with pytest.raises(BadInput) as caught:
        experiment.from_flags({name.replace("_", "-"): text for name, text in flags.items()})
    assert caught.value.exit_code == 64
    return [str(problem) for problem in caught.value.problems]


def test_defaults() -> None:
    found = experiment.from_flags({"servers": None, "note": ""})
    (arm,) = found.arms
    assert (found.name, found.note, found.seed, found.warm_requests) == ("bench", "", 1, 200)
    assert (found.question, found.primary, found.blocks, found.trials) == ("", "tps", 1, 1)
    assert (arm.label, arm.factors, arm.servers) == ("servers=1", (("servers", 1),), 1)
    assert (arm.serving, arm.limit) == (Serving(), Limit("cpulimit", 5.0))
    assert (arm.load.processes, arm.load.threads, arm.load.scenario) == (3, 33, "items")
    assert (arm.load.think_s, arm.load.timeout_s, found.calibrate) == (0.0, 10.0, False)
    assert set(dict(found.origins).values()) == {"default"}


def test_flags_win_and_say_so() -> None:
    flags = {"servers": "2", "processes": "10", "threads": "100", "ramp": "process", "interval": "5s", "think": "150ms",
             "timeout": "2s", "cpu-limit": "7%", "variant": "global_async", "rows": "5", "seed": "7", "name": "thousand",
             "note": "after the change", "limiter": "quota", "duration": "10m", "warm": "0",
             "steal": "5%"}  # fmt: skip
    found = experiment.from_flags(flags)
    (arm,) = found.arms
    assert (arm.servers, arm.load.users, arm.load.hold_s) == (2, 1000, 600 - 45 - 5)
    assert (arm.load.think_s, arm.load.timeout_s, arm.limit) == (0.15, 2.0, Limit("quota", 7.0))
    assert (arm.serving, found.seed, found.warm_requests) == (Serving("global_async", 5), 7, 0)
    assert found.steal == 5.0
    origins = dict(found.origins)
    assert {name: origins[name] for name in flags} == {name: f"flag --{name}" for name in flags}
    assert origins["hold"] == "--duration less ramp and settle"
    assert origins["settle"] == "default"


def test_a_deployment_takes_all_app_hosts() -> None:
    assert experiment.deployment({}).arms[0].servers == 0
    assert experiment.deployment({"servers": "2", "variant": "local"}).arms[0].servers == 2
    with pytest.raises(BadInput, match="no whole number"):
        experiment.deployment({"servers": "1,2"})


def test_all_problems_at_once_with_the_nearest_word() -> None:
    found = problems(
        proceses="3", servers="0", ramp="user", limiter="cpulimt", variant="globl", scenario="item", name="A b", step="0",
        hold="soon", note="a\nb", rows="0", seed="x", cpu_limit="five",
    )  # fmt: skip
    assert found == [
        "--proceses: there is no proceses; did you mean processes?",
        "--servers: '0' is no whole number from 1 to 1000",
        "--ramp: there is no 'user': users, thread, process; did you mean users?",
        "--cpu-limit: 'five' is no percentage",
        "--limiter: there is no 'cpulimt': cpulimit, none, quota; did you mean cpulimit?",
        "--variant: there is no 'globl': global, global_async, local, local_async, plain; did you mean global?",
        "--scenario: there is no 'item': heavy, hello, items, null, weary; did you mean items?",
        "--rows: '0' is no whole number from 1 to 10000000",
        "--seed: 'x' is no whole number from 0 to 4294967295",
        "--name: 'A b' is no name: small letters, digits, '-' and '_', at most 40",
        "--note: 'a\\nb' has control characters",
        "--hold: 'soon' is no length of time: write 300s, 20m, 1h30m, 500ms or seconds",
        "--step: 0: a load with it never reaches its users",
    ]


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"vusers": "10", "threads": "5"}, "--vusers: --vusers and --processes with --threads exclude each other"),
        ({"threads": "5"}, "--threads: --threads needs --processes"),
        ({"processes": "5"}, "--processes: --processes needs --threads"),
        ({"hold": "30s", "duration": "10m"}, "--duration: --hold and --duration were both given; --duration replaces --hold"),
        ({"servers": "1,2"}, "--servers: '1,2' is no whole number from 1 to 1000"),
        ({"note": "gr\udcf6sse"}, "--note: 'gr\\udcf6sse' has control characters"),
        ({"vusers": "5000"}, "--vusers: 5000 users are more than 4096, which nginx is set up for"),
        ({"processes": "100", "threads": "100"},
         "--processes and --threads: 10000 users are more than 4096, which nginx is set up for"),
        ({"vusers": "0"}, "--vusers: '0' is no whole number from 1 to 100000"),
        ({"cpu_limit": "5.5"}, "--cpu-limit: cpulimit reads whole percents only, 5.5 would silently become 5: "
                               "say a whole number, or --limiter quota"),
        ({"limiter": "quota", "cpu_limit": "0"}, "--cpu-limit: the smallest quota is 1 percent, not 0"),
        ({"note": "x" * 201}, "--note: a note has at most 200 characters, this one 201"),
        ({"name": "../x"}, "--name: '../x' is no name: small letters, digits, '-' and '_', at most 40"),
        ({"limiter": "none", "calibrate": "True"}, "--calibrate: limiter none sets nothing that could be calibrated"),
        ({"calibrate": "maybe"}, "--calibrate: 'maybe' is neither yes nor no"),
        ({"timeout": "0"}, "--timeout: 0s is no timeout: each request needs at least 1ms"),
        ({"steal": "9%"}, "--steal: '9%' is more than 8 %: take hosts that are left alone"),
    ],
)  # fmt: skip
def test_one_problem(flags: dict[str, str], problem: str) -> None:
    assert problems(**flags) == [problem]


def test_choices_are_file_names() -> None:
    assert choices(ROOT / "app" / "variants") == (
        "global",
        "global_async",
        "local",
        "local_async",
        "plain",
    )
    for variant in choices(ROOT / "app" / "variants"):
        assert experiment.from_flags({"variant": variant}).arms[0].serving.variant == variant
