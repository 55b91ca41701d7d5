"""Lines of nginx's access log to a raw table: access.tsv, and access.jsonl of runs made before."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute, csv
from pyarrow import json as arrow_json

from analysis.readers import lines
from loadproof.runfolder.formats import PROXY_FIELDS

NUMBERS = {"connection": pa.int64(), "port": pa.int64(), "msec": pa.float64(), "request_time": pa.float64(),
           "status": pa.int64(), "bytes": pa.int64()}  # fmt: skip
TIMES = ("upstream_connect_time", "upstream_header_time", "upstream_response_time")
MOST = 10**12  # a larger number is none that nginx prints
LESS = {"status": 1000} | dict.fromkeys(TIMES, 10**9)  # where it prints less
CACHED = 1 << 18  # bytes looked at together, so that what is made of them stays in the processor's cache
WORDS = pa.dictionary(pa.int32(), pa.binary())

# What nginx may print, with escape=default: bytes 32 to 126 without quote and backslash, and \xXX for all others.
_WORD = rb"(?:[ !#-\[\]-~]|\\x[0-9A-F]{2})*"


def _seconds(digits: int) -> str:
    """Seconds of so many digits before the point at most. With all of them only nginx's milliseconds may follow: a number
    with more nines would be rounded up, to one that is out of range."""
    return rf"(?:\d{{1,{digits - 1}}}(?:\.\d{{1,9}})?|\d{{{digits}}}(?:\.\d{{1,3}})?)"


_WHOLE, _SECONDS = rb"(?:\d{1,12}|-|)", _seconds(12).encode()
_KINDS = {"msec": _SECONDS, "request_time": rb"(?:" + _SECONDS + rb"|-|)", "status": rb"(?:\d{1,3}|-|)"}
_KINDS |= dict.fromkeys(("connection", "port", "bytes"), _WHOLE)
# of each attempt one, as nginx lists them
_LISTS = {"upstream_status": r"\d{1,3}"}
_LISTS |= dict.fromkeys(TIMES, _seconds(9))
_LISTS = {name: rf"(?:(?:{one}|-)(?:(?:, | : )(?:{one}|-))*|)" for name, one in _LISTS.items()}
_KINDS |= {name: listed.encode() for name, listed in _LISTS.items()}
LINE = re.compile(rb"\t".join(_KINDS.get(name, _WORD) for name in PROXY_FIELDS))
_ESCAPED = re.compile(rb"\\x([0-9A-F]{2})")
_TYPES = {name: NUMBERS.get(name, pa.binary() if name == "id" else WORDS) for name in PROXY_FIELDS}
_SEVERAL, _SINGLE = (
    csv.ConvertOptions(column_types=types, null_values=["-", ""], strings_can_be_null=False, check_utf8=False)
    for types in (_TYPES, _TYPES | dict.fromkeys(TIMES, pa.float64()))
)
_PARSE = csv.ParseOptions(delimiter="\t", quote_char=False, escape_char=False, newlines_in_values=False)


def tabbed(piece: lines.Bytes, malformed: lines.Malformed) -> tuple[Any, int]:
    """A raw table of a piece of access.tsv, texts as bytes that are still escaped, and how many lines it had. All of it
    at once when nothing is odd, else what is left when each line was held against LINE. Times of attempts are numbers
    where no request had several, else texts."""
    torn: lines.Bytes = b""
    if not piece.endswith(b"\n"):  # a last line without its end may lack any part of its last field
        end = piece.rfind(b"\n") + 1
        piece, torn = piece[:end], piece[end:]
        malformed.add(torn)
    table = _at_once(piece)
    if table is not None:
        return table, table.num_rows + bool(torn)
    found = [line for line in piece.split(b"\n") if line]
    good = []
    for line in found:
        if LINE.fullmatch(line):
            good.append(line)
        else:
            malformed.add(line)
    table = _at_once(b"\n".join((*good, b"")))
    assert table is not None  # LINE takes nothing else
    return table, len(found) + bool(torn)


def _at_once(piece: lines.Bytes) -> Any:
    """The lines of a piece that has nothing but good ones; None when it has others."""
    if not piece:
        return pa.table({name: pa.array([], kind) for name, kind in _TYPES.items()})
    if not _escaped(piece):
        return None
    # a comma stands between the times of several attempts, or in a uri
    table = None if b"," in piece else _read(piece, _SINGLE)
    table = _read(piece, _SEVERAL) if table is None else table
    if table is None:
        return None
    # each row has its tabs and one line end, or there would be none: what is more is an empty line, or no byte of nginx's
    if _low(piece) != table.num_rows * len(PROXY_FIELDS) or table["msec"].null_count:
        return None
    good = all(
        _all_match(table[name], _LISTS[name])
        if pa.types.is_dictionary(table[name].type)
        else _in_range(table[name], LESS.get(name, MOST))
        for name in (*NUMBERS, *_LISTS)
    )
    return table if good else None


def _read(piece: lines.Bytes, converting: Any) -> Any:
    """Lines as a table; None where a value is not of its column's type, or a line has not all fields."""
    options = csv.ReadOptions(use_threads=False, block_size=len(piece) + 1, column_names=list(PROXY_FIELDS))
    try:
        return csv.read_csv(pa.BufferReader(piece), options, _PARSE, converting)
    except (pa.ArrowException, ValueError):
        return None


def _in_range(column: Any, above: int) -> bool:
    """Whether all numbers of a column are from 0 to below `above`; what is not a number is neither."""
    if pa.types.is_floating(column.type) and compute.any(compute.is_nan(column)).as_py():
        return False
    found = compute.min_max(column)
    lowest, highest = found["min"].as_py(), found["max"].as_py()
    return lowest is None or bool(lowest >= 0 and highest < above)


def _all_match(column: Any, pattern: str) -> bool:
    """Whether every text of a column of bytes matches; each distinct one is looked at once a chunk."""
    found = (compute.match_substring_regex(one.dictionary, f"^{pattern}$") for one in column.chunks)
    return all(compute.all(one, min_count=0).as_py() for one in found)


def _low(piece: lines.Bytes) -> int:
    """How many bytes of a piece are below 32, or above 127: nginx has tabs and line ends of these."""
    data = np.frombuffer(piece, np.int8)  # signed: bytes above 127 are below 0
    return sum(
        int(np.count_nonzero(data[begin : begin + CACHED] < 32)) for begin in range(0, len(data), CACHED)
    )


def _escaped(piece: lines.Bytes) -> bool:
    """Whether a piece has none of the bytes above 31 that nginx would have escaped, and no carriage return, which would
    be taken for a line end."""
    if b"\r" in piece or b'"' in piece or b"\x7f" in piece:
        return False
    return b"\\" not in piece or piece.count(b"\\") == len(_ESCAPED.findall(piece))


def text(escaped: bytes) -> str:
    """What nginx escaped, as text; bytes that are no UTF-8 stay escapes."""
    plain = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), escaped) if b"\\" in escaped else escaped
    return lines.spelled(plain.decode("utf-8", "surrogateescape"))


def texts(escaped: Any) -> Any:
    """The same for an array of bytes. They are ASCII: a line with other bytes is none of nginx's."""
    if compute.any(compute.match_substring(escaped, b"\\")).as_py():
        return pa.array([text(one) for one in escaped.to_pylist()], pa.string())
    return escaped.cast(pa.string())


# $status may be 000, which is no JSON: it came as text
OBJECTS = pa.schema(
    [(name, pa.string() if name == "status" else NUMBERS.get(name, pa.string())) for name in PROXY_FIELDS]
)
NUMERIC = tuple(name for name in NUMBERS if name != "status")


def objects(piece: lines.Bytes, malformed: lines.Malformed) -> tuple[Any, int]:
    """A raw table of a piece of access.jsonl, and how many lines it had: all at once when every line is good, else line
    by line."""
    found = lines.split(piece)
    if not found:
        return OBJECTS.empty_table(), 0
    options = arrow_json.ParseOptions(explicit_schema=OBJECTS, unexpected_field_behavior="ignore")
    try:
        table = arrow_json.read_json(
            io.BytesIO(piece), arrow_json.ReadOptions(use_threads=False, block_size=len(piece) + 1), options
        )
        # a number that is out of range goes line by line, as does text that is not UTF-8
        if table.num_rows == len(found) and all(_in_range(table[name], MOST) for name in NUMERIC):
            table.validate(full=True)
            return table.select(OBJECTS.names), len(found)
    except (pa.ArrowException, ValueError, KeyError, OSError):
        pass
    return _line_by_line(found, malformed), len(found)


def _line_by_line(found: Iterable[lines.Bytes], malformed: lines.Malformed) -> Any:
    rows: dict[str, list[Any]] = {name: [] for name in PROXY_FIELDS}
    for line in found:
        try:
            value = json.loads(line.decode("utf-8", "surrogateescape"), strict=False)
            row = [_value(name, value.get(name)) for name in PROXY_FIELDS]
        except (ValueError, AttributeError, TypeError, OverflowError, RecursionError):
            malformed.add(line)
            continue
        for name, one in zip(PROXY_FIELDS, row, strict=True):
            rows[name].append(one)
    return pa.Table.from_pydict(rows, schema=OBJECTS)


def _value(name: str, value: Any) -> Any:
    """A field in its type; numbers may come as text. Raises ValueError or TypeError for what is not one."""
    kind = NUMBERS.get(name) if name != "status" else None
    if value is None or (kind is not None and value in ("", "-")):
        return None
    if kind is None:
        text = value if isinstance(value, str) else json.dumps(value)
        return lines.spelled(text)
    number = float(value)
    if not -MOST < number < MOST:
        raise ValueError(name)
    return number if kind == pa.float64() else int(number)
