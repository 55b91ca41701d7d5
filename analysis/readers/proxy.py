"""access.tsv of the proxy host: one row per request that nginx finished."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from analysis.beside import ahead
from analysis.readers import accesslog, lines
from analysis.readers.accesslog import NUMBERS, TIMES
from analysis.readers.client import TEXT
from analysis.readers.clock import Clocks
from analysis.readers.outcome import Add, Collected, Outcome
from analysis.readers.sealed import Seals
from loadproof.runfolder.formats import ACCESS_LOG, ACCESS_LOG_1, PROXY_FIELDS
from loadproof.runfolder.paths import TrialPaths

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
SECONDS = r"\d{1,9}(\.\d{1,9})?"
PARSERS = 2  # threads that parse a log: it takes longer than all other raw files together
WAITING = 12  # pieces that are parsed while a run of rows is written: about as many as make one
ATTEMPTS = re.compile(r"\s*,\s*|\s+:\s+")  # nginx: "a, b" tries in a group, "a : b" groups after a redirect


def read(paths: TrialPaths, proxy: str, clocks: Clocks, seals: Seals, add: Add | None = None) -> Outcome:
    """All lines that can be read, which `add` takes piece by piece (without it they are the outcome's table).
    `upstream_*` as nginx wrote them, the times of them only where there were several attempts; `server*` is the last
    attempt, in µs where it is a time. An id that is none is 0. Present: the host, when its file is there and the one that
    was sealed."""
    path = paths.raw(proxy) / ACCESS_LOG
    former = path.with_name(ACCESS_LOG_1)
    if former.exists() and not path.exists():
        path = former
    kept = Collected(SCHEMA)
    try:
        malformed, count = _lines(path, clocks.of(proxy), add or kept.tables.append)
    except OSError as error:
        why = f"{proxy}: {path.name}: {error.strerror}; what nginx saw is unknown"
        return Outcome(None if add else SCHEMA.empty_table(), (), (why,))
    notes = malformed.note(f"{proxy}: {path.name}")
    present: tuple[str, ...] = (proxy,)
    if seals.of(proxy).doubts(path.name):
        present, notes = (), (*notes, f"{proxy}: {path.name} is not whole; what nginx saw is not all known")
    return Outcome(None if add else kept.table(), present, notes, malformed=malformed.count, all=count)


def _lines(path: Path, offset: int, add: Add) -> tuple[lines.Malformed, int]:
    """Reads a log; how many lines it has. The next pieces are parsed while rows of one are taken."""
    parse = accesslog.objects if path.name == ACCESS_LOG_1 else accesslog.tabbed
    malformed = lines.Malformed()
    count = 0

    def made(piece: lines.Bytes) -> tuple[Any, int, lines.Malformed]:
        odd = lines.Malformed()
        raw, found = parse(piece, odd)
        return _derived(raw, offset), found, odd

    for table, found, odd in ahead(
        (partial(made, piece) for piece in lines.pieces(path, malformed)), PARSERS, WAITING
    ):
        malformed.join(odd)
        count += found
        add(table)
    return malformed, count + malformed.skipped


def _derived(raw: Any, offset: int) -> Any:
    numbers = [name for name in PROXY_FIELDS if pa.types.is_floating(raw[name].type)]
    spelled = {name: _spelled(raw[name]) for name in PROXY_FIELDS if name not in (*NUMBERS, *numbers, "id")}
    status = raw["status"]
    if not pa.types.is_integer(status.type):
        status = each(_encoded(status), pa.int64(), whole_number)

    def last(name: str, kind: Any, made: Callable[[str], Any]) -> Any:
        """The last attempt of an upstream field."""
        return each(spelled[name], kind, lambda text: made(ATTEMPTS.split(text)[-1]))

    columns = {
        **{
            name: spelled[name] if name in spelled else raw[name]
            for name in SCHEMA.names
            if name in raw.column_names
        },
        **{name: _several(spelled[name]) if name in spelled else _none(len(raw)) for name in TIMES},
        "id": _ids(raw["id"]),
        "done_us": _micros_of(raw["msec"], offset),
        "request_time_us": _micros_of(raw["request_time"]),
        "status": status,
        "server": last("upstream_addr", TEXT, _some),
        "server_status": last("upstream_status", pa.int64(), whole_number),
        **{
            name.replace("upstream", "server").replace("time", "us"): _last_micros(spelled[name])
            if name in spelled
            else _micros_of(raw[name])
            for name in TIMES
        },
    }
    return pa.table([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def each(coded: Any, kind: Any, made: Callable[[str], Any]) -> Any:
    """`made` of every text of a dictionary array, computed once per distinct text; null stays null."""
    values = pa.array([made(text) for text in coded.dictionary.to_pylist()], kind)
    return values.take(coded.indices)


def _several(coded: Any) -> Any:
    """A dictionary array without the texts that hold one attempt or none: the µs of that stand in a column of their own."""
    if not compute.any(compute.match_substring_regex(coded.dictionary, "[,:]")).as_py():
        return _none(len(coded))
    texts = coded.dictionary.to_pylist()
    kept = [text if len(ATTEMPTS.split(text)) > 1 else None for text in texts]
    return pa.array(kept, pa.string()).take(coded.indices).dictionary_encode()


def _none(count: int) -> Any:
    """A dictionary array without a text."""
    return pa.DictionaryArray.from_arrays(pa.nulls(count, pa.int32()), pa.array([], pa.string()))


def _last_micros(coded: Any) -> Any:
    """The time of the last attempt in µs: at once for all texts, where each is one time or none."""
    texts = coded.dictionary
    plain = compute.match_substring_regex(texts, f"^{SECONDS}$")
    none = compute.is_in(texts, pa.array(["", "-"]))
    if not compute.all(compute.or_(plain, none)).as_py():
        return each(coded, pa.int64(), lambda text: micros(ATTEMPTS.split(text)[-1]))
    seconds = compute.cast(compute.if_else(plain, texts, pa.scalar(None, pa.string())), pa.float64())
    return _micros_of(seconds).take(coded.indices)


def _spelled(column: Any) -> Any:
    """A column of texts, or of bytes that nginx escaped, as one dictionary array of texts."""
    coded = _encoded(column)
    if not pa.types.is_binary(coded.type.value_type):
        return coded
    texts = accesslog.texts(coded.dictionary)
    return pa.DictionaryArray.from_arrays(coded.indices, texts)


def _encoded(column: Any) -> Any:
    """A column as one dictionary array."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(whole, pa.ChunkedArray):  # it has no chunks at all
        return pa.array([], TEXT)
    return whole if pa.types.is_dictionary(whole.type) else whole.dictionary_encode()


NO_HEX = 256  # above every byte
# the byte that two hex digits spell, by the number that they are as text
PAIRS = np.full(1 << 16, NO_HEX, np.uint16)
PAIRS[np.frombuffer(bytes(range(256)).hex().encode(), np.uint16)] = np.arange(256)


def _ids(column: Any) -> Any:
    """Ids as numbers; what is not 16 lower-case hex digits is 0."""
    good = compute.equal(compute.binary_length(column), 16).fill_null(False)
    ids = np.zeros(len(column), np.uint64)
    texts = column.filter(good).cast(pa.binary()).combine_chunks()
    if len(texts):
        begin = int(np.frombuffer(texts.buffers()[1], np.int32)[texts.offset])
        pairs = PAIRS[np.frombuffer(texts.buffers()[2], np.uint16, 8 * len(texts), begin)].reshape(-1, 8)
        values = pairs.astype(np.uint8).view(">u8")[:, 0]
        if pairs.max() == NO_HEX:
            values = np.where((pairs == NO_HEX).any(axis=1), 0, values)
        ids[good.to_numpy()] = values
    return pa.array(ids)


def _micros_of(seconds: Any, offset: int = 0) -> Any:
    values = np.rint(seconds.fill_null(0).to_numpy() * 1e6).astype(np.int64) - offset
    return pa.array(values, mask=np.asarray(seconds.is_null()) if seconds.null_count else None)


def _some(text: str) -> str | None:
    return None if text in ("", "-") else text


def whole_number(text: str) -> int | None:
    """A whole number as nginx writes it; None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def micros(text: str) -> int | None:
    """Seconds as nginx writes them, in µs; None for what is no time."""
    return round(float(text) * 1e6) if re.fullmatch(SECONDS, text, re.ASCII) else None
