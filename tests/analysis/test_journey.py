"""The story of one request, and the word that tells it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from analysis import journey, report
from analysis.readers.clock import Clocks
from loadproof.console import journey as show
from loadproof.errors import BadInput, RecordUnreadable
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic


@pytest.mark.parametrize(
    ("text", "id"), [("1:42", (1 << 48) | 42), ("000100000000002a", (1 << 48) | 42), ("65519:0", 0xFFEF << 48)]
)  # fmt: skip
def test_an_id_as_a_person_writes_it(text: str, id: int) -> None:
    assert journey.number(text) == id


@pytest.mark.parametrize("text", ["", "42", "1:", ":1", "1:-2", "zz0100000000002a", "0:1", "65520:1", "70000:1", f"1:{1 << 48}"])  # fmt: skip
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="no id of a request"):
        journey.number(text)


def test_the_story_of_a_request_that_came_too_late(two_arms: RunFolder) -> None:
    (told,) = journey.tell(two_arms, journey.number("3:7"), "01")
    assert told.reason == "app/too_late" and told.outcome == "failed: timeout"
    assert [event.host for event in told.events].count("app1") == 4
    assert [event.second for event in told.events] == sorted(event.second or 0 for event in told.events)
    assert told.events[0].after_ms == 0 and told.events[-1].what.endswith("BrokenPipeError")
    text = show.journey([told])
    assert "request 0003000000000007" in text and "began at: app/too_late" in text
    assert "certain beyond ± 1.2 ms" in text  # nginx writes whole milliseconds


def test_order_is_certain_beyond_the_two_worst_clocks_of_the_story() -> None:
    """Also between nginx and an app, whose load host has the best clock of the three."""
    clock = Clocks({}, (), halves={"load1": 100, "proxy1": 40_000, "app1": 30_000, "app2": 90_000})
    assert journey._certain_ms({"load1", "proxy1", "app1"}, "proxy1", clock) == 71.0
    assert journey._certain_ms({"load1", "app1"}, "proxy1", clock) == 30.1
    assert journey._certain_ms({"load1", "proxy1", "app3"}, "proxy1", clock) is None
    assert journey._certain_ms({"app3"}, "proxy1", clock) == 0.0


def test_each_attempt_is_told_when_nginx_turned_to_it(tmp_path: Path) -> None:
    """What an app read in between stands in between."""
    raw = synthetic.Raw(synthetic.plan(servers=2))
    raw.user(1, 1, 0.0)
    id = raw.request(1, 0, 8.0, 9.8)
    raw.read("app2", id, 9.2, 9.7)
    raw.logged(
        id, 8.0, 9.799, upstream_addr="198.18.0.11:8000, 198.18.0.12:8000", upstream_status="504, 200",
        upstream_connect_time="0.000, 0.001", upstream_header_time="-, 0.700", upstream_response_time="1.000, 0.799",
    )  # fmt: skip
    synthetic.quiet_samples(raw, {"app1": 0.05, "app2": 0.05})
    (told,) = journey.tell(synthetic.write_run(tmp_path, [raw]), id)
    turned = {event.what.split(",")[0]: event.second for event in told.events if "turned to" in event.what}
    assert turned == {"nginx: turned to app1": 8.0, "nginx: turned to app2": 9.0}
    assert [event.host for event in told.events][1:5] == ["proxy1", "proxy1", "proxy1", "app2"]


def test_every_trial_that_has_the_id_tells_it(two_arms: RunFolder) -> None:
    assert [told.trial for told in journey.tell(two_arms, 1 << 48)] == ["01-servers-1", "02-servers-2"]
    with pytest.raises(BadInput, match="no client, no line of nginx and no app row"):
        journey.tell(two_arms, (1 << 48) | 10**9)


def spoil(path: Path) -> None:
    """Damages all rows of a table; what Parquet finds them by, at its end, stays."""
    data = path.read_bytes()
    end = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    path.write_bytes(data[:4] + bytes(byte ^ 255 for byte in data[4:end]) + data[end:])


@pytest.mark.parametrize("kind", ["journeys", "users"])
def test_a_damaged_table_is_made_again(copy: RunFolder, kind: str) -> None:
    before = journey.tell(copy, journey.number("3:7"), "01")
    spoil(copy.table(kind, copy.trials[0].name))
    assert journey.tell(copy, journey.number("3:7"), "01") == before
    spoil(copy.table(kind, copy.trials[0].name))
    shutil.rmtree(copy.trials[0].raw())
    with pytest.raises(RecordUnreadable, match="a table is damaged") as caught:
        journey.tell(copy, journey.number("3:7"), "01")
    assert caught.value.next and copy.table(kind, copy.trials[0].name).exists()


def test_the_report_tells_its_stories_from_a_damaged_table_made_again(
    copy: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report.drawing, "draw", lambda series: [])
    report.render(copy.path)
    page, path = copy.report.read_text(), copy.table("journeys", copy.trials[0].name)
    whole = pq.read_table(path)
    spoil(path)
    report.render(copy.path)
    assert copy.report.read_text() == page
    assert pq.read_table(path, page_checksum_verification=True).equals(whole)


def test_a_trial_whose_plan_cannot_be_read_hides_no_other(copy: RunFolder) -> None:
    copy.trials[0].plan.write_text("{")
    (told,) = journey.tell(copy, 1 << 48)
    assert told.trial == "02-servers-2"
    copy.trials[1].plan.write_text("{")
    with pytest.raises(RecordUnreadable):
        journey.tell(copy, 1 << 48)
