"""Checks of hosts, and those that withhold figures only, on evidence made by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import checks
from analysis.checks import quiet_hosts
from analysis.steady import Floats, Seconds
from loadproof.plan.places import APP_UNIT
from tests.analysis import synthetic
from tests.analysis.checks.made import Made


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return Made.sound(tmp_path)


# --- drift ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "change", "said"),
    [
        ("proxy1", {"files": {"/etc/loadproof/nginx.conf": {"sha256": "edited"}}}, "nginx.conf changed"),
        ("proxy1", {"config": {"8079": "other"}}, "nginx answers config other, c0ffee before"),
        ("app1", {"altered": {"/opt/loadproof/trees/app-1": {"first": "app/items.py", "number": 1}}}, "was altered"),
        ("app1", {"trees": {"/opt/loadproof/trees/app-1": False}}, "trees/app-1 changed"),
        ("app2", {"dropins": ["/etc/systemd/system/loadproof-app.service.d/x.conf"]}, "x.conf came"),
        ("app2", {"health": {"8000": {"deploy_id": "other", "variant": "plain"}}}, "d3adbeef0123 plain was planned"),
        ("app2", {"health": {"8000": {"deploy_id": "d3adbeef0123", "variant": "local"}}}, "d3adbeef0123 local after"),
        ("load1", {"files": {}, "trees": {"x": True}}, None),
    ],
)  # fmt: skip
def test_what_somebody_changed(made: Made, host: str, change: dict[str, Any], said: str | None) -> None:
    made.after[host] = {**made.after[host], **change}
    one = made.judge("drift")
    assert one.verdict == ("UNKNOWN" if said is None else "INVALID"), one.said
    assert said is None or said in one.said


def test_the_app_before_the_load_is_the_one_planned(made: Made) -> None:
    made.before["app1"]["health"]["8000"]["deploy_id"] = "old"
    one = made.judge("drift")
    assert one.verdict == "INVALID" and "answers old plain before the load" in one.said


def test_an_app_that_is_silent_after_the_load_is_the_one_before_if_it_is_the_same_process(made: Made) -> None:
    made.after["app1"]["health"] = {"8000": None}
    assert made.judge("drift").verdict == "VALID"
    made.after["app1"]["units"][APP_UNIT]["pid"] = 701
    assert made.judge("drift").verdict == "UNKNOWN"


def test_nginx_that_does_not_say_its_config_is_unknown(made: Made) -> None:
    made.after["proxy1"]["config"] = {"8079": None}
    assert made.judge("drift").verdict == "UNKNOWN"


def test_a_run_of_before_hashes_were_asked_is_unknown(made: Made) -> None:
    for said in (made.before, made.after):
        for one in said.values():
            one["files"] = {}
    assert made.judge("drift").verdict == "UNKNOWN"


# --- hosts_up -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"pid1_start": 99}, "INVALID"),
        ({"boot_id": "c"}, "INVALID"),
        ({"boot_id": ""}, "VALID"),
        ({"boot_id": "", "pid1_start": None}, "UNKNOWN"),
        ({"pid1_start": "hostile"}, "VALID"),  # the boot id says it
    ],
)
def test_a_host_that_restarted(made: Made, change: dict[str, Any], verdict: str) -> None:
    made.after["app2"] = {**made.after["app2"], **change}
    assert made.judge("hosts_up").verdict == verdict


def test_a_host_that_is_silent_after_the_load(made: Made) -> None:
    made.after.pop("app2")
    one = made.judge("hosts_up")
    assert one.verdict == "UNKNOWN" and one.said == "app2: it did not answer both before and after the load"


# --- quiet_hosts ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("share", "begin", "end", "verdict"),
    [
        (0.05, 0, 23, "VALID"),
        (0.11, 0, 23, "INVALID"),  # sustained
        (0.9, 10, 10.5, "VALID"),  # half a second of somebody's
        (0.9, 10, 12, "INVALID"),
        (0.9, 0, 6, "VALID"),  # before the window
    ],
)
def test_others(made: Made, share: float, begin: float, end: float, verdict: str) -> None:
    made.used["app1", "other_ns"] = lambda at: share * min(max(0.0, at - begin), end - begin)
    assert made.judge("quiet_hosts").verdict == verdict


def steal(made: Made, share: float) -> None:
    """The machine below takes that share of the proxy's two CPUs."""
    made.used["proxy1", "host_steal_us"] = lambda at: 2 * share * (at + 9)
    made.used["proxy1", "host_idle_us"] = lambda at: 2 * (1 - share) * (at + 9)


@pytest.mark.parametrize(("share", "verdict"), [(0.019, "VALID"), (0.021, "INVALID")])
def test_what_the_machine_below_kept(made: Made, share: float, verdict: str) -> None:
    steal(made, share)
    one = made.judge("quiet_hosts")
    assert one.verdict == verdict, one.said
    if verdict == "INVALID":
        assert "proxy1: 2.1 % of the CPU was stolen" in one.said and "--steal" in one.remedy


@pytest.mark.parametrize(("share", "verdict"), [(0.049, "VALID"), (0.051, "INVALID")])
def test_more_of_it_is_tolerated_where_that_was_asked(tmp_path: Path, share: float, verdict: str) -> None:
    made = Made.sound(tmp_path, replace(synthetic.plan(servers=2), steal=5.0))
    steal(made, share)
    one = made.judge("quiet_hosts")
    assert one.verdict == verdict, one.said
    if verdict == "VALID":
        assert "the machine below took 4.9 %, 5 % are tolerated as asked" in one.said
    else:
        assert one.limit == 5.0 and quiet_hosts.stolen(vars(one) | {"name": "quiet_hosts"})


def test_our_own_units_are_nobody_else(made: Made) -> None:
    for column in ("load_ns", "sample_ns", "limit_ns", "proxy_ns"):
        made.used["load1", column] = lambda at: 0.8 * max(0.0, at)
    assert made.judge("quiet_hosts").verdict == "VALID"


def test_a_watched_host_works_for_others_too(tmp_path: Path) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, watch=("db1",)))
    made.used["db1", "other_ns"] = lambda at: 0.8 * max(0.0, at)
    assert made.judge("quiet_hosts").verdict == "VALID"
    made.sampled["db1"] = (-2, 9)
    assert made.judge("quiet_hosts").verdict == "UNKNOWN"


@pytest.mark.parametrize("host", ["load1", "proxy1", "app2"])
def test_who_came_and_went_in_a_gap_of_the_samples_is_not_known(made: Made, host: str) -> None:
    made.unsampled[host] = (7, 21)
    one = made.judge("quiet_hosts")
    assert one.verdict == "UNKNOWN" and one.said.startswith(f"{host}: its samples have a gap"), one.said
    made.used[host, "other_ns"] = lambda at: 0.3 * max(0.0, at)
    assert made.judge("quiet_hosts").verdict == "INVALID"  # that is seen around it


@pytest.mark.parametrize(("gap", "verdict"), [((7, 21), "VALID"), ((4, 8), "UNKNOWN"), ((20, 24), "UNKNOWN")])
def test_what_was_stolen_is_counted_between_the_edges_of_the_window(
    tmp_path: Path, gap: tuple[float, float], verdict: str
) -> None:
    made = Made.sound(tmp_path, synthetic.plan(servers=2, watch=("db1",)))
    made.unsampled["db1"] = gap
    assert made.judge("quiet_hosts").verdict == verdict


def test_what_was_stolen_is_unknown_where_nobody_measured_it(made: Made) -> None:
    """Samples without the host's CPU: all of its columns read 0."""
    made.samples["app2"] = {"host_idle_us": 0}
    one = made.judge("quiet_hosts")
    assert one.verdict == "UNKNOWN" and one.said == "app2: what was stolen from it is unknown"


# --- disk_room ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("free_kb", "verdict"), [(8200, "VALID"), (8100, "INVALID"), (0, "INVALID")])
def test_room(made: Made, free_kb: int, verdict: str) -> None:
    made.samples["app2"] = {"disk_free_kb": free_kb}
    one = made.judge("disk_room")
    assert one.verdict == verdict and one.value == pytest.approx(free_kb / 1024)


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("proxy1/error.log", b'[alert] 7#7: *9 write() to "access.jsonl" was incomplete: 10 of 400\n'),
        ("proxy1/error.log", b"open() failed (28: No space left on device)\n"),
        ("app1/app.log", b"witness stopped: OSError(28)\n"),
        ("proxy1/sample.jsonl", b'{"kind":"lost","count":8,"why":"No space left on device"}\n'),
    ],
)
def test_writes_that_failed(made: Made, name: str, line: bytes) -> None:
    made.files[name] = b"2026/11/26 fine\n" * 1000 + line
    one = made.judge("disk_room")
    assert one.verdict == "INVALID" and name.partition("/")[0] in one.said


def test_room_on_a_host_without_samples_is_unknown(made: Made) -> None:
    made.present["cpu"] = tuple(host for host in made.present["cpu"] if host != "load2")
    assert made.judge("disk_room").verdict == "UNKNOWN"


# --- figures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requests", "failures", "verdict"), [(800, 40, "VALID"), (800, 41, "INVALID"), (0, 0, "VALID"), (None, None, "UNKNOWN")]
)  # fmt: skip
def test_failures_withhold_times(
    made: Made, requests: int | None, failures: int | None, verdict: str
) -> None:
    made.figures |= {"requests": requests, "failures": failures}
    one = made.judge("failures")
    assert one.verdict == verdict
    assert one.withholds == (
        "" if verdict == "VALID" else ("mtt_ms", "mtsd_ms", "p50_ms", "p95_ms", "p99_ms", "service_ms")
    )


@pytest.mark.parametrize(("mtt", "verdict", "limit"), [(180.0, "VALID", 15.0), (810.0, "INVALID", 16.2), (None, "VALID", 15.0)])  # fmt: skip
def test_a_short_window_withholds_p99(made: Made, mtt: float | None, verdict: str, limit: float) -> None:
    made.figures["mtt_ms"] = mtt
    one = made.judge("short_window")
    assert (one.verdict, one.value) == (verdict, 16.0) and one.limit == pytest.approx(limit)
    assert one.withholds == ("" if verdict == "VALID" else ("p99_ms",))


@pytest.mark.parametrize(
    ("successes", "withheld"),
    [(299, ""), (298, ("p99_ms",)), (58, ("p95_ms", "p99_ms")), (4, ("p50_ms", "p95_ms", "p99_ms"))],
)
def test_percentiles_need_samples(made: Made, successes: int, withheld: object) -> None:
    made.figures |= {"requests": successes + 7, "failures": 7}
    one = made.judge("percentiles")
    assert one.withholds == withheld and one.value == successes


@pytest.mark.parametrize(
    ("ended", "mean_ms", "verdict", "value", "said"),
    [
        (np.tile([48.0, 52.0], 8), np.tile([179.0, 181.0], 8), "VALID", None, "times over the hold:"),
        (np.linspace(60, 40, 16), np.full(16, 180.0), "INVALID", 42.7, "TPS over the hold: -43 % of the mean"),
        (np.full(16, 50.0), np.linspace(90, 270, 16), "INVALID", 106.7, "times over the hold: +107 % of the mean"),
        (np.linspace(60, 40, 300), np.full(300, 180.0), "INVALID", 50.0, "MSER-5 cuts off the first 50 % of the hold"),
        (np.full(300, 50.0), np.full(300, 180.0), "VALID", 0.0, "cuts off the first 0 %"),
        (np.full(11, 50.0), np.full(11, 180.0), "UNKNOWN", None, "of 11 whole seconds too few"),
        (np.zeros(16), np.full(16, np.nan), "UNKNOWN", None, "of 16 whole seconds too few"),
    ],
)  # fmt: skip
def test_a_level_that_moves_withholds_percentiles_and_no_trial(
    made: Made, ended: Floats, mean_ms: Floats, verdict: str, value: float | None, said: str
) -> None:
    made.seconds = Seconds(ended, mean_ms)
    one = made.judge("steady")
    assert one.verdict == verdict and said in one.said, one.said
    assert value is None or one.value == pytest.approx(value, rel=0.01)
    assert one.withholds == ("" if verdict == "VALID" else ("p50_ms", "p95_ms", "p99_ms"))
    assert checks.verdict([one]) == "VALID"
    assert ("--hold" in one.remedy) == (verdict == "UNKNOWN")
