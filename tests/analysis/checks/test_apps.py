"""Checks of apps and their limit, on evidence made by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from analysis.checks import app_alive
from analysis.measures import cpu, shares
from loadproof.plan.places import APP_UNIT
from loadproof.plan.values import Limit, Serving
from tests.analysis import synthetic
from tests.analysis.checks.made import Made, events, stretches


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made.sound(tmp_path)


def after(second: float, share: float) -> Callable[[float], float]:
    """6.5 % of a CPU, and `share` from a second on."""
    return lambda at: 0.065 * min(at, second) + share * max(0.0, at - second)


# --- limit_held -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("used", "busy", "verdict", "said"),
    [
        (lambda at: 0.065 * at, [(0, 23)], "VALID", "6.5 % in 16.0 s in which requests waited"),
        (lambda at: 0.079 * at, [(0, 23)], "VALID", "at most 7.9 %"),
        (lambda at: 0.081 * at, [(0, 23)], "INVALID", "8 tolerated in 5 s"),
        (after(15, 0.25), [(0, 23)], "INVALID", "at most 25.0 % in any 5 s"),
        (lambda at: 0.012 * at, [(0, 23)], "VALID", "the limit was not reached"),
        (lambda at: 0.035 * at, [(7, 9), (12, 14)], "VALID", "the limit was not reached, requests hardly ever waited"),
        (lambda at: 0.065 * at, [(7 + 0.4 * k, 7.3 + 0.4 * k) for k in range(30)], "VALID", "hardly ever waited for long"),
        (after(10.5, 0.0), [(0, 23)], "INVALID", "2 tolerated"),  # reached once, then too little while requests waited
        (after(10.5, 0.0), [(0, 10.5)], "VALID", "hardly ever waited"),
        (after(10.5, 0.0), None, "UNKNOWN", "whether requests waited then is unknown"),
        (lambda at: 0.065 * at, None, "VALID", "at least 6.5 %"),
    ],
)  # fmt: skip
def test_the_limit(
    made: Made,
    used: Callable[[float], float],
    busy: list[tuple[float, float]] | None,
    verdict: str,
    said: str,
) -> None:
    made.used["app2", "app_ns"] = lambda at: used(max(0.0, at))
    made.busy["app2"] = None if busy is None else stretches(*busy)
    one = made.judge("limit_held")
    assert one.verdict == verdict and said in one.said, one.said
    assert one.unit == "%" and one.value is not None


@pytest.mark.parametrize(("share", "verdict"), [(0.0545, "VALID"), (0.056, "INVALID"), (0.0440, "VALID")])
def test_a_quota_is_held_to_half_a_point(tmp_path: Path, share: float, verdict: str) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, limit=Limit("quota", 5.0)))
    made.used = dict.fromkeys(made.used, lambda at: share * max(0.0, at))
    one = made.judge("limit_held")
    assert one.verdict == verdict, one.said
    if share < 0.045:
        assert "the limit was not reached" in one.said  # a finding, no condition that broke


@pytest.mark.parametrize(
    ("limit", "share", "remedy"),
    [
        (Limit("cpulimit", 5.0), 0.084, "or fewer users"),
        (
            Limit("cpulimit", 5.0),
            0.25,
            "calibrate the limit first",
        ),  # it broke, which is not what it gives at best
        (Limit("cpulimit", 10.0), 0.14, "calibrate the limit first"),
        (Limit("quota", 5.0), 0.07, "calibrate the limit first"),
    ],
)
def test_where_a_limiter_cannot_give_so_little_the_remedy_says_so(
    tmp_path: Path, limit: Limit, share: float, remedy: str
) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, limit=limit))
    made.used = dict.fromkeys(made.used, lambda at: share * max(0.0, at))
    one = made.judge("limit_held")
    assert one.verdict == "INVALID" and remedy in one.remedy, one.remedy


@pytest.mark.parametrize(
    ("setting", "share", "verdict", "remedy"),
    [
        (4.0, 0.055, "VALID", ""),
        (4.0, 0.062, "INVALID", "fewer users"),
        (4.0, 0.034, "INVALID", "calibrated already"),
        (None, 0.062, "VALID", ""),
    ],
)
def test_a_calibrated_server_is_held_to_one_point(
    tmp_path: Path, setting: float | None, share: float, verdict: str, remedy: str
) -> None:
    pairs = () if setting is None else (("app1", setting), ("app2", setting))
    made = Made.sound(tmp_path, synthetic.plan(servers=2, limit_set=pairs))
    # reached once, so that too little while requests waited is too little
    made.used = dict.fromkeys(made.used, lambda at: share * max(0.0, at) + 0.06 * (at > 12))
    one = made.judge("limit_held")
    assert one.verdict == verdict
    assert remedy in one.remedy
    made.limiter = dict.fromkeys(made.limiter, events(*WHOLE, percent=5 if setting is None else 4))
    assert made.judge("limiter_attached").verdict == "VALID"
    made.limiter = dict.fromkeys(made.limiter, events(*WHOLE, percent=9))
    assert made.judge("limiter_attached").verdict == "INVALID"


def test_bursts_of_cpulimit_are_no_breach(made: Made) -> None:
    """70 ms in one go each 1.07 s are 6.5 %; 5 s that begin with a burst hold one more of them."""
    made.used["app1", "app_ns"] = lambda at: 0.07 * np.ceil(max(0.0, at) / 1.07)
    one = made.judge("limit_held")
    assert one.verdict == "VALID" and one.value is not None and one.value < 7.3, one.said


@pytest.mark.parametrize(
    ("share", "verdict"), [(0.079, "VALID"), (0.081, "INVALID"), (0.2, "INVALID"), (0.01, "VALID")]
)
def test_a_short_window_is_judged_with_the_load_around_it(made: Made, share: float, verdict: str) -> None:
    """Seen: 8.8 % in 3.1 s of a sound trial, whose window ended when a Locust worker was killed."""
    assert made.hold is not None and made.hold.from_s > 3
    made.hold = replace(made.hold, to_us=made.hold.from_us + 3_100_000)
    begin = made.hold.from_s - 2.9  # 5 s and a cycle of cpulimit, 1 s, end with it
    for host in ("app1", "app2"):
        made.used[host, "app_ns"] = lambda at: share * max(0.0, at - begin)
    one = made.judge("limit_held")
    assert one.verdict == verdict, one.said


@pytest.mark.parametrize(
    ("length_s", "share", "verdict"),
    [
        (3.0, 0.12, "UNKNOWN"),
        (3.0, 0.2, "INVALID"),  # 12 % of 5 s, whatever it did in the rest of them
        (5.9, 0.079, "UNKNOWN"),
        (5.9, 0.081, "INVALID"),
    ],
)
def test_a_load_of_hardly_5_s_proves_only_great_excess(
    made: Made, length_s: float, share: float, verdict: str
) -> None:
    assert made.hold is not None
    made.hold = replace(made.hold, from_us=made.hold.zero_us, to_us=made.hold.zero_us + round(length_s * 1e6))
    made.plan = replace(made.plan, load=replace(made.plan.load, end_s=length_s))
    for host in ("app1", "app2"):
        made.used[host, "app_ns"] = lambda at: share * max(0.0, at)
    one = made.judge("limit_held")
    assert one.verdict == verdict, one.said
    assert (one.remedy == "ask for a longer --hold") == (verdict == "UNKNOWN")


@pytest.mark.parametrize(
    ("busy", "gap", "share"),
    [
        ([(0, 23)], (99, 99), 3.75),
        ([(0, 14)], (99, 99), 6.5),
        ([(7, 9), (12, 14), (15, 16)], (99, 99), None),  # 4 s of stretches that are long enough
        ([(0, 14)], (16, 20), None),
    ],
)
def test_the_share_while_requests_waited(
    made: Made, busy: list[tuple[float, float]], gap: tuple[float, float], share: float | None
) -> None:
    made.used["app1", "app_ns"], made.unsampled["app1"] = after(14, 0.01), gap
    assert made.hold is not None
    found = cpu.saturated(made.evidence().tables, "app1", made.hold, stretches(*busy))
    assert found == (None if share is None else pytest.approx(share))


@pytest.mark.parametrize("spoil", ["window", "samples", "short", "clock"])
def test_a_limit_without_evidence_is_unknown(made: Made, spoil: str) -> None:
    match spoil:
        case "window":
            made.hold = made.zero = None
        case "samples":
            made.present["cpu"] = ("load1", "load2", "proxy1", "app1")
        case "short":
            made.sampled["app2"] = (-2, 20)
        case "clock":
            made.placed -= {"app2"}
    assert made.judge("limit_held").verdict == "UNKNOWN"


@pytest.mark.parametrize(
    ("share", "ended", "verdict", "said"),
    [
        (0.065, (10.0,), "UNKNOWN", "1 process of the app ended"),
        (0.065, (10.0, 12.0, 12.0), "UNKNOWN", "up to 15.9 %, and 36.5 % in 5 s"),
        (0.065, (3.0, 23.5), "VALID", "6.5 % in 16.0 s"),  # not in the window
        (0.01, (10.0,), "UNKNOWN", "1 process of the app ended"),
        (0.3, (10.0,), "INVALID", "8 tolerated"),  # of what was seen alone
    ],
)
def test_what_processes_used_that_ended_is_not_known(
    made: Made, share: float, ended: tuple[float, ...], verdict: str, said: str
) -> None:
    made.used["app2", "app_ns"] = lambda at: share * max(0.0, at)
    made.ended["app2"] = ended
    one = made.judge("limit_held")
    assert one.verdict == verdict and said in one.said, one.said
    assert ("keep its processes" in one.remedy) == (verdict == "UNKNOWN")


def test_what_ended_processes_used_may_be_too_little_to_matter(tmp_path: Path) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, limit=Limit("quota", 50.0)))
    made.limiter = dict.fromkeys(made.limiter, events(*WHOLE, percent=50))
    made.ended["app2"] = (10.0, 12.0)
    one = made.judge("limit_held")
    assert one.verdict == "VALID" and "the limit was not reached" in one.said, one.said


@pytest.mark.parametrize(
    "name", ["limit_held", "limiter_attached", "app_alive", "generator_cpu", "quiet_hosts"]
)
def test_what_hosts_did_is_known_where_rows_of_requests_are_missing(made: Made, name: str) -> None:
    """Without them there are no figures and no window of theirs, but the one that was planned."""
    made.hold, made.figures, made.present["requests"] = None, {}, ("2", "3")
    assert made.judge(name).verdict == "VALID"


# --- limiter_attached -----------------------------------------------------------------------------------

WHOLE = ((-2, "started"), (-1, "attached"), (24, "lifted"), (24, "ended"))


@pytest.mark.parametrize(
    ("found", "verdict", "said"),
    [
        ([*events(*WHOLE[:2]), *events((10, "gone"), what="cpulimit: exit -9"), *events((10.4, "attached"), *WHOLE[2:])],
         "INVALID", "no limiter for 0.40 s (gone: cpulimit: exit -9)"),
        ([*events(*WHOLE[:2]), *events((10, "gone"), what="app"), *events((10.01, "attached"), *WHOLE[2:])], "INVALID", "0.01 s"),
        ([*events(*WHOLE[:2]), *events((10, "gone"), what="forked: children"), *events((10.4, "attached"), *WHOLE[2:])],
         "VALID", "attached throughout"),
        # it has seen that the app has children, and is to watch them from then on
        ([*events(*WHOLE[:2]), *events((8, "gone"), what="forked: children"), *events((8.4, "attached"))]
         + [*events((10, "gone"), what="forked: children"), *events((10.4, "attached"), *WHOLE[2:])],
         "INVALID", "no limiter for 0.40 s (gone: forked: children)"),
        # before the last step of the ramp: it had time to settle again
        ([*events(*WHOLE[:2]), *events((2, "gone"), what="app"), *events((2.4, "attached"), *WHOLE[2:])], "VALID", ""),
        ([*events(*WHOLE[:2]), *events((10, "gone"), what="supervisor")], "INVALID", "no limiter for 12.00 s"),
        (events(WHOLE[0], (7, "attached"), *WHOLE[2:]), "INVALID", "no limiter for 3.00 s"),
        (events(*WHOLE[:2]), "UNKNOWN", "ended without a word"),
        (events(WHOLE[0], *WHOLE[2:]), "INVALID", "never attached"),
        (events(*WHOLE[1:]), "INVALID", "never started"),
        (events(*WHOLE, percent=50), "INVALID", "set to 50 %, 5 planned"),
        (events(*WHOLE, percent=10**400), "INVALID", "set to 1000"),
        (events(*WHOLE, percent=float("nan")), "INVALID", "set to nan %, 5 planned"),
        ([*events(*WHOLE), {"event": "in_force", "ok": False, "why": "accepted but not in force"}], "INVALID", "not in force"),
        ([*events(*WHOLE[:2]), {"event": "lifted"}, *events(*WHOLE[3:])], "UNKNOWN", "without a time"),
        (None, "UNKNOWN", "No such file"),
    ],
)  # fmt: skip
def test_the_limiter(made: Made, found: list[dict[str, object]] | None, verdict: str, said: str) -> None:
    made.limiter["app2"] = found
    one = made.judge("limiter_attached")
    assert one.verdict == verdict and said in one.said, one.said


@pytest.mark.parametrize(("percent", "verdict"), [(4.0, "VALID"), (5.0, "INVALID")])
def test_a_calibrated_limiter_is_to_be_set_to_what_was_found(
    tmp_path: Path, percent: float, verdict: str
) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=1, limit_set=(("app1", 4.0),)))
    made.limiter["app1"] = events(*WHOLE, percent=percent)
    one = made.judge("limiter_attached")
    assert one.verdict == verdict, one.said


def test_a_quota_outlives_the_app(tmp_path: Path) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, limit=Limit("quota", 5.0)))
    again = events((10, "gone"), what="app") + events((10.5, "attached"), *WHOLE[2:])
    made.limiter["app1"] = events(*WHOLE[:2]) + again
    assert made.judge("limiter_attached").verdict == "VALID"
    made.limiter["app1"] = events(*WHOLE[:2]) + events((10, "gone"), what="quota: taken away") + again
    assert made.judge("limiter_attached").verdict == "INVALID"


# --- app_alive ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("still", "busy", "verdict"),
    [
        ((10, 12.5), [(0, 23)], "INVALID"),
        ((10, 11.5), [(0, 23)], "VALID"),
        ((10, 12.5), [(0, 10.5), (12, 23)], "VALID"),  # nothing waited in between
        ((10, 12.5), None, "UNKNOWN"),
        ((10, 11.5), None, "VALID"),
        ((1, 5), [(0, 23)], "INVALID"),  # on the ramp: the limit has to be that of one app all the time
    ],
)
def test_a_frozen_app(
    made: Made, still: tuple[float, float], busy: list[tuple[float, float]] | None, verdict: str
) -> None:
    begin, end = still
    made.used["app1", "app_ns"] = lambda at: 0.065 * (max(0.0, min(at, begin)) + max(0.0, at - end))
    made.busy["app1"] = None if busy is None else stretches(*busy)
    one = made.judge("app_alive")
    assert one.verdict == verdict and one.value is not None, one.said


def test_an_app_that_was_restarted(made: Made) -> None:
    unit = made.after["app1"]["units"][APP_UNIT]
    for changed, said in (
        ({"restarts": 1}, "systemd restarted the app 1 time"),
        ({"pid": 701}, "process 700 before the load and 701 after it"),
        ({"active": "failed", "pid": 0}, "not running any more"),
    ):
        made.after["app1"]["units"][APP_UNIT] = {**unit, **changed}
        one = made.judge("app_alive")
        assert one.verdict == "INVALID" and said in one.said


def test_an_app_that_was_stopped_for_the_load_was_not_alive(made: Made) -> None:
    made.before["app1"]["units"][APP_UNIT] = {"active": "inactive", "pid": 0}
    assert made.judge("app_alive").said == "app1: the app was not running when the load began"


def test_what_an_app_did_in_a_gap_of_its_samples_is_not_known(made: Made) -> None:
    made.unsampled["app1"] = (8, 14)
    for name in ("app_alive", "limit_held"):
        one = made.judge(name)
        assert one.verdict == "UNKNOWN" and "its samples have a gap" in one.said
    made.used["app1", "app_ns"] = lambda at: 0.3 * max(0.0, at)
    assert made.judge("limit_held").verdict == "INVALID"  # that is seen around it


def test_rows_of_two_processes_tell_of_a_restart_without_facts(made: Made) -> None:
    made.files["app1/app-701-2.rows"] = b""
    made.before = made.after = {}
    one = made.judge("app_alive")
    assert one.verdict == "INVALID" and "2 processes of the app wrote rows" in one.said


def test_without_facts_samples_show_that_an_app_ran_on(made: Made) -> None:
    made.after.pop("app1")
    assert made.judge("app_alive").verdict == "VALID"
    made.samples["app1"] = {"app_ended": 1}
    assert made.judge("app_alive").verdict == "UNKNOWN"  # it may have been a child of it
    made.samples["app1"] = {"app_processes": 0}
    one = made.judge("app_alive")
    assert one.verdict == "INVALID" and "no process of the app for 22.5 s" in one.said


@pytest.mark.parametrize(
    ("used", "found"),
    [
        ([0, 10, 20, 30], []),
        ([0, 0, 0, 30], [(0, 2)]),
        ([0, 0, 10, 10], [(0, 1), (2, 3)]),
        ([5, 5, 5, 5], [(0, 3)]),
    ],
)
def test_stretches_without_progress(used: list[int], found: list[tuple[int, int]]) -> None:
    assert app_alive.flat(np.arange(4), np.array(used) * 1_000_000) == found


# --- every_backend --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attempts", "verdict", "value"),
    [
        ({"app1": 400, "app2": 400}, "VALID", 1.0),
        ({"app1": 600, "app2": 210}, "VALID", 210 * 2 / 810),  # reported, not judged
        ({"app1": 600, "app2": 190}, "INVALID", 190 * 2 / 790),
        ({"app1": 600, "app2": 0}, "INVALID", 0.0),
        ({"app1": 0, "app2": 0}, "INVALID", 0.0),
        ({"app1": 600, "app2": None}, "VALID", 1.0),  # what clients know to have gone there
    ],
)
def test_every_backend(made: Made, attempts: dict[str, int | None], verdict: str, value: float) -> None:
    made.attempts = attempts
    one = made.judge("every_backend")
    assert one.verdict == verdict and one.value == pytest.approx(value)


@pytest.mark.parametrize("serving", [Serving(failover=True), Serving(balance="least_conn")])
@pytest.mark.parametrize(
    ("attempts", "verdict"),
    [
        ({"app1": 600, "app2": 3}, "VALID"),  # it failed, or was slow: that is what is measured
        ({"app1": 600, "app2": 0}, "INVALID"),
        ({"app1": 0, "app2": 0}, "INVALID"),
    ],
)
def test_who_gets_how_much_is_no_condition_where_nginx_looks_at_how_apps_do(
    tmp_path: Path, serving: Serving, attempts: dict[str, int | None], verdict: str
) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, serving=serving))
    made.attempts = attempts
    one = made.judge("every_backend")
    assert one.verdict == verdict and ("every app" in one.said) == (verdict == "VALID"), one.said


@pytest.mark.parametrize(("failover", "verdict"), [(True, "UNKNOWN"), (False, "INVALID")])
def test_an_app_that_answered_nobody_may_have_been_tried(
    tmp_path: Path, failover: bool, verdict: str
) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, serving=Serving(failover=failover)))
    made.attempts, made.figures["servers"] = (
        {},
        [{"host": "app1", "requests": 4}, {"host": "app2", "requests": 0}],
    )
    assert made.judge("every_backend").verdict == verdict


def test_where_requests_went_may_be_unknown(made: Made) -> None:
    made.attempts, made.figures["servers"] = (
        {},
        [{"host": "app1", "requests": 4}, {"host": "app2", "requests": None}],
    )
    assert made.judge("every_backend").verdict == "UNKNOWN"


# --- what they are made of ------------------------------------------------------------------------------


def test_shares_of_a_clock() -> None:
    at = np.arange(0, 11) * 1_000_000
    used = np.array([0, 0, 0, 5, 10, 10, 10, 10, 10, 10, 10]) * 100_000_000
    assert shares.sliding(at, used, 0, 10_000_000, 2_000_000).max() == pytest.approx(0.5)
    assert shares.sliding(at, used, 0, 10_000_000, 60_000_000).tolist() == pytest.approx([0.1])
    assert shares.sliding(at, used, 0, 10_000_000, 2_000_000, 2_000_000).max() == pytest.approx(0.375)
    for outside in ((-1, 5), (5, 10_000_001), (5, 5)):
        assert not len(shares.sliding(at, used, *outside, 2_000_000))


def test_stretches() -> None:
    odd = np.array([[5, 7], [1, 3], [2, 4], [9, 9], [4, 5]])
    assert shares.merged(odd).tolist() == [[1, 7]]
    assert shares.clipped(odd, 3, 6).tolist() == [[3, 6]]
    apart = np.array([[1, 3], [5, 7]])
    assert shares.within(np.array([0, 1, 3, 4, 5, 6]), apart).tolist() == [False, True, False, False, True]
    assert not shares.within(np.array([0, 1]), apart[:0]).any()
