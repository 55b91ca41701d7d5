"""trial.json and Locust's command line, without Locust."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from loadtests import start, trial


def good(out: Path) -> dict[str, Any]:
    load = {
        "master_host": "198.18.0.12",
        "master_port": 5557,
        "bind": "127.0.0.1",
        "workers": 3,
        "first_worker": 1,
        "target": "http://198.18.0.11:8080/",
        "table": [[0, 9], [5, 18]],
        "end_s": 62.0,
        "users": 18,
        "scenario": "items",
        "timeout_s": 10,
        "think_s": 0,
        "seed": 1,
        "rows": 10000,
    }
    return {
        "format": 1,
        "run": "r",
        "trial": "01",
        "host": "load1",
        "out": str(out),
        "load": load,
        "more": "ignored",
    }


def test_a_good_trial(tmp_path: Path) -> None:
    read = trial.parse(good(tmp_path), "trial.json")
    assert read.target == "http://198.18.0.11:8080"
    assert read.table == ((0.0, 9), (5.0, 18))
    assert (read.users, read.workers, read.timeout_s) == (18, 3, 10)


def test_arguments(tmp_path: Path) -> None:
    planned = trial.parse(good(tmp_path), "trial.json")
    master = " ".join(start.locust_arguments("master", planned))
    assert "--headless" in master
    assert "--master --master-bind-host 127.0.0.1 --master-bind-port 5557" in master
    assert "--expect-workers 3 --expect-workers-max-wait 30" in master
    assert "--exit-code-on-error 0" in master
    worker = start.locust_arguments("2", planned)
    assert " ".join(worker).endswith("--worker --master-host 198.18.0.12 --master-port 5557")
    assert not [
        word for word in [*worker, *master.split()] if word.startswith(("--web", "--csv", "--processes"))
    ]
    assert Path(worker[worker.index("-f") + 1]).is_file()


def test_all_problems_at_once(tmp_path: Path) -> None:
    raw = good(tmp_path)
    raw["format"] = 2
    raw["load"] |= {
        "users": 99,
        "workers": 0,
        "target": "ftp://x",
        "timeout_s": True,
        "table": [[1, 9], [1, 18]],
    }
    del raw["load"]["bind"]
    with pytest.raises(trial.BadTrial) as caught:
        trial.parse(raw, "T")
    text = str(caught.value)
    for word in ("format", "workers", "target", "timeout_s", "table", "bind"):
        assert f"T: {word}" in text, text


@pytest.mark.parametrize(
    ("arguments", "change", "said"),
    [
        ([], {}, "usage"),
        (["mastre"], {}, "`master` or a worker number"),
        (["0"], {}, "worker number"),
        (["65520"], {}, "below 65520"),
        (["1"], {"scenario": "itmes"}, "there are: heavy, hello, items, null, weary"),
        (["1"], {"users": 19}, "never reaches its 19 users"),
        (["1"], {"end_s": 5.0}, "end_s"),
    ],
)
def test_rejected(
    arguments: list[str],
    change: dict[str, Any],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    raw = good(tmp_path)
    raw["load"] |= change
    path = tmp_path / "trial.json"
    path.write_text(json.dumps(raw))
    monkeypatch.setenv("LOADPROOF_TRIAL", str(path))
    assert start.main(arguments) == 64
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("text", [None, "", "{", "[]", "{}"])
def test_no_trial(
    text: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trial.json"
    if text is not None:
        path.write_text(text)
    monkeypatch.setenv("LOADPROOF_TRIAL", str(path))
    assert start.main(["master"]) == 64
    assert str(path) in capsys.readouterr().err


def test_a_second_run_of_a_trial_is_refused(tmp_path: Path) -> None:
    (tmp_path / "requests-3.rows").touch()
    planned = trial.parse(good(tmp_path), "trial.json")
    start.check("2", planned)
    with pytest.raises(trial.BadTrial, match="already run"):
        start.check("3", planned)


def test_locust_starts_without_its_web_page(load_tree: Path) -> None:
    """It is the only part of Locust that brings flask, and nobody can open what is not there."""
    program = (
        "import sys; from loadtests import start; start.without_web(); import locust.main;"
        "print([name for name in ('flask', 'werkzeug') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONPATH": f"{load_tree}{os.pathsep}{Path(__file__).resolve().parents[2]}"},
    )  # fmt: skip
    assert done.stdout == "[]\n", done.stderr
