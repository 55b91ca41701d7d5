"""A calibration on the lab: what it finds is what the limiters are set to, and what they give is near what was asked."""

from __future__ import annotations

import json

import pytest

from tests.words.trials import SHORT, assert_quiet, inv, newest, recompute
from tests.words.words import APPS, Shell, Words

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(900)]

NEAR_POINTS = 2.5  # whole settings lie a point apart, and launches differ by as much


def test_every_server_gets_its_own_setting(words: Words, shell: Shell) -> None:
    said = inv(words, "bench", *SHORT, "--servers", "2", "--hold", "15s", "--calibrate", within_s=400)
    assert said.code == 0, said
    assert "calibration: up to 5 trials" in said.err and "calibration 01: -l 5 on app1, app2" in said.err
    assert_quiet(shell)
    run = newest(words)
    fetched = inv(words, "fetch-results", "--run", run.id)
    assert fetched.code in (0, 2), fetched  # the lab is too noisy to always hold one point
    recompute(run)
    for host in APPS:
        assert f"calibration: {host} -l " in fetched.out, fetched
    plans = [json.loads(path.read_text()) for path in sorted(run.path.glob("trials/*/plan.json"))]
    *calibrations, measured = plans
    assert 2 <= len(calibrations) <= 5
    assert {plan["purpose"] for plan in calibrations} == {"calibration"}
    (found,) = run.results["calibrations"]
    settings = {server["host"]: server["limit_set"] for server in found["servers"]}
    assert dict(measured["limit_set"]) == settings and set(settings) == set(APPS)
    for server in found["servers"]:
        assert abs(server["cpu_percent"] - 5) < NEAR_POINTS and server["repeat_error_points"] is not None, (
            found
        )
    for plan in plans:
        for host, setting in plan["limit_set"]:
            folder = run.path / "trials" / f"{plan['id']}-{plan['arm'].replace('=', '-')}" / "raw" / host
            first = json.loads((folder / "limiter.jsonl").read_text().splitlines()[0])
            assert (first["event"], first["percent"]) == ("started", setting), plan["id"]
    (arm,) = run.results["arms"]
    assert [(one["host"], one["limit_percent"], one["limit_set"]) for one in arm["servers"]] == [
        (host, 5.0, settings[host]) for host in APPS
    ]
