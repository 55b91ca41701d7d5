"""The story of one request, and the word that tells it."""

from __future__ import annotations

import pytest

from analysis import journey
from loadproof.console import journey as show
from loadproof.errors import BadInput
from loadproof.runfolder.paths import RunFolder


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
    assert "certain beyond ± 0.2 ms" in text


def test_every_trial_that_has_the_id_tells_it(two_arms: RunFolder) -> None:
    assert [told.trial for told in journey.tell(two_arms, 1 << 48)] == ["01-servers-1", "02-servers-2"]
    with pytest.raises(BadInput, match="no client, no line of nginx and no app row"):
        journey.tell(two_arms, (1 << 48) | 10**9)
