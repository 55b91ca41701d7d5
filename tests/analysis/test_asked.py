"""Every setting of an experiment with its value and origin."""

from __future__ import annotations

from pathlib import Path

import pytest

from analysis import asked
from loadproof.plan import experiment, questions
from loadproof.plan.settings import ROOT, SHARED, parsers

FILE = """
question: why?
primary: mtt_ms
factors:
  think: [150ms, 0]
  servers: [1, 2]
vusers: 30
interval: 2s
keepalive: yes
app: {LEVEL: 3}
thresholds: ["p95_ms < 500"]
"""


def test_values_and_origins(tmp_path: Path) -> None:
    path = tmp_path / "mine.yml"
    path.write_text(FILE)
    made = experiment.named(str(path), {"repeats": "6"}, ["hold=20s"])
    rows = {name: (text, origin) for name, text, origin in asked.settings(made)}
    assert list(rows)[:2] == ["servers", "think"], "factors come first"
    assert rows["servers"] == ("1, 2 (a factor)", f"{path}:6")
    assert rows["think"] == ("0.15 s, 0 s (a factor)", f"{path}:5")
    assert rows["vusers"] == ("30", f"{path}:7") and rows["processes"][1] == "follows from vusers"
    assert rows["hold"] == ("20 s", "flag --hold") or rows["hold"] == ("20 s", "--set hold=20s")
    assert rows["repeats"] == ("6", "flag --repeats")
    assert rows["keepalive"] == ("yes", f"{path}:9") and rows["failover"] == ("no", "default")
    assert rows["app.LEVEL"][0] == "3" and rows["thresholds"][0] == "p95_ms < 500"
    assert rows["timeout"] == ("10 s", "default") and rows["interval"] == ("2 s", f"{path}:8")


@pytest.mark.parametrize("name", questions.names(ROOT))
def test_every_setting_there_is_has_a_row(name: str) -> None:
    """But for `copy`, which changes nothing and is listed where it is a factor."""
    made = experiment.named(name, {}, ())
    rows = asked.settings(made)
    listed = [row[0] for row in rows]
    assert len(listed) == len(set(listed))
    assert (parsers().keys() | SHARED) - {"copy"} <= set(listed)
    for factor, _ in made.arms[0].factors:
        assert factor in listed
    assert all(origin != "not recorded" for _, _, origin in rows), rows


def test_a_run_of_an_earlier_loadproof_has_no_origins() -> None:
    bare = experiment.from_flags({})
    from dataclasses import replace

    rows = asked.settings(replace(bare, origins=()))
    assert {origin for _, _, origin in rows} == {"not recorded"}


def test_what_follows_from_a_rate_says_so() -> None:
    rows = {name: origin for name, _, origin in asked.settings(experiment.from_flags({"rate": "20/s"}))}
    assert rows["vusers"] == rows["processes"] == rows["threads"] == "follows from rate and timeout"
    assert rows["ramp"] == rows["think"] == rows["interval"] == "an open load has none"
    given = asked.settings(experiment.from_flags({"rate": "20/s", "vusers": "50"}))
    assert {name: origin for name, _, origin in given}["processes"] == "follows from vusers"
