"""access.jsonl of the proxy host: one row per request that nginx finished."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute
from pyarrow import json as arrow_json

from analysis.readers import lines
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Outcome
from loadproof.runfolder.formats import PROXY_FIELDS
from loadproof.runfolder.paths import TrialPaths

NUMBERS = {"connection": pa.int64(), "port": pa.int64(), "msec": pa.float64(), "request_time": pa.float64(),
           "bytes": pa.int64()}  # fmt: skip
RAW = pa.schema([(name, NUMBERS.get(name, pa.string())) for name in PROXY_FIELDS])
TIMES = ("upstream_connect_time", "upstream_header_time", "upstream_response_time")
SCHEMA = pa.schema(
    [
        ("id", pa.uint64()), ("connection", pa.int64()), ("port", pa.int64()), ("peer", pa.string()),
        ("done_us", pa.int64()), ("request_time_us", pa.int64()), ("status", pa.int64()), ("completion", pa.string()),
        ("bytes", pa.int64()), ("method", pa.string()), ("uri", pa.string()), ("upstream_addr", pa.string()),
        ("upstream_status", pa.string()), *((name, pa.string()) for name in TIMES),
        ("server", pa.string()), ("server_status", pa.int64()),
        *((name.replace("upstream", "server").replace("time", "us"), pa.int64()) for name in TIMES),
    ]
)  # fmt: skip
ID = re.compile(r"[0-9a-f]{16}")
SURROGATES = re.compile("[\ud800-\udfff]")
ATTEMPTS = re.compile(r"\s*,\s*|\s+:\s+")  # nginx: "a, b" tries in a group, "a : b" groups after a redirect


def read(paths: TrialPaths, proxy: str, clocks: Clocks) -> Outcome:
    """All lines that can be read. `upstream_*` as nginx wrote them; `server*` is the last attempt, in µs where it is a
    time. An id that is none is 0. Present: the host, when its file is there."""
    path = paths.raw(proxy) / "access.jsonl"
    malformed = lines.Malformed()
    tables = []
    try:
        for piece in lines.pieces(path, malformed):
            tables.append(_derived(_piece(piece, malformed), clocks.of(proxy)))
    except OSError as error:
        why = f"{proxy}: access.jsonl: {error.strerror}; what nginx saw is unknown"
        return Outcome(SCHEMA.empty_table(), (), (why,))
    table = pa.concat_tables(tables).combine_chunks() if tables else SCHEMA.empty_table()
    return Outcome(table, (proxy,), malformed.note(f"{proxy}: access.jsonl"))


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
        return SURROGATES.sub(_spelled, text)
    number = float(value)
    if not -(2**53) < number < 2**53:
        raise ValueError(name)
    return number if kind == pa.float64() else int(number)


def _spelled(found: re.Match[str]) -> str:
    """A byte that was no UTF-8, or half a pair, as an escape."""
    code = ord(found[0])
    return f"\\x{code - 0xDC00:02x}" if 0xDC80 <= code <= 0xDCFF else f"\\u{code:04x}"


def _derived(raw: Any, offset: int) -> Any:
    def last(name: str) -> list[str]:
        return [ATTEMPTS.split(text)[-1] if text and text != "-" else "" for text in raw[name].to_pylist()]

    def micros(values: Any) -> Any:
        return compute.cast(compute.round(compute.multiply(values, 1e6)), pa.int64(), safe=False)

    ids = [int(text, 16) if text and ID.fullmatch(text) else 0 for text in raw["id"].to_pylist()]
    done = compute.subtract(micros(raw["msec"]), offset)
    columns = {
        **{name: raw[name] for name in PROXY_FIELDS if name not in ("id", "msec", "request_time", "status")},
        "id": pa.array(np.array(ids, np.uint64)), "done_us": done, "request_time_us": micros(raw["request_time"]),
        "status": pa.array([_whole(text or "") for text in raw["status"].to_pylist()], pa.int64()),
        "server": pa.array([text or None for text in last("upstream_addr")], pa.string()),
        "server_status": pa.array([_whole(text) for text in last("upstream_status")], pa.int64()),
        **{
            name.replace("upstream", "server").replace("time", "us"): pa.array([_micros(text) for text in last(name)], pa.int64())
            for name in TIMES
        },
    }  # fmt: skip
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _micros(text: str) -> int | None:
    return round(float(text) * 1e6) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", text) else None
