"""Rows that were lost: the figures that need them are null and it is said why, and the others stay as they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from analysis import results
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import formats, record
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic

Rows = Any
DELIVERY = ("undelivered", "broken_pipe")


def plan_of(copy: RunFolder, trial: int) -> TrialPlan:
    return record.read_plan(copy.trials[trial].plan)


def rows_of(path: Path) -> Rows:
    kind = formats.APP_ROW if path.name.startswith("app-") else formats.CLIENT_ROW
    return np.frombuffer(path.read_bytes()[64:], kind).copy()


def keep(path: Path, rows: Rows) -> None:
    """These rows behind the header that is there."""
    path.write_bytes(path.read_bytes()[:64] + rows.tobytes())


def app_file(copy: RunFolder, trial: int, host: str = "app1") -> Path:
    (path,) = copy.trials[trial].raw(host).glob("app-*.rows")
    return path


def seal(path: Path, copy: RunFolder, trial: int) -> None:
    """Seals the folder of a file anew: it was like this on the host already."""
    synthetic.seal(path.parent, path.parent.name, plan_of(copy, trial))


def judged(copy: RunFolder, trial: int) -> tuple[dict[str, Any], str]:
    """The figures of a trial, and everything that is said of it."""
    made = results.analyse(copy.path, rebuild=True)
    return made["arms"][trial], "\n".join(
        text for text in made["incomplete"] if text.startswith(f"0{trial + 1}-")
    )


def test_what_is_whole_is_not_doubted(two_arms: RunFolder) -> None:
    made = results.analyse(two_arms.path)
    assert made["incomplete"] == []
    assert all(arm["undelivered"] is not None and arm["whole_run"]["tps"] for arm in made["arms"])


# the apps' rows


def test_answers_without_an_app_row_tell_that_rows_were_lost(copy: RunFolder) -> None:
    """As after a full disk: the app served on, its file was sealed with the rows it has."""
    before = json.loads(copy.results.read_text())["arms"][1]
    path = app_file(copy, 1, "app2")
    rows = rows_of(path)
    keep(path, rows[: len(rows) // 2])
    seal(path, copy, 1)
    arm, said = judged(copy, 1)
    assert "app2: " in said and "without an app row" in said and "app1" not in said
    for name in DELIVERY:
        assert arm[name] is arm["servers"][1][name] is arm["whole_run"][name] is None
    assert arm["servers"][0] == before["servers"][0]
    assert arm["servers"][1]["requests"] == before["servers"][1]["requests"]  # nginx knows them
    assert arm["tps"] == before["tps"] and arm["servers"][1]["first_broken_pipe_s"] is None


def test_without_nginx_a_lost_app_row_may_be_any_servers(copy: RunFolder) -> None:
    path = app_file(copy, 1, "app2")
    rows = rows_of(path)
    keep(path, rows[: len(rows) // 2])
    seal(path, copy, 1)
    (copy.trials[1].raw("proxy1") / "access.jsonl").unlink()
    arm, said = judged(copy, 1)
    assert "of no known server" in said
    assert [server["undelivered"] for server in arm["servers"]] == [None, None]
    assert [server["requests"] for server in arm["servers"]] == [None, None]
    assert arm["unattributed"] is None and arm["tps"] is not None
