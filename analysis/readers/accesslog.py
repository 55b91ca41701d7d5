"""Lines of nginx's access log to a raw table: access.tsv, and access.jsonl of runs made before."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import csv
from pyarrow import json as arrow_json

from analysis.readers import lines
from loadproof.runfolder.formats import PROXY_FIELDS

NUMBERS = {"connection": pa.int64(), "port": pa.int64(), "msec": pa.float64(), "request_time": pa.float64(),
           "bytes": pa.int64()}  # fmt: skip
MOST = 2**53  # a larger number is none that nginx prints
WORDS = pa.dictionary(pa.int32(), pa.binary())

# What nginx may print, with escape=default: bytes 32 to 126 without quote and backslash, and \xXX for all others.
_WORD = rb"(?:[ !#-\[\]-~]|\\x[0-9A-F]{2})*"
_WHOLE, _SECONDS = rb"(?:\d{1,15}|-|)", rb"(?:\d{1,15}(?:\.\d{1,9})?|-|)"
_KINDS = {"msec": rb"\d{1,15}(?:\.\d{1,9})?", "request_time": _SECONDS}
_KINDS |= dict.fromkeys(("connection", "port", "bytes"), _WHOLE)
LINE = re.compile(rb"\t".join(_KINDS.get(name, _WORD) for name in PROXY_FIELDS))
_ESCAPED = re.compile(rb"\\x([0-9A-F]{2})")
_CONVERT = csv.ConvertOptions(
    column_types={name: NUMBERS.get(name, pa.binary() if name == "id" else WORDS) for name in PROXY_FIELDS},
    null_values=["-", ""], strings_can_be_null=False, check_utf8=False,
)  # fmt: skip
_PARSE = csv.ParseOptions(delimiter="\t", quote_char=False, escape_char=False, newlines_in_values=False)


def tabbed(piece: bytes, malformed: lines.Malformed) -> tuple[Any, int]:
    """A raw table of a piece of access.tsv, texts as bytes that are still escaped, and how many lines it had. All of it
    at once when nothing is odd, else what is left when each line was held against LINE."""
    whole = piece[: piece.rfind(b"\n") + 1]
    if torn := piece[len(whole) :]:  # a last line without its end may lack any part of its last field
        malformed.add(torn)
    odd = whole.startswith(b"\n") or b"\n\n" in whole
    count = whole.count(b"\n")
    table = None if odd else _at_once(whole, count)
    if table is None:
        found = [line for line in whole.split(b"\n") if line]
        good = []
        for line in found:
            if LINE.fullmatch(line):
                good.append(line)
            else:
                malformed.add(line)
        count = len(found)
        table = _at_once(b"\n".join((*good, b"")), len(good))
        assert table is not None  # LINE takes nothing else
    return table, count + bool(torn)


def _at_once(piece: bytes, count: int) -> Any:
    """The lines of a piece that has nothing but good ones; None when it has others."""
    if not count:
        return pa.table({name: pa.array([], kind) for name, kind in _CONVERT.column_types.items()})
    low = np.frombuffer(piece, np.uint8) - np.uint8(32)  # 32 to 126 are 0 to 94; all others lie above
    if np.count_nonzero(low > 94) != count * len(PROXY_FIELDS) or b'"' in piece:
        return None
    if b"\\" in piece and piece.count(b"\\") != len(_ESCAPED.findall(piece)):
        return None
    options = csv.ReadOptions(use_threads=False, block_size=len(piece) + 1, column_names=list(PROXY_FIELDS))
    try:
        table = csv.read_csv(io.BytesIO(piece), options, _PARSE, _CONVERT)
    except (pa.ArrowException, ValueError):
        return None
    if table.num_rows != count or table["msec"].null_count:
        return None
    for name in NUMBERS:
        values = table[name].fill_null(0).to_numpy()
        if not ((values >= 0) & (values < MOST)).all():  # not a number: neither
            return None
    return table


def text(escaped: bytes) -> str:
    """What nginx escaped, as text; bytes that are no UTF-8 stay escapes."""
    plain = _ESCAPED.sub(lambda found: bytes([int(found[1], 16)]), escaped) if b"\\" in escaped else escaped
    return lines.spelled(plain.decode("utf-8", "surrogateescape"))


OBJECTS = pa.schema([(name, NUMBERS.get(name, pa.string())) for name in PROXY_FIELDS])


def objects(piece: bytes, malformed: lines.Malformed) -> tuple[Any, int]:
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
        if table.num_rows == len(found):
            table.validate(full=True)  # text that is not UTF-8 goes line by line
            return table.select(OBJECTS.names), len(found)
    except (pa.ArrowException, ValueError, KeyError, OSError):
        pass
    return _line_by_line(found, malformed), len(found)


def _line_by_line(found: Iterable[bytes], malformed: lines.Malformed) -> Any:
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
    kind = NUMBERS.get(name)
    if value is None or (kind is not None and value in ("", "-")):
        return None
    if kind is None:
        text = value if isinstance(value, str) else json.dumps(value)
        return lines.spelled(text)
    number = float(value)
    if not -MOST < number < MOST:
        raise ValueError(name)
    return number if kind == pa.float64() else int(number)
