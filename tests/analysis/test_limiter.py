"""What limiter.jsonl says of the limit, in sentences for whoever reads the figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from analysis import results
from analysis.readers import limiter
from loadproof.plan.values import Limit
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder, TrialPaths
from tests.analysis import synthetic

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
    return limiter.notes(paths, PLAN, {}, lambda host: 0)


@pytest.mark.parametrize(
    ("events", "sentences"),
    [
        ([STARTED, ATTACHED, ENDED], []),
        ([STARTED, ATTACHED, {"event": "gone", "what": "forked: children"}, ATTACHED, ENDED], []),
        (
            [STARTED, ATTACHED, *[{"event": "gone", "what": "forked: children"}, ATTACHED] * 4, ENDED],
            ["app1: the limit was lost (forked 3 times gone) and put back; limiter.jsonl has the times"],
        ),
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
        ([STARTED, ENDED], ["app1: the limit was never attached"]),
        (["{cut", STARTED, ATTACHED], ["app1: limiter.jsonl: 1 malformed line, first: {cut"]),
    ],
)  # fmt: skip
def test_what_a_reader_has_to_know(tmp_path: Path, events: list[object], sentences: list[str]) -> None:
    assert list(said(tmp_path, *events)) == sentences


def test_a_missing_file_and_no_limit(tmp_path: Path) -> None:
    paths = TrialPaths(tmp_path)
    assert limiter.notes(paths, PLAN, {}, lambda host: 0) == (
        "app1: limiter.jsonl: No such file or directory; whether the limit held is unknown",
    )
    assert (
        limiter.notes(paths, replace(PLAN, limit=Limit("none", 0.0)), {"app1": (0, 9)}, lambda host: 0) == ()
    )


def at(second: float, event: str, **more: object) -> dict[str, object]:
    """An event of a host whose clock is 5 s ahead."""
    return {"realtime_us": round((second + 5) * 1e6), "event": event, **more}


BEGIN = [at(0, "started"), at(1, "attached")]
OVER = [at(40, "detached", reason="SIGTERM"), at(40, "lifted"), at(40, "ended", why="SIGTERM")]
EARLY = [at(15, event["event"], why="SIGTERM") for event in OVER]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "events", "sentences"),
    [
        ("cpulimit", [*BEGIN, *OVER], []),
        ("quota", [*BEGIN, *OVER], []),
        ("none", [at(0, "started"), *EARLY[1:]], []),
        ("cpulimit", [*BEGIN, at(70, "detached", reason="deadline"), at(70, "ended", why="deadline")], []),
        (
            "cpulimit",
            [*BEGIN, at(27, "detached", reason="deadline"), at(27, "ended", why="deadline")],
            ["app1: the limiter ended by itself: deadline", "app1: no limit for 1.0 s of the window"],
        ),
        ("cpulimit", [*BEGIN, *EARLY], ["app1: no limit for 13.0 s of the window"]),
        ("quota", [*BEGIN, *EARLY], ["app1: no limit for 13.0 s of the window"]),
        ("cpulimit", [*BEGIN, EARLY[2]], ["app1: no limit for 13.0 s of the window"]),
        ("cpulimit", [at(0, "started"), at(23, "attached"), *OVER], ["app1: no limit for 10.0 s of the window"]),
        ("cpulimit", [at(0, "started"), at(30, "attached"), *OVER], ["app1: no limit for 15.0 s of the window"]),
        (
            "cpulimit",
            BEGIN,
            ["app1: whether the limit held is unknown for 15.0 s of the window: its supervisor ended without a word"],
        ),
        (
            "cpulimit",
            [*BEGIN, at(16, "gone", what="app"), at(16, "detached"), at(17.5, "attached")],
            [
                "app1: the limit was lost (app gone) and put back; limiter.jsonl has the times",
                "app1: whether the limit held is unknown for 10.5 s of the window: its supervisor ended without a word",
            ],
        ),
        (
            "cpulimit",
            [*BEGIN, at(16, "gone", what="app"), at(16, "detached"), at(20, "attached"), *OVER],
            [
                "app1: the limit was lost (app gone) and put back; limiter.jsonl has the times",
                "app1: no limit for 4.0 s of the window",
            ],
        ),
        (
            "quota",  # it stays on the unit while the app comes back
            [*BEGIN, at(16, "gone", what="app"), at(16, "detached"), at(20, "attached"), *OVER],
            ["app1: the limit was lost (app gone) and put back; limiter.jsonl has the times"],
        ),
        (
            "quota",
            [*BEGIN, at(18, "gone", what="quota: no quota"), at(18, "detached"), *OVER[1:]],
            [
                "app1: the limit was lost (quota gone) and not put back; limiter.jsonl has the times",
                "app1: no limit for 10.0 s of the window",
            ],
        ),
        (
            "cpulimit",
            [*BEGIN, {"event": "lifted"}],
            ["app1: limiter.jsonl has events without a time; whether the limit held over the window is unknown"],
        ),
    ],
)  # fmt: skip
def test_what_part_of_the_window_had_a_limit(
    tmp_path: Path, kind: str, events: list[object], sentences: list[str]
) -> None:
    """The window is [13, 28) s."""
    paths = TrialPaths(tmp_path)
    paths.raw("app1").mkdir(parents=True)
    text = "".join(json.dumps(event) + "\n" for event in events)
    (paths.raw("app1") / "limiter.jsonl").write_text(text)
    plan = replace(PLAN, limit=Limit(kind, 5.0))
    assert (
        list(limiter.notes(paths, plan, {"app1": (13_000_000, 28_000_000)}, lambda host: 5_000_000))
        == sentences
    )


def stamped(second: float, event: str, step: float = 0.0, booted: float = -1000.0) -> dict[str, object]:
    """An event whose host's wall clock was set forward by `step` s since its first one."""
    ns = round((second - booted) * 1e9)
    return at(second + step, event, monotonic_ns=ns, pid=7, why="SIGTERM")


@pytest.mark.parametrize(
    ("ended", "step", "booted", "lacking"),
    [
        (20, 100, -1000, 8),  # seen by its wall clock it held until after the window
        (40, -30, -1000, 0),  # and here it had ended in it
        (20, 0, -1000, 8),
        (20, 0, 19, 8),  # another boot has another monotonic clock
    ],
)
def test_a_step_of_the_wall_clock_moves_no_event(
    ended: float, step: float, booted: float, lacking: float
) -> None:
    """The window is [13, 28) s."""
    begin = [stamped(0, "started"), stamped(1, "attached")]
    over = [stamped(ended, event, step, booted) for event in ("detached", "lifted", "ended")]
    found = limiter.cover([*begin, *over], "cpulimit", (13_000_000, 28_000_000), 5_000_000, 0)
    assert found == limiter.Cover(round(lacking * 1e6), 0)


def test_that_it_ended_after_the_window_is_told_by_its_monotonic_clock(tmp_path: Path) -> None:
    paths = TrialPaths(tmp_path)
    paths.raw("app1").mkdir(parents=True)
    events = [stamped(0, "started"), stamped(1, "attached"), {**stamped(40, "ended", -30), "why": "deadline"}]
    (paths.raw("app1") / "limiter.jsonl").write_text("".join(json.dumps(one) + "\n" for one in events))
    assert not limiter.notes(paths, PLAN, {"app1": (13_000_000, 28_000_000)}, lambda host: 5_000_000)


def test_a_limiter_that_ended_in_the_hold_is_told(copy: RunFolder) -> None:
    """SIGTERM two seconds into the window [6, 22)."""
    path = copy.trials[0].raw("app1") / "limiter.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines[3:]:
        line["realtime_us"] = synthetic.T0 + 8_000_000 + synthetic.OFFSETS["app1"]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    said = results.analyse(copy.path)["incomplete"]
    assert said == ["01-servers-1: app1: no limit for 14.0 s of the window"]
