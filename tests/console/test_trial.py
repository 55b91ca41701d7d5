"""What a person reads before, while and after a trial runs."""

from __future__ import annotations

from dataclasses import dataclass

from loadproof.console import trial as show
from loadproof.plan import experiment


@dataclass(frozen=True)
class Live:
    elapsed_s: float
    users: int = 99
    tps: float = 50.0
    mtt_ms: float | None = 200.0
    failures: int = 0
    requests: int = 1234
    cpu_percent: tuple[tuple[str, float | None], ...] = (("app1", 6.0), ("app2", None))


LOAD = experiment.from_flags({"vusers": "100", "interval": "800ms", "hold": "15s"}).arms[0].load


def test_users_over_time_come_first() -> None:
    lines = show.load_table(LOAD).splitlines()
    assert lines[0].startswith("load: 99 users = 3 processes x 33 threads")
    rows = [line.split() for line in lines if line[:1].isdigit() or line[:1] == " "]
    steps = [(row[0], row[2]) for row in rows if row[1] == "s" and row[2].isdigit()]
    assert steps[:2] == [("0", "9"), ("0.8", "18")] and ("8", "99") in steps and steps[-1] == ("28", "0")
    assert any(line.endswith("window begins (hold of 15 s)") for line in lines)


def test_a_long_ramp_is_cut_in_the_middle() -> None:
    load = (
        experiment.from_flags({"vusers": "1000", "step": "10", "initial": "10", "interval": "1s"})
        .arms[0]
        .load
    )
    text = show.load_table(load)
    assert len(load.table) == 100 and "86 steps" in text and len(text.splitlines()) < 25


def test_the_live_view_has_a_column_for_each_server() -> None:
    head = show.live_header(["app1", "app2"])
    assert head.split("  ")[0].strip() == "elapsed" and "CPU app1" in head and "CPU app2" in head
    line = show.live_line(Live(12.4))
    assert line.split() == ["12", "s", "99", "50.0", "200.0", "0", "6.0", "%", "-"]
    assert len(line) == len(head)


def test_the_end_speaks_of_the_hold_where_there_is_one() -> None:
    ramp, hold = Live(5.0, tps=400.0, mtt_ms=1.0), Live(20.0)
    said, cpu = show.live_summary(LOAD, [ramp, hold, Live(25.0, tps=70.0, failures=3, requests=2000)])
    assert "2,000 requests, 3 errors; in the hold about 60.0 TPS, MTT 200.0 ms" in said
    assert cpu == "CPU in the hold: app1 6.0 %"
    assert show.live_summary(LOAD, []) == []


def test_a_share_that_was_seldom_seen_says_so() -> None:
    unseen = (("app1", 6.0), ("app2", None))
    holds = [Live(20.0 + at, cpu_percent=unseen if at else (("app1", 6.0), ("app2", 7.3))) for at in range(4)]
    assert show.live_summary(LOAD, holds)[-1] == "CPU in the hold: app1 6.0 %, app2 7.3 % (1 of 4 looks)"
