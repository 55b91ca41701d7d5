"""nginx's access log, in both formats: every line is a row or counted."""

from __future__ import annotations

import json
import random
import re

import pytest

from analysis.readers import accesslog, lines, proxy
from loadproof.runfolder import formats
from loadproof.runfolder.paths import TrialPaths
from tests.analysis import synthetic
from tests.analysis.small import CLOCKS, SEALS, as_objects


def test_tab_separated_lines_cut_at_every_byte(small: TrialPaths) -> None:
    """A last line without its line end may lack any part of its last field: it is never a row."""
    path = small.raw("proxy1") / formats.ACCESS_LOG
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        found = proxy.read(small, "proxy1", CLOCKS, SEALS)
        torn = int(size > 0 and data[size - 1 : size] != b"\n")
        assert found.table.num_rows == data[:size].count(b"\n"), size
        assert (found.malformed, found.all) == (torn, torn + found.table.num_rows), size
        assert torn == any("1 malformed line" in note for note in found.notes), size


def test_rubbish_lines_are_counted_and_shown_escaped(small: TrialPaths) -> None:
    path = small.raw("proxy1") / "access.tsv"
    good = path.read_bytes()
    line = good.split(b"\n")[0]
    rubbish = [
        b"\x00" * 100, line[:-9] + b"\xff\xfe", line.replace(b"GET", b"\x00\x00\x00"), line.replace(b"\tOK", b"\t\x1b]0;pwn\x07"),
        line + b"\t", line[:-10], line + line, line.replace(b"1795", b"x"), line.replace(b"1795000001.540", b"-"), b"   ",
        line.replace(b"GET", b"\\x0g"), line.replace(b"GET", b'"'), line.replace(b"GET", b"\x7f"), line.replace(b"GET", b"\\"),
        line.replace(b"\t120\t", b"\t-120\t"), line.replace(b"\t120\t", b"\t" + b"9" * 40 + b"\t"), b"\t" * 15,
        line.replace(b"1795000001.540", b"nan"), line.replace(b"0.500\t200", b"inf\t200"), line.replace(b"\t", b"\r"),
        line + b"\r", b"[1,2]", b"<script>alert(1)</script>", b"x" * (1 << 20), b"x\t" * (1 << 19),
    ]  # fmt: skip
    for index, one in enumerate(rubbish):  # each alone, so that none hides behind another
        path.write_bytes(good + one + b"\n" + good)
        found = proxy.read(small, "proxy1", CLOCKS, SEALS)
        assert (found.table.num_rows, found.malformed, found.all) == (6, 1, 7), index
    path.write_bytes(good + b"\n".join(rubbish) + b"\n\n\n" + good)
    found = proxy.read(small, "proxy1", CLOCKS, SEALS)
    assert (found.table.num_rows, found.malformed, found.all) == (6, len(rubbish), 6 + len(rubbish))
    (note,) = found.notes
    assert f"{len(rubbish)} malformed lines" in note and note.isascii() and note.isprintable()


@pytest.mark.parametrize("uri", ["/items/3", "/a,b"])
@pytest.mark.parametrize(
    ("name", "most"), [("msec", 12), ("request_time", 12), *((name, 9) for name in accesslog.TIMES)]
)
def test_a_number_that_rounds_out_of_its_range_is_no_line(
    small: TrialPaths, name: str, most: int, uri: str
) -> None:
    path = small.raw("proxy1") / "access.tsv"
    good = path.read_bytes()
    line = dict(zip(formats.PROXY_FIELDS, path.read_text().splitlines()[0].split("\t"), strict=True))
    for decimals, odd in ((3, 0), (9, 1)):
        number = "9" * most + "." + "9" * decimals
        path.write_bytes(good + synthetic.tabbed({**line, "uri": uri, name: number}) + good)
        found = proxy.read(small, "proxy1", CLOCKS, SEALS)
        assert (found.table.num_rows, found.malformed, found.all) == (7 - odd, odd, 7), decimals


def test_random_damage_of_lines_is_counted(small: TrialPaths) -> None:
    """Every line is a row or counted, and what is a row is so by itself as well as among others."""
    chance = random.Random(7)
    path = small.raw("proxy1") / "access.tsv"
    good = path.read_bytes() * 3
    for _ in range(300):
        data = bytearray(good)
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(len(data))] = chance.choice(b'\t\n\r\x00"\\-x0 .,9\xff\x7f\x1f')
        path.write_bytes(data)
        found = proxy.read(small, "proxy1", CLOCKS, SEALS)
        *whole, torn = bytes(data).split(b"\n")
        matched = [line for line in whole if accesslog.LINE.fullmatch(line)]
        assert found.table.num_rows == len(matched), bytes(data)
        assert found.all == sum(map(bool, whole)) + bool(torn) == len(matched) + found.malformed


def test_rubbish_objects_are_counted_and_shown_escaped(former: TrialPaths) -> None:
    path = former.raw("proxy1") / "access.jsonl"
    good = path.read_bytes()
    rubbish = [
        b"\x00" * 100, b'{"id":"\xff\xfe', b'{"id": "a", "msec": "x"}', b"[1,2]", b'"text"', b"\x1b]0;pwn\x07",
        b'{"a":' * 5000, good.split(b"\n")[0] + good.split(b"\n")[1], b"x" * (1 << 20),
    ]  # fmt: skip
    path.write_bytes(good + b"\n".join(rubbish) + b"\n\n\n" + good)
    found = proxy.read(former, "proxy1", CLOCKS, SEALS)
    assert (found.table.num_rows, found.malformed, found.all) == (6, len(rubbish), 6 + len(rubbish))
    (note,) = found.notes
    assert f"{len(rubbish)} malformed lines" in note and note.isascii() and note.isprintable()


@pytest.mark.parametrize("number", ["1e300", "1e12"])
def test_a_number_in_an_object_that_is_out_of_range_is_counted(former: TrialPaths, number: str) -> None:
    """Also where the lines could be read at once: whole numbers as nginx wrote them."""
    path = former.raw("proxy1") / "access.jsonl"
    good = re.sub(rb'("(?:connection|port|bytes)": \d+)\.0', rb"\1", path.read_bytes())
    path.write_bytes(good.replace(b'"msec": 1795000001.54', f'"msec": {number}'.encode(), 1))
    found = proxy.read(former, "proxy1", CLOCKS, SEALS)
    assert (found.table.num_rows, found.malformed, found.all) == (2, 1, 3)


def test_text_that_is_not_utf8_stays_a_row(small: TrialPaths) -> None:
    path = small.raw("proxy1") / "access.tsv"
    line = path.read_bytes().split(b"\n")[0]
    path.write_bytes(line.replace(b"/items/3", rb"/\xFF\xE2\x22\xC3\xA9\x5C\x1B\x00") + b"\n")
    found = proxy.read(small, "proxy1", CLOCKS, SEALS)
    assert found.notes == () and found.table["uri"].to_pylist() == ['/\\xff\\xe2"é\\\x1b\x00']


def test_text_in_objects_that_is_not_utf8_stays_a_row(former: TrialPaths) -> None:
    path = former.raw("proxy1") / "access.jsonl"
    line = path.read_bytes().split(b"\n")[0]
    path.write_bytes(line.replace(b"/items/3", b"/\xff\xe2") + b"\n")
    found = proxy.read(former, "proxy1", CLOCKS, SEALS)
    assert found.notes == () and found.table["uri"].to_pylist() == ["/\\xff\\xe2"]


def test_both_formats_give_the_same_table(former: TrialPaths) -> None:
    path = former.raw("proxy1") / "access.jsonl"
    objects = proxy.read(former, "proxy1", CLOCKS, SEALS).table
    lines_of = [tuple(json.loads(line).values()) for line in path.read_bytes().splitlines()]
    changed = [[f"{one:.3f}" if isinstance(one, float) and index in (4, 5) else str(int(one) if isinstance(one, float) else one) for index, one in enumerate(line)] for line in lines_of]  # fmt: skip
    path.with_name("access.tsv").write_text("".join("\t".join(line) + "\n" for line in changed))
    table = proxy.read(former, "proxy1", CLOCKS, SEALS).table
    assert table.to_pylist() == objects.to_pylist() and table.num_rows == 3


def test_times_are_read_the_same_beside_a_line_with_commas(small: TrialPaths) -> None:
    """Where no line has a comma times are read as numbers at once, else each text by itself."""
    path = small.raw("proxy1") / "access.tsv"
    line = dict(zip(formats.PROXY_FIELDS, path.read_text().splitlines()[0].split("\t"), strict=True))
    cases = [
        {"upstream_connect_time": "0.001", "upstream_header_time": "12.250", "upstream_response_time": "123456.789"},
        {"upstream_connect_time": "-", "upstream_header_time": "-", "upstream_response_time": "0.000"},
        {"upstream_connect_time": "", "upstream_header_time": "", "upstream_response_time": ""},
    ]  # fmt: skip
    data = b"".join(synthetic.tabbed({**line, **case}) for case in cases)
    path.write_bytes(data)
    alone = proxy.read(small, "proxy1", CLOCKS, SEALS).table
    path.write_bytes(data + synthetic.tabbed({**line, "uri": "/a,b"}))
    beside = proxy.read(small, "proxy1", CLOCKS, SEALS).table
    assert alone.to_pylist() == beside.slice(0, 3).to_pylist() and beside["uri"].to_pylist()[3] == "/a,b"
    assert alone["server_connect_us"].to_pylist() == [1_000, None, None]
    assert alone["server_header_us"].to_pylist() == [12_250_000, None, None]
    assert alone["server_response_us"].to_pylist() == [123_456_789_000, 0, None]
    assert alone["upstream_header_time"].null_count == 3


@pytest.mark.parametrize("name", ["access.tsv", "access.jsonl"])
def test_several_upstreams_and_none(small: TrialPaths, name: str) -> None:
    path = small.raw("proxy1") / "access.tsv"
    line = dict(zip(formats.PROXY_FIELDS, path.read_text().splitlines()[0].split("\t"), strict=True))
    none = "-" if name == "access.tsv" else ""
    cases = [
        {"upstream_addr": "198.18.0.11:8000, 198.18.0.12:8000", "upstream_status": "502, 200", "upstream_response_time": "0.001, 0.250"},
        {"upstream_addr": "-", "upstream_status": "-", "upstream_response_time": "-"},
        {"upstream_addr": none, "upstream_status": none, "upstream_response_time": none, "id": none, "status": "499", "request_time": "-"},
    ]  # fmt: skip
    tabbed = [synthetic.tabbed({**line, **case}) for case in cases]
    data = (
        tabbed
        if name == "access.tsv"
        else [as_objects(one[:-1], **case) for one, case in zip(tabbed, cases, strict=True)]
    )
    path.unlink()
    path.with_name(name).write_bytes(b"".join(data))
    table = proxy.read(small, "proxy1", CLOCKS, SEALS).table
    assert table["server"].to_pylist() == ["198.18.0.12:8000", None, None]
    assert table["server_status"].to_pylist() == [200, None, None]
    assert table["server_response_us"].to_pylist() == [250_000, None, None]
    assert table["request_time_us"].to_pylist() == [500_000, 500_000, None]
    assert table["id"].to_pylist()[2] == 0 and table["status"].to_pylist() == [200, 200, 499]


@pytest.mark.parametrize("name", ["access.tsv", "access.jsonl"])
def test_forged_ids_are_none(small: TrialPaths, name: str) -> None:
    """What is not 16 lower-case hex digits is no id of ours; a row it stays."""
    path = small.raw("proxy1") / "access.tsv"
    line = path.read_bytes().splitlines()[0]
    forged = [b"", b"-", b"1", b"0001000000000003x", b"000100000000000G", b"000100000000000A", b"+001000000000003", b"0" * 5000,
              b"0001000000000007"]  # fmt: skip
    tabbed = [line.replace(line.split(b"\t")[0], one, 1) + b"\n" for one in forged]
    path.unlink()
    path.with_name(name).write_bytes(
        b"".join(tabbed if name == "access.tsv" else [as_objects(one[:-1]) for one in tabbed])
    )
    found = proxy.read(small, "proxy1", CLOCKS, SEALS)
    assert found.table["id"].to_pylist() == [0] * 8 + [(1 << 48) + 7] and found.notes == ()


@pytest.mark.parametrize("name", ["access.tsv", "access.jsonl"])
def test_pieces_are_the_same_wherever_they_are_cut(
    small: TrialPaths, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = small.raw("proxy1") / "access.tsv"
    if name == "access.jsonl":
        path.with_name(name).write_bytes(b"".join(map(as_objects, path.read_bytes().splitlines())))
        path.unlink()
    whole = proxy.read(small, "proxy1", CLOCKS, SEALS).table
    for piece in (1, 7, 100, 131, 132, 133, 399, 400, 401):
        monkeypatch.setattr(lines, "PIECE", piece)
        assert proxy.read(small, "proxy1", CLOCKS, SEALS).table.equals(whole)
    monkeypatch.setattr(lines, "PIECE", 7)
    monkeypatch.setattr(lines, "LONGEST", 50)
    found = proxy.read(small, "proxy1", CLOCKS, SEALS)
    assert (found.table.num_rows, found.malformed, found.all) == (0, 3, 3)
    assert "3 malformed lines" in found.notes[0]
