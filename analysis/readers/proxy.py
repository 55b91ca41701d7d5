"""access.jsonl of the proxy host: one row per request that nginx finished."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute
from pyarrow import json as arrow_json

from analysis.readers import lines
from analysis.readers.client import TEXT
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Outcome
from analysis.readers.sealed import Seals
from loadproof.runfolder.formats import PROXY_FIELDS
from loadproof.runfolder.paths import TrialPaths

NUMBERS = {"connection": pa.int64(), "port": pa.int64(), "msec": pa.float64(), "request_time": pa.float64(),
           "bytes": pa.int64()}  # fmt: skip
RAW = pa.schema([(name, NUMBERS.get(name, pa.string())) for name in PROXY_FIELDS])
TIMES = ("upstream_connect_time", "upstream_header_time", "upstream_response_time")
SCHEMA = pa.schema(
    [
        ("id", pa.uint64()), ("connection", pa.int64()), ("port", pa.int64()), ("peer", TEXT),
        ("done_us", pa.int64()), ("request_time_us", pa.int64()), ("status", pa.int64()), ("completion", TEXT),
        ("bytes", pa.int64()), ("method", TEXT), ("uri", TEXT), ("upstream_addr", TEXT),
        ("upstream_status", TEXT), *((name, TEXT) for name in TIMES),
        ("server", TEXT), ("server_status", pa.int64()),
        *((name.replace("upstream", "server").replace("time", "us"), pa.int64()) for name in TIMES),
    ]
)  # fmt: skip
ATTEMPTS = re.compile(r"\s*,\s*|\s+:\s+")  # nginx: "a, b" tries in a group, "a : b" groups after a redirect


def read(paths: TrialPaths, proxy: str, clocks: Clocks, seals: Seals) -> Outcome:
    """All lines that can be read. `upstream_*` as nginx wrote them; `server*` is the last attempt, in µs where it is a
    time. An id that is none is 0. Present: the host, when its file is there and the one that was sealed."""
    path = paths.raw(proxy) / "access.jsonl"
    malformed = lines.Malformed()
    tables = []
    try:
        for piece in lines.pieces(path, malformed):
            tables.append(_derived(_piece(piece, malformed), clocks.of(proxy)))
    except OSError as error:
        why = f"{proxy}: access.jsonl: {error.strerror}; what nginx saw is unknown"
        return Outcome(SCHEMA.empty_table(), (), (why,))
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks() if tables else SCHEMA.empty_table()
    notes = malformed.note(f"{proxy}: access.jsonl")
    if seals.of(proxy).doubts(path.name):
        return Outcome(
            table, (), (*notes, f"{proxy}: access.jsonl is not whole; what nginx saw is not all known")
        )
    return Outcome(table, (proxy,), notes)


def _piece(piece: bytes, malformed: lines.Malformed) -> Any:
    """Rows of one piece: all at once when every line of it is good, else line by line."""
    found = lines.split(piece)
    if not found:
        return RAW.empty_table()
    options = arrow_json.ParseOptions(explicit_schema=RAW, unexpected_field_behavior="ignore")
    try:
        table = arrow_json.read_json(
            io.BytesIO(piece), arrow_json.ReadOptions(use_threads=False, block_size=len(piece) + 1), options
        )
        if table.num_rows == len(found):
            table.validate(full=True)  # text that is not UTF-8 goes line by line
            return table.select(RAW.names)
    except (pa.ArrowException, ValueError, KeyError, OSError):
        pass
    return _line_by_line(found, malformed)


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
    return pa.Table.from_pydict(rows, schema=RAW)


def _value(name: str, value: Any) -> Any:
    """A field in its type; numbers may come as text. Raises ValueError or TypeError for what is not one."""
    kind = NUMBERS.get(name)
    if value is None or (kind is not None and value in ("", "-")):
        return None
    if kind is None:
        text = value if isinstance(value, str) else json.dumps(value)
        return lines.spelled(text)
    number = float(value)
    if not -(2**53) < number < 2**53:
        raise ValueError(name)
    return number if kind == pa.float64() else int(number)


def _derived(raw: Any, offset: int) -> Any:
    def last(name: str, kind: Any, made: Callable[[str], Any]) -> Any:
        """The last attempt of an upstream field: each distinct text is taken apart once."""
        return each(raw[name], kind, lambda text: made(ATTEMPTS.split(text)[-1]))

    columns = {
        **{
            name: _encoded(raw[name]) if name not in NUMBERS else raw[name]
            for name in PROXY_FIELDS
            if name in SCHEMA.names
        },
        "id": _ids(raw["id"]),
        "done_us": compute.subtract(_micros_of(raw["msec"]), offset),
        "request_time_us": _micros_of(raw["request_time"]),
        "status": each(raw["status"], pa.int64(), _whole),
        "server": _encoded(
            last("upstream_addr", pa.string(), lambda text: None if text in ("", "-") else text)
        ),
        "server_status": last("upstream_status", pa.int64(), _whole),
        **{
            name.replace("upstream", "server").replace("time", "us"): last(name, pa.int64(), _micros)
            for name in TIMES
        },
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def each(column: Any, kind: Any, made: Callable[[str], Any]) -> Any:
    """`made` of every text of a column, computed once per distinct text; null stays null."""
    coded = _encoded(column)
    values = pa.array([made(text) for text in coded.dictionary.to_pylist()], kind)
    return values.take(coded.indices)


def _encoded(column: Any) -> Any:
    """A column as one dictionary array."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return whole.dictionary_encode() if len(whole) else pa.array([], TEXT)


def _ids(column: Any) -> Any:
    """Ids as numbers; what is not 16 lower-case hex digits is 0."""
    good = compute.match_substring_regex(column, "^[0-9a-f]{16}$").fill_null(False).to_numpy()
    ids = np.zeros(len(good), np.uint64)
    ids[good] = np.frombuffer(bytes.fromhex("".join(column.filter(pa.array(good)).to_pylist())), ">u8")
    return pa.array(ids)


def _micros_of(values: Any) -> Any:
    return compute.cast(compute.round(compute.multiply(values, 1e6)), pa.int64(), safe=False)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _micros(text: str) -> int | None:
    return round(float(text) * 1e6) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else None
