"""The answer of a run in large, the table of a pair, and the card that is shared."""

from __future__ import annotations

import html
import json
import math
import re
import struct
import zlib
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from analysis import answer, results, share, why
from loadproof.errors import RecordUnreadable
from loadproof.runfolder.paths import RunFolder
from tests.analysis import blocks
from tests.analysis.test_compare import two

EVIL = (
    "</text><script>alert(1)</script> \x1b]0;pwn\x07 \u202edlrow [x](http://y) `z` <img src=x> " + "W" * 300
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """4 blocks, one trial withheld, analysed."""
    folder = blocks.run(tmp_path_factory.mktemp("answer"), spoiled=("03",))
    results.analyse(folder.path)
    return folder


@pytest.fixture
def found(run: RunFolder) -> dict[str, Any]:
    known: dict[str, Any] = json.loads(run.results.read_text())
    return known


def one(**changes: Any) -> dict[str, Any]:
    """An entry of `comparisons`."""
    return {
        "metric": "tps", "primary": True, "numerator": "b", "denominator": "a", "basis": "as run", "ratio": 2.0, "low": 1.9,
        "high": 2.1, "n": 4, "confidence": 0.95, "words": "different by more than 5 %",
        "all_trials": {"ratio": 2.0, "low": 1.9, "high": 2.1, "n": 4}, **changes,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "ratio", "interval", "words"),
    [
        ({}, "2.00 ×", "95 % interval 1.90 – 2.10, 4 pairs", "different by more than 5 %"),
        ({"ratio": None, "low": None, "high": None, "n": 0, "words": "not compared: because"}, "", "", "not compared: because"),
        ({"low": None, "high": None, "n": 2}, "2.00 ×", "no interval, 2 pairs", "different by more than 5 %"),
        (
            {"low": None, "high": None, "n": 1, "all_trials": {"ratio": 2.0, "low": None, "high": None, "n": 1}},
            "2.00 ×", "", "one trial of each: an anecdote, no interval",
        ),
        ({"low": 0.6, "high": 6.8, "words": "not decided"}, "2.00 ×", "95 % interval 0.60 – 6.80, 4 pairs", "not decided"),
    ],
)  # fmt: skip
def test_the_answer_in_large(changes: dict[str, Any], ratio: str, interval: str, words: str) -> None:
    arms = [{"label": "c"}, {"label": "d"}]
    (lead,) = answer.leads({"comparisons": [one(**changes)], "arms": arms, "primary": "tps"})
    said = {key: text.replace("\u202f", " ") for key, text in lead.items()}
    assert said == {
        "ratio": ratio,
        "what": "TPS of b over a",
        "interval": interval,
        "words": words,
        "arms": "",
        "open": "open" if words.startswith(("not decided", "one trial")) else "",
    }


@pytest.mark.parametrize(
    ("verdict", "ratio", "words"),
    [
        ("VALID", "14.20", "one trial, nothing to compare it with: an anecdote"),
        ("INVALID", "", "no answer: its conditions did not hold"),
        ("UNKNOWN", "", "no answer: its conditions are not known to have held"),
    ],
)
def test_a_single_arm_is_no_answer_but_a_figure(verdict: str, ratio: str, words: str) -> None:
    arm = {
        "label": "servers=1",
        "tps": 14.2,
        "verdict": verdict,
        "trials": [{"verdict": verdict}],
        "checks": [],
    }
    (lead,) = answer.leads({"comparisons": [], "arms": [arm], "primary": "tps"})
    assert (lead["ratio"].replace("\u202f", " "), lead["words"]) == (ratio, words)


def test_what_decides_nothing_does_not_look_like_an_answer(run: RunFolder, found: dict[str, Any]) -> None:
    (primary,) = [entry for entry in found["comparisons"] if entry["primary"]]
    for words, open_ in (
        ("different by more than 5 %", False),
        ("not decided: about 3 to 9 more pairs would", True),
    ):
        primary["words"] = words
        grey = f'fill="#5c6675">{answer.leads(found)[0]["ratio"]}<'
        assert (grey in share.card(found, [share.about.run(run)])) == open_


def test_the_card_says_who_is_over_whom(run: RunFolder, found: dict[str, Any]) -> None:
    for entry in found["comparisons"]:
        entry["numerator"], entry["denominator"] = "servers=2,think=250ms", "servers=1,think=250ms"
    assert "servers=2,think=250ms over servers=1,think=250ms<" in share.card(found, [share.about.run(run)])


def test_of_a_single_arm_only_the_trials_that_count_are_told() -> None:
    trials = [{"verdict": verdict} for verdict in ("INVALID", "VALID", "VALID")]
    arm = {"label": "servers=1", "tps": 14.2, "verdict": "VALID", "trials": trials, "checks": []}
    (lead,) = answer.leads({"comparisons": [], "arms": [arm], "primary": "tps"})
    assert lead["words"] == "over 2 trials, nothing to compare it with"


def test_a_search_answers_with_the_load_and_with_no_figure_of_its_trials() -> None:
    arm = {
        "label": "users=40",
        "tps": 39.4,
        "verdict": "VALID",
        "trials": [{"verdict": "VALID"}],
        "checks": [],
    }
    found = {"load": "users", "users": 40, "kind": "found", "answer": "40 users: p95 at most 480 ms"}
    results = {"comparisons": [], "arms": [arm], "primary": "tps", "capacity": found}
    (lead,) = answer.leads(results)
    assert (lead["ratio"].replace("\u202f", " "), lead["what"]) == ("40 users", "Capacity")
    assert lead["words"] == found["answer"]
    open_ = {**found, "users": None, "kind": "not decided", "answer": "not decided: why"}
    (lead,) = answer.leads({**results, "arms": [], "capacity": open_})
    assert (lead["ratio"], lead["words"]) == ("", "not decided: why")


def test_at_equal_cpu_nothing_is_shown_of_trials_that_were_withheld() -> None:
    arms = two([10], [20])
    again = {**arms[0]["trials"][0], "id": "09"}
    arms[0]["trials"] = [{**one, "verdict": "INVALID"} for one in (arms[0]["trials"][0], again)]
    assert answer.value(arms[0], "tps", "equal cpu") == "–"
    assert answer.value(arms[1], "tps", "equal cpu") != "–"


def test_where_an_interval_is_drawn() -> None:
    """By hand: the scale ends at 2, so 2 is at the right, 1 in the middle, 1 / 2 at the left; beyond is cut."""
    scale = math.log(2)
    drawn = answer.drawn(one(ratio=math.sqrt(2), low=0.4, high=2.0), scale, 0.0, 100.0)
    assert drawn is not None
    assert (drawn["at"], drawn["low"], drawn["high"], drawn["one"]) == (75.0, 0.0, 100.0, 50.0)
    assert answer.drawn(one(ratio=None), scale) is None
    bare = answer.drawn(one(ratio=1.0, low=None, high=None), scale, 0.0, 100.0)
    assert bare is not None and bare["low"] == bare["at"] == bare["high"] == 50.0
    assert answer.most([one()]) == pytest.approx(math.log(2.1) * 1.05)


def test_the_table_of_a_pair_says_what_results_json_says(found: dict[str, Any]) -> None:
    (pair,) = answer.pairs(found)
    arms = {arm["label"]: arm for arm in found["arms"]}
    assert (pair["above"], pair["below"]) == ("servers=2", "servers=1")
    assert [row["primary"] for row in pair["rows"]] == [True] + [False] * (len(pair["rows"]) - 1)
    for row, known in zip(pair["rows"], found["comparisons"], strict=True):
        assert row["ratio"] == ("–" if known["ratio"] is None else f"{known['ratio']:.3f}")
        assert row["n"] == str(known["n"]) and row["words"] == known["words"]
    first = pair["rows"][0]
    assert first["values"] == [f"{arms[name]['tps']:.2f}" for name in ("servers=2", "servers=1")]
    assert f"{found['comparisons'][0]['low']:.3f}" in first["interval"]
    assert "with the trials that were withheld" in first["every"], "trial 03 does not count"


def test_the_books_are_told_of_each_trial(found: dict[str, Any]) -> None:
    told = why.accounts(found["arms"])
    trials = [(arm["label"], one) for arm in found["arms"] for one in arm["trials"]]
    assert [one["arm"] for one in told] == [f"{label} · {one['id']}" for label, one in trials]
    for said, (_, one) in zip(told, trials, strict=True):
        total = one["whole_run"]["ledgers"]["requests"]["total"]
        assert (
            said["requests"].replace("\u202f", "").startswith(f"{total} requests")
            and "a gap of" in said["time"]
        )


def test_the_card_says_question_answer_verdict_hosts_and_commit(
    run: RunFolder, found: dict[str, Any]
) -> None:
    picture, text = share.write(run)
    data = picture.read_bytes()
    assert data.startswith(b"\x89PNG") and struct.unpack(">II", data[16:24]) == (1200, 630)
    assert len(data) <= 100_000
    (lead,) = answer.leads(found)
    drawn = share.card(found, [share.about.run(run)])
    shown = " ".join(part.strip() for part in ElementTree.fromstring(drawn).itertext() if part.strip())
    for wanted in (
        lead["ratio"],
        lead["what"],
        lead["interval"],
        found["verdict"],
        "0123456789ab",
        run.id,
        "5 hosts (2 app, 1 proxy, 2 load;",
    ):
        assert wanted in shown, shown
    assert " ".join(share.lines(found["question"], 44, share.INNER, 9)) in shown
    for wanted in (
        lead["ratio"].replace("\u202f", " "),
        found["question"],
        found["verdict"],
        "0123456789ab",
        run.id,
    ):
        assert wanted in text.replace("\\", "")
    assert (run.path / "share.md").read_text() == text


@pytest.mark.parametrize(("steal", "told"), [("2 %", False), ("8 %", True)])
def test_what_was_tolerated_stands_beside_the_verdict(
    run: RunFolder, found: dict[str, Any], steal: str, told: bool
) -> None:
    for arm in found["arms"]:
        arm["setup"]["steal tolerated"] = steal
    runs, words = [share.about.run(run)], f"{steal} stolen CPU tolerated"
    assert (f"VALID; {words}." in share.paragraph(found, runs)) == told
    assert (f'y="75" font-size="21" fill="#5c6675">{words}<' in share.card(found, runs)) == told
    broken = {"name": "quiet_hosts", "verdict": "INVALID", "withholds": "trial", "said": "app1 " * 60}
    drawn = ElementTree.fromstring(share.card(found | {"verdict": "INVALID", "checks": [broken]}, runs))
    (beside,) = [one for one in drawn.iter() if (one.get("x"), one.get("y")) == (str(share.BESIDE), "75")]
    line = beside.text or ""
    assert line.startswith(f"{words} · quiet" if told else "quiet") and line.endswith("…")
    assert share.BESIDE + share.width(line, 21) <= share.WIDTH - share.MARGIN


def test_nothing_of_a_run_is_markup_in_its_card(run: RunFolder, found: dict[str, Any]) -> None:
    known = json.loads(json.dumps(found).replace("servers=2", json.dumps(EVIL)[1:-1]))
    known |= {"question": EVIL, "run": EVIL}
    about = share.about.run(run) | {"commit": EVIL, "hosts": [(EVIL, EVIL, EVIL, EVIL, EVIL, "2")]}
    drawn = share.card(known, [about])
    calm = share.card(found, [share.about.run(run)])
    kinds = [{element.tag for element in ElementTree.fromstring(text).iter()} for text in (drawn, calm)]
    assert kinds[0] <= kinds[1] and not re.search("[\x00-\x08\x0b-\x1f\u202e]", drawn)
    assert share.png.png(drawn, 1.0).startswith(b"\x89PNG")
    text = share.paragraph(known, [about])
    assert not re.search(r"(?<!\\)(<|\[x|`z)", text.partition("![")[0].replace("run `", "")), text
    assert "\x1b" not in text and html.unescape(text)


@pytest.mark.parametrize(
    ("text", "most", "expected"),
    [
        ("", 2, []),
        ("aa bb", 2, ["aa bb"]),
        ("aaaa bbbb cccc", 3, ["aaaa bbbb", "cccc"]),
        ("aaaa bbbb cccc dddd eeee", 2, ["aaaa bbbb", "cccc…"]),
        ("aaaaaaaaaaaaaaaaaaaaaaaa", 2, ["aaaaaaaa…"]),
    ],
)
def test_lines_fit_their_room(text: str, most: int, expected: list[str]) -> None:
    """Room for 9 letters."""
    room = share.LETTER * 9.7 / 100
    found = share.lines(text, 10, room, most)
    assert len(found) <= most and all(share.width(one, 10) <= room for one in found)
    assert [one.rstrip("…") for one in found[:1]] == [one.rstrip("…") for one in expected[:1]]
    assert bool(found and found[-1].endswith("…")) == bool(expected and expected[-1].endswith("…"))


def test_a_run_that_was_not_analysed_has_no_card(tmp_path: Path) -> None:
    folder = blocks.run(tmp_path, 1)
    for text, said in (
        (None, "not analysed yet"),
        ('{"format": 1, "run": "a", "arms": []}', "an earlier loadproof"),
    ):
        if text is not None:
            folder.results.write_text(text)
        with pytest.raises(RecordUnreadable) as caught:
            share.write(folder)
        assert said in caught.value.what and caught.value.next == f"inv report --run {folder.id}"


def test_a_packed_picture_is_the_same_picture(run: RunFolder, found: dict[str, Any]) -> None:
    plain = share.png.png(share.card(found, [share.about.run(run)]), 1.0)
    packed = share.png.packed(plain)
    assert len(packed) < len(plain)
    assert pixels(packed) == pixels(plain) and packed[:33] == plain[:33] and packed.endswith(plain[-12:])


def pixels(png: bytes) -> bytes:
    """The filtered rows of a PNG, checksums held."""
    at, found = 8, b""
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind_and_body = png[at + 4 : at + 8 + length]
        assert struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0] == zlib.crc32(kind_and_body)
        found += kind_and_body[4:] if kind_and_body[:4] == b"IDAT" else b""
        at += 12 + length
    return zlib.decompress(found)
