"""Limiters: found by file name, and every one of them answers the same questions."""

from __future__ import annotations

import json

import pytest

from loadproof.errors import BadInput
from loadproof.plan import limiters


def test_all_are_found() -> None:
    assert set(limiters.names()) >= {"cpulimit", "quota", "none"}


@pytest.mark.parametrize("name", limiters.names())
def test_every_limiter_keeps_the_contract(name: str) -> None:
    limiter = limiters.load(name)
    assert limiter.name == name and limiter.description and limiter.tolerance_points > 0
    assert 0 <= limiter.cycle_s <= 1  # checks look at 5 s
    assert all(len(need) == 2 for need in limiter.needs)
    settings = limiter.trial_settings(5.0, "loadproof-app.service")
    assert settings["kind"] == name and settings["unit"] == "loadproof-app.service" and "percent" in settings
    assert json.loads(json.dumps(settings)) == settings
    assert limiter.problems(5.0, 2) == []


@pytest.mark.parametrize(("name", "near"), [("cpulimits", "cpulimit"), ("qouta", "quota")])
def test_a_misspelt_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(BadInput) as error:
        limiters.load(name)
    assert f"did you mean {near}?" in str(error.value)
    assert "cpulimit, none, quota" in str(error.value)


@pytest.mark.parametrize("name", ["../values", "", "__init__", "os"])
def test_other_modules_are_no_limiters(name: str) -> None:
    with pytest.raises(BadInput):
        limiters.load(name)


@pytest.mark.parametrize(
    ("name", "percent", "cpus", "said"),
    [
        ("cpulimit", 4.5, 0, "whole percents"),
        ("cpulimit", 0, 0, "1 to 100"),
        ("cpulimit", 101, 4, "1 to 100"),
        ("cpulimit", 100, 1, None),
        ("quota", 0.5, 0, "smallest"),
        ("quota", 4.5, 0, None),
        ("quota", 4.555, 0, "two decimals"),
        ("quota", 250, 2, "more than the host's 2 CPUs"),
        ("quota", 250, 0, None),
        ("none", 0, 0, None),
    ],
)
def test_percentages(name: str, percent: float, cpus: int, said: str | None) -> None:
    found = limiters.load(name).problems(percent, cpus)
    assert said in found[0] if said else found == []


def test_a_whole_percentage_travels_as_a_whole_number() -> None:
    assert json.dumps(limiters.load("cpulimit").trial_settings(5.0, "u")["percent"]) == "5"
