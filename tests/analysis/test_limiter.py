"""What limiter.jsonl says of the limit, in sentences for whoever reads the figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis.readers import limiter
from loadproof.plan.values import Limit
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder, TrialPaths

STORED = Path(__file__).resolve().parents[1] / "data" / "runs" / "20261124T031500Z-format1"
PLAN = replace(record.read_plan(RunFolder(STORED).trials[0].plan), apps=("app1",), limit=Limit())
STARTED, ATTACHED = {"event": "started", "limiter": "cpulimit"}, {"event": "attached", "pid": 7}
ENDED = {"event": "ended", "why": "SIGTERM"}


def said(folder: Path, *events: object) -> tuple[str, ...]:
    """The sentences for these events of app1."""
    paths = TrialPaths(folder)
    paths.raw("app1").mkdir(parents=True)
    lines = [event if isinstance(event, str) else json.dumps(event) for event in events]
    (paths.raw("app1") / "limiter.jsonl").write_text("\n".join(lines) + "\n")
    return limiter.notes(paths, PLAN)


@pytest.mark.parametrize(
    ("events", "sentences"),
    [
        ([STARTED, ATTACHED, ENDED], []),
        ([STARTED, ATTACHED, {"event": "gone", "what": "forked: children"}, ATTACHED, ENDED], []),
        (
            [STARTED, ATTACHED, {"event": "in_force", "ok": False, "why": "accepted but not in force: no quota"}],
            ["app1: the limit was accepted but not in force: no quota"],
        ),
        (
            [STARTED, ATTACHED, {"event": "gone", "what": "cpulimit: exit -9"}, {"event": "gone", "what": "app"}, ATTACHED],
            ["app1: the limit was lost (cpulimit, app gone) and put back; limiter.jsonl has the times"],
        ),
        (
            [STARTED, ATTACHED, {"event": "gone", "what": "supervisor"}],
            ["app1: the limit was lost (supervisor gone) and not put back; limiter.jsonl has the times"],
        ),
        (
            [STARTED, ATTACHED, {"event": "ended", "why": "deadline"}],
            ["app1: the limiter ended by itself: deadline"],
        ),
        ([], ["app1: the limiter never started"]),
        (["{cut", STARTED, ATTACHED], ["app1: limiter.jsonl: 1 malformed line, first: {cut"]),
    ],
)  # fmt: skip
def test_what_a_reader_has_to_know(tmp_path: Path, events: list[object], sentences: list[str]) -> None:
    assert list(said(tmp_path, *events)) == sentences


def test_a_missing_file_and_no_limit(tmp_path: Path) -> None:
    paths = TrialPaths(tmp_path)
    assert limiter.notes(paths, PLAN) == (
        "app1: limiter.jsonl: No such file or directory; whether the limit held is unknown",
    )
    assert limiter.notes(paths, replace(PLAN, limit=Limit("none", 0.0))) == ()
