"""The recap of a deploy: one line per host."""

from __future__ import annotations

from loadproof.console import deploy
from loadproof.control.apply import HostOutcome
from loadproof.errors import HostUnreachable, NotReady, Refused
from loadproof.plan.values import Change

CHANGES = (
    Change("file", "/etc/loadproof/app.env"),
    Change("file", "/etc/loadproof/x"),
    Change("start", "a.service"),
)


def test_one_line_per_host_however_long_the_reason() -> None:
    long = NotReady("b", "the host is as desired", 60, "word " * 100)
    outcomes = {
        "a": HostOutcome("a", "changed", CHANGES, done=3),
        "b": HostOutcome("b", "failed", CHANGES, long, done=2),
        "c": HostOutcome("c", "failed", CHANGES, Refused("not touched, because of b")),
        "d": HostOutcome("d", "failed", CHANGES, long, done=None),
        "e": HostOutcome("e", "unreachable", (), HostUnreachable("e", "no answer")),
    }
    lines = deploy.recap(outcomes, check=False).splitlines()[2:]
    assert [line.split()[0] for line in lines] == list(outcomes)
    assert "3 changed" in lines[0] and "file 2, start" in lines[0]
    assert "2 of 3 done" in lines[1] and lines[1].endswith("…") and len(lines[1]) <= 110
    assert "nothing done" in lines[2] and "because of b" in lines[2]
    assert "? of 3 done" in lines[3]
    assert "no answer" in lines[4]
