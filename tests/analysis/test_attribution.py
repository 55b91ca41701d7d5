"""Why a request failed: one table of what the witnesses saw; and without a witness nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis.attribution import KEYS, NO_FAILURE, REASONS, UNEXPLAINED, UNKNOWN_US, Known, attribute
from analysis.journeys import ELSEWHERE, GROUP, NO_ROWS, NONE, Block, Texts

# errors whose names are lost, were too many, or are of a later format
NAMELESS = ("other:", "other:#7", "other:(more names)", "other:class 11")
ERRORS = ("", "refused", "connect_timeout", "reset", "closed", "timeout", "http_404", "http_500", "http_502",
          "http_504", "scenario", "cut", "other:ValueError", "not_made",
          "other:EHOSTUNREACH", "other:ENETDOWN", "other:HTTPParseError", *NAMELESS)  # fmt: skip
TEXTS = Texts(ERRORS, (), ("198.18.0.11:8000",), ("", "BrokenPipeError"), ("app1", "app2"))
ALL = Known(True, np.array([True, True]), 200, np.array([200, 200]))
MS = 1000

NOTHING: dict[str, Any] = {
    "client": 1, "name": 0, "user": 1, "intended": 0, "start": 0, "first": 0, "end": 2000 * MS, "status": 0, "error": 0,
    "bytes": 0, "think": 0, "port": 40_000, "lines": 0, "connection": NONE, "received": 0, "done": 0, "line_status": 0,
    "complete": False, "tried": NONE, "several": False, "backend": NONE, "backend_status": 0, "connect": -1,
    "header": -1, "response": -1, "rows": 0, "host": NONE, "accepted": 0, "read": 0, "handed": 0, "lost": 0, "app_status": 0, "exception": NONE,
}  # fmt: skip


def line(status: int, **seen: Any) -> dict[str, Any]:
    """A line of nginx about a backend that it was connected to; done at the moment the client gave up."""
    found = {
        "lines": 1,
        "line_status": status,
        "backend": 0,
        "tried": 0,
        "connect": 0,
        "done": 2000 * MS,
        "complete": status != 499,
        "response": 1990 * MS,
    }
    return found | ({"backend_status": status} if status >= 500 else {}) | seen


def row(read: float, handed: float | None = None, **seen: Any) -> dict[str, Any]:
    """An app row; times in ms."""
    times = {"read": int(read * MS), "handed": int((handed or 0) * MS), "accepted": int(read * MS)}
    return {"rows": 1, "host": 0, **times, **seen}


def moved_on(status: int, **seen: Any) -> dict[str, Any]:
    """A line of nginx that left app1 and went on to app2."""
    return line(status, several=True, backend=1) | seen


def answer(status: int) -> dict[str, Any]:
    """What a client got."""
    return {"status": status}


# error class, what was seen, reason
CASES = [
    ("refused", {}, "proxy/refused"),
    ("connect_timeout", {}, "proxy/never_accepted"),
    ("timeout", {}, "proxy/never_accepted"),
    ("other:EHOSTUNREACH", {}, "proxy/never_accepted"),  # the host is gone, or a firewall says so
    ("other:ENETDOWN", {}, "proxy/never_accepted"),
    ("reset", {}, "proxy/reset"),
    ("closed", {}, "proxy/reset"),
    ("closed", line(0, complete=False), "proxy/reset"),  # a worker of nginx that ended before its requests did
    ("closed", line(0, complete=False) | row(5, 2300), "proxy/reset"),
    # nginx had it
    ("timeout", line(499, backend=NONE, tried=NONE, connect=-1), "proxy/slow"),
    ("timeout", line(499, connect=-1), "app/never_accepted"),
    # nginx itself stood still: it read the request when the client had left
    ("timeout", line(499, connect=-1, received=2500 * MS, done=2500 * MS), "proxy/slow"),
    ("timeout", line(499, received=2500 * MS, done=2500 * MS) | row(2501), "proxy/slow"),
    ("timeout", line(499), "app/never_accepted"),
    # the app had it too
    ("timeout", line(499) | row(5), "client/gave_up"),
    ("timeout", line(499) | row(5, lost=2001 * MS), "client/gave_up"),
    ("timeout", line(499) | row(5, 2300, lost=2300 * MS, exception=1), "app/too_late"),
    ("timeout", line(499) | row(5, 1995), "app/too_late"),  # on the wire when the client left
    ("timeout", line(499) | row(5, 1500), "proxy/slow"),
    ("timeout", line(499) | row(1970, lost=2001 * MS), "client/gave_up"),
    ("timeout", line(499) | row(1990, lost=2001 * MS), "app/too_late"),  # as good as when nobody waited any more
    ("timeout", line(499) | row(2100), "app/too_late"),  # read when nobody waited any more, never finished
    ("timeout", line(499) | row(2100, 2200), "app/too_late"),
    # nginx left app1, which had read it, for app2, which has no row
    ("timeout", moved_on(499) | row(5), "app/never_accepted"),
    ("timeout", moved_on(499) | row(5, 1000), "app/never_accepted"),
    ("timeout", moved_on(499, connect=-1) | row(5), "app/never_accepted"),
    ("http_502", moved_on(502, connect=-1) | row(5, lost=10) | answer(502), "app/refused"),
    ("timeout", moved_on(499) | row(5, host=1), "client/gave_up"),
    # nginx was done with it
    ("timeout", line(200, header=100, done=1500 * MS) | row(5, 1499), "client/own"),
    ("timeout", line(200, header=100, done=1999 * MS) | row(5, 1999), "app/too_late"),
    ("timeout", line(200, header=100, done=2010 * MS) | row(5, 900), "proxy/slow"),
    ("timeout", line(502, connect=-1, done=1999 * MS), "app/refused"),
    ("timeout", line(504, done=1999 * MS), "proxy/timeout"),
    ("timeout", line(502, connect=-1, done=900 * MS), "client/own"),  # the 502 lay there for a second
    # answers that are errors
    ("http_502", line(502, connect=-1) | answer(502), "app/refused"),
    ("http_502", line(502) | answer(502), "app/reset"),
    ("http_502", line(502) | row(5, lost=0) | answer(502), "app/reset"),
    ("http_502", line(502, backend=GROUP, connect=-1) | answer(502), "proxy/no_live_upstream"),
    ("http_502", line(502, header=10) | row(5, 9, app_status=502) | answer(502), "app/error"),
    ("http_504", line(504) | answer(504), "proxy/timeout"),
    ("http_504", line(504, connect=-1) | answer(504), "app/never_accepted"),
    ("http_500", line(500, header=10) | row(5, 9, app_status=500) | answer(500), "app/error"),
    ("http_404", line(404, header=10, backend_status=404) | row(5, 9, app_status=404) | answer(404), "app/error"),
    ("http_500", line(500, backend=NONE, tried=NONE, backend_status=0, connect=-1) | answer(500), "proxy/error"),
    ("http_500", line(500, backend=ELSEWHERE, header=9) | answer(500), "app/error"),
    # broken off in the middle: nginx calls it a complete 200
    ("closed", line(200, header=10, backend_status=200) | row(5), "app/reset"),
    ("reset", line(200, header=10, backend_status=200) | row(5), "app/reset"),
    ("closed", line(200, header=10, backend_status=200, complete=False) | row(5, 9), "proxy/reset"),
    ("reset", line(200, header=10, backend_status=200) | row(5, 9), "proxy/reset"),
    # the way to the backend broke off between head and body: the app had given all of it to its own system
    ("closed", line(200, header=10, backend_status=200) | row(5, 9), "app/reset"),
    ("reset", line(499) | row(5, 9), "host/reset"),
    ("closed", line(499), "host/reset"),
    ("other:EHOSTUNREACH", line(499) | row(5), "host/reset"),
    # the client's own
    ("scenario", line(200, header=10) | row(5, 9) | answer(200), "client/rejected"),
    ("other:ValueError", {}, "client/own"),
    ("timeout", line(499, lines=2) | row(5), "client/resent"),
    ("not_made", {"user": 0, "port": 0, "start": 2000 * MS}, "client/not_made"),
]  # fmt: skip


def block(*cases: tuple[str, dict[str, Any]]) -> Block:
    rows = [NOTHING | {"error": ERRORS.index(error)} | seen for error, seen in cases]
    columns = {name: np.array([one[name] for one in rows]) for name in NOTHING}
    none = np.full((len(rows), 4), NONE)
    return Block(id=np.arange(len(rows), dtype=np.uint64), app=NO_ROWS, tries=none, **columns)


def reasons(*cases: tuple[str, dict[str, Any]], known: Known = ALL) -> list[str]:
    codes = attribute(block(*cases), TEXTS, known)
    names = [*KEYS, "unexplained", "none"]
    return [names[code] for code in codes]


def test_every_case_of_the_table() -> None:
    found = reasons(*[(error, seen) for error, seen, _ in CASES])
    wrong = [
        (error, seen, wanted, got)
        for (error, seen, wanted), got in zip(CASES, found, strict=True)
        if got != wanted
    ]
    assert wrong == []


def test_the_table_has_every_reason() -> None:
    assert {reason for _, _, reason in CASES} == set(KEYS)
    assert len(set(KEYS)) == len(REASONS) == UNEXPLAINED


@pytest.mark.parametrize("error", ["", "cut"])
def test_what_did_not_fail_has_no_reason(error: str) -> None:
    assert reasons((error, line(200, header=10) | row(5, 9))) == ["none"]
    nobody = block(("", {"client": 0, "error": NONE} | line(499) | row(5, 9)))
    assert attribute(nobody, TEXTS, ALL).tolist() == [NO_FAILURE]


def test_contradictions_are_unexplained() -> None:
    contradictions = [
        ("refused", line(499) | row(5)),
        ("refused", row(5)),
        ("not_made", line(499)),
        ("not_made", row(5)),
        ("connect_timeout", line(499)),
        ("http_502", line(200, header=10) | answer(502)),
        ("http_502", answer(502)),
        ("closed", line(200, header=10, backend_status=200)),
        ("other:EHOSTUNREACH", line(200, header=10) | row(5, 9)),
        ("other:EHOSTUNREACH", row(5)),
        ("other:HTTPParseError", {}),  # an answer that is no HTTP: who gave it no witness says
        ("other:HTTPParseError", line(200, header=10) | row(5, 9)),
        *((error, seen) for error in NAMELESS for seen in ({}, line(200, header=10) | row(5, 9))),
        ("timeout", row(5)),  # an app read it: nginx's line is lost
        ("timeout", row(5, 2300)),
        ("closed", row(5)),
        ("timeout", line(499, connect=-1) | row(5)),  # never connected, and read
        ("http_502", line(502, connect=-1) | row(5) | answer(502)),
        ("timeout", line(499) | row(5, 2300, host=1)),  # nginx names the other server
        ("timeout", line(200, header=100, done=1500 * MS, complete=False) | {"rows": 0}),
        ("timeout", moved_on(499, backend=ELSEWHERE) | row(5)),  # of the first attempt, or of the last?
        ("closed", moved_on(200, header=10, backend_status=200) | row(5)),  # a head, of which app2 has no row
    ]
    assert reasons(*contradictions) == ["unexplained"] * len(contradictions)


def test_nothing_follows_from_the_absence_of_what_may_be_lost() -> None:
    no_log = Known(False, ALL.apps, 200, ALL.apps_apart)
    absent = [
        case for case in CASES if not case[1].get("lines") and case[0] not in ("other:ValueError", "not_made")
    ]
    assert len(absent) == 7
    assert reasons(*[case[:2] for case in absent], known=no_log) == ["unexplained"] * 7
    no_rows = Known(True, np.array([False, True]), 200, ALL.apps_apart)
    assert reasons(("timeout", line(499)), known=no_rows) == ["unexplained"]
    assert reasons(("timeout", line(499, backend=1)), known=no_rows) == ["app/never_accepted"]
    # a backend that is no server of the arm has no rows that could be here
    assert reasons(("timeout", line(499, backend=ELSEWHERE))) == ["unexplained"]
    no_rows_2 = Known(True, np.array([True, False]), 200, ALL.apps_apart)
    assert reasons(("timeout", moved_on(499) | row(5)), known=no_rows_2) == ["unexplained"]
    # what lines and rows themselves say holds all the same
    assert reasons(("timeout", line(499) | row(5, 2300)), known=no_rows) == ["app/too_late"]
    assert reasons(("timeout", line(499, connect=-1)), known=no_rows) == ["app/never_accepted"]


def test_no_order_is_claimed_beyond_what_the_clocks_are_known_to() -> None:
    vague = Known(True, ALL.apps, 700 * MS, np.array([700 * MS, 700 * MS]))
    # nginx's own order: it had no head of an answer when the client left
    assert reasons(("timeout", line(499) | row(5, 1500)), known=vague) == ["app/too_late"]
    assert reasons(("timeout", line(499, header=100) | row(5, 1500)), known=vague) == ["unexplained"]
    assert reasons(("timeout", line(499) | row(5, 1200)), known=vague) == ["proxy/slow"]
    late = (("timeout", line(200, header=100, done=at * MS) | row(5, at)) for at in (1500, 2800))
    assert reasons(*late, known=vague) == ["unexplained", "app/too_late"]
    between = (("timeout", line(499) | row(read)) for read in (1200, 1500, 2500, 2900))
    assert reasons(*between, known=vague) == ["client/gave_up", "unexplained", "unexplained", "app/too_late"]
    unknown = Known(True, ALL.apps, UNKNOWN_US, np.array([UNKNOWN_US] * 2))
    assert reasons(("timeout", line(499) | row(5)), known=unknown) == [
        "unexplained"
    ]  # read in time, or late?
    assert reasons(("timeout", line(499) | row(5, 2300)), known=unknown) == ["app/too_late"]


def test_a_request_that_nginx_took_elsewhere_is_of_the_server_where_it_went() -> None:
    """Unless nobody knows that one."""
    seen = [moved_on(499) | row(5), moved_on(499, backend=ELSEWHERE) | row(5), line(499) | row(5), row(5)]
    assert block(*(("timeout", one) for one in seen)).server.tolist() == [1, 0, 0, 0]


def test_the_page_of_reasons_is_that_of_the_code() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "reasons.md").read_text()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert rows == [f"| `{one.key}` | {one.said} | {one.proof} |" for one in REASONS]
