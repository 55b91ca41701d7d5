"""One request, three witnesses: client rows, nginx's lines and app rows joined on (trial, id), by blocks of ids.

A block holds arrays of one length, one element per id. Where a witness says nothing of an id its times are 0, its
codes -1, its counts 0. Of several rows of one witness on one id the last one stands here, and their number beside it; of
app rows where nginx tried several backends, that of the last one it tried, if there is one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.beside import ahead
from analysis.load import Tables
from analysis.measures.columns import Ints, Mask, codes, counted, ids, ints, planned, strange
from analysis.readers.proxy import ATTEMPTS
from analysis.rows import Rows
from loadproof.plan.values import TrialPlan
from loadproof.runfolder.formats import SEQUENCE

BLOCK = 1 << 18  # ids joined at a time
NONE, ELSEWHERE, GROUP = (
    -1,
    -2,
    -3,
)  # no backend; an address that is no server of the arm; nginx had none to choose from
CLIENT = (
    "id", "name", "user", "intended_us", "start_us", "first_us", "end_us", "status", "error", "bytes", "think_us", "port",
)  # fmt: skip
PROXY = (
    "id", "connection", "done_us", "request_time_us", "status", "completion", "upstream_addr", "server", "server_status",
    "server_connect_us", "server_header_us", "server_response_us",
)  # fmt: skip
TRIES = ("upstream_status", "upstream_connect_time", "upstream_header_time", "upstream_response_time")
APP = (
    "id",
    "host",
    "status",
    "handed",
    "lost",
    "exception",
    "accepted_us",
    "read_us",
    "handed_us",
    "lost_us",
)


@dataclass(frozen=True)
class Block:
    """What three witnesses say of some requests. All times in µs on the control machine's clock."""

    id: NDArray[np.uint64]
    client: Ints  # client rows of this id
    name: Ints
    user: Ints
    intended: Ints
    start: Ints
    first: Ints
    end: Ints
    status: Ints  # 0: none
    error: Ints  # index in Texts.errors
    bytes: Ints
    think: Ints
    port: Ints
    lines: Ints  # nginx's lines of this id
    connection: Ints
    received: Ints
    done: Ints
    line_status: Ints
    complete: Mask
    tried: Ints  # index in Texts.upstreams of the upstream addresses as nginx wrote them
    several: Mask  # they are more than one
    backend: Ints  # index in plan.apps of the last one tried, or NONE, ELSEWHERE, GROUP
    backend_status: Ints
    connect: Ints  # µs, -1: it never came to it; so are the next two
    header: Ints
    response: Ints
    tries: Ints  # shape (n, 4): indices in Texts.tries, read only where nginx tried several backends
    rows: Ints  # app rows of this id
    host: Ints  # index in plan.apps of the app whose row this is
    accepted: Ints
    read: Ints
    handed: Ints  # 0: never
    lost: Ints  # 0: never
    app_status: Ints
    exception: Ints  # index in Texts.exceptions
    app: AppRows

    @cached_property
    def server(self) -> Ints:
        """Index in plan.apps: the app that read it, else the last backend that nginx tried; that one in any case where it
        tried several: what an app read that nginx had left was no part of the answer. -1 for none."""
        left = self.stale & (self.backend >= 0)
        return np.where((self.host >= 0) & ~left, self.host, np.maximum(self.backend, NONE))

    @cached_property
    def stale(self) -> Mask:
        """Where the app's row is of an attempt that nginx left for another backend, which has none."""
        found: Mask = self.several & (self.rows > 0) & (self.host != self.backend)
        return found

    @cached_property
    def ended(self) -> Ints:
        """When it was over for the app: when it lost the connection, else handed the answer over, else read the request."""
        return np.where(self.lost > 0, self.lost, np.where(self.handed > 0, self.handed, self.read))

    def take(self, which: NDArray[Any]) -> Block:
        """Some of these requests, without the app rows."""
        picked = {one.name: getattr(self, one.name)[which] for one in fields(self) if one.name != "app"}
        return Block(**picked, app=NO_ROWS)


@dataclass(frozen=True)
class AppRows:
    """All app rows of a block, each for itself."""

    server: Ints
    known: Mask  # whether a client row has its id
    broken: Mask  # connection_lost was given BrokenPipeError
    lost: Ints


NO_ROWS = AppRows(np.zeros(0, np.int64), np.zeros(0, bool), np.zeros(0, bool), np.zeros(0, np.int64))


@dataclass(frozen=True)
class Texts:
    """What the codes of a block mean."""

    errors: Sequence[str]
    names: Sequence[str]
    upstreams: Sequence[str]
    exceptions: Sequence[str]
    apps: Sequence[str]
    tries: Sequence[Sequence[str]] = ()  # statuses and times of several attempts, as nginx wrote them

    def is_error(self, error: Ints, *wanted: str) -> Mask:
        """Where the error is one of these classes."""
        return self.flags(lambda name: name in wanted)[error]

    def each(self, part: int, code: int, read: Callable[[str], int | None]) -> list[int]:
        """What one of `tries` says of each attempt, "502, 200" or "0.001, -"; -1 where that is nothing."""
        found = [read(text) for text in ATTEMPTS.split(self.tries[part][code])] if code >= 0 else []
        return [-1 if one is None else one for one in found]

    def flags(self, wanted: Any) -> Mask:
        """For each error class whether `wanted` holds, and False behind the last one, for "no client row" (-1)."""
        return np.array([*(bool(wanted(name)) for name in self.errors), False])

    @cached_property
    def ok(self) -> Mask:
        """Error classes that are a success."""
        return self.flags(lambda name: name == "")

    @cached_property
    def full(self) -> Mask:
        """Error classes of an answer that came whole: also one that is an error, or that the scenario did not accept."""
        return self.flags(lambda name: name in ("", "scenario") or name.startswith("http_"))


class Journeys:
    """The joined requests of a trial: a stream of blocks that can be gone through again. `tried`: whom nginx tried, in order, as
    indices in plan.apps, ELSEWHERE or GROUP; by index in Texts.upstreams."""

    def __init__(self, tables: Tables, plan: TrialPlan, names: Mapping[str, str]) -> None:
        self.requests, self.proxy, self.app = tables.requests, tables.proxy, tables.app
        self.plan = plan
        self.addresses = dict(names)  # host by upstream address
        self.addressed = frozenset(names.values())  # hosts whose upstream address is known
        upstreams = self.proxy.labels("server")
        index = {name: number for number, name in enumerate(plan.apps)}
        self._backend = np.array([_backend(text, names, index) for text in upstreams] + [NONE])
        self._host = np.array([index.get(name, NONE) for name in self.app.labels("host")] + [NONE])
        self.tried = [
            tuple(_backend(one, names, index) for one in ATTEMPTS.split(text))
            for text in self.proxy.labels("upstream_addr")
        ]
        exceptions = self.app.labels("exception")
        self.broken = exceptions.index("BrokenPipeError") if "BrokenPipeError" in exceptions else NONE - 1
        several = [len(ATTEMPTS.split(text)) > 1 for text in self.proxy.labels("upstream_addr")]
        self._several = np.array([*several, False])
        self._tries = TRIES if any(several) else ()
        self._witnesses = (
            (self.requests, CLIENT), (self.proxy, (*PROXY, *self._tries)), (self.app, APP),
        )  # fmt: skip
        self.texts = Texts(
            self.requests.labels("error"),
            self.requests.labels("name"),
            self.proxy.labels("upstream_addr"),
            exceptions,
            plan.apps,
            tuple(self.proxy.labels(name) for name in self._tries),
        )

    def blocks(self) -> Iterator[Block]:
        """Every request of the load that any witness knows, once, worker by worker in the order of their numbers."""
        top = self._tops()
        dense = (
            partial(self._dense, worker, low, min(low + BLOCK, end))
            for worker, end in top.items()
            for low in range(0, end, BLOCK)
        )
        yield from ahead(dense)
        if sparse := self._sparse(top):
            yield sparse

    def _dense(self, worker: int, low: int, high: int) -> Block:
        """The requests of a worker with numbers in [low, high)."""
        parts = [rows.of(worker, low, high, columns) for rows, columns in self._witnesses]
        of = (np.uint64(worker) << np.uint64(48)) | np.arange(low, high, dtype=np.uint64)
        return self._join(of, parts, lambda some: (some & SEQUENCE).astype(np.int64) - low)

    def _sparse(self, top: Mapping[int, int]) -> Block | None:
        """The requests with numbers beyond those; None for none."""
        parts = [
            _together(rows.others(top, columns), rows, columns, self.plan)
            for rows, columns in self._witnesses
        ]
        of = np.unique(np.concatenate([ids(part) for part in parts]))
        return self._join(of, parts, lambda some: np.searchsorted(of, some)) if len(of) else None

    def foreign(self) -> dict[str, int]:
        """App rows with ids of workers that this trial does not have, by server."""
        found = np.zeros(len(self.plan.apps), np.int64)
        for piece in self.app.pieces(("id", "host")):
            of = ids(piece)
            odd = counted(of) & ~planned(of, self.plan)
            server = self._host[codes(piece, "host")[odd]]
            found += np.bincount(server[server >= 0], minlength=len(found))
        return {name: int(count) for name, count in zip(self.plan.apps, found, strict=True)}

    def strangers(self, from_us: int, to_us: int) -> int:
        """How many requests of somebody else there were, at least: nginx's lines, or app rows where those are more (of a
        stranger who went by nginx there are both, and no id joins them). In [from, to], in µs."""

        def count(rows: Rows, time: str) -> int:
            parts = rows.others(self._tops(), ("id", time))
            return sum(_strange(ids(part), ints(part, time), self.plan, from_us, to_us) for part in parts)

        return max(count(self.proxy, "done_us"), count(self.app, "read_us"))

    def _tops(self) -> dict[int, int]:
        """For each planned worker the end of its dense numbers: no further than there can be rows, whatever ids say."""
        known = self.requests.workers()
        return {
            worker: min(known.get(worker, 0), self.requests.count + BLOCK) for _, worker in self.plan.workers
        }

    def _join(self, of: NDArray[np.uint64], parts: Sequence[Any], at: Any) -> Block:
        client, proxy, app = parts
        size = len(of)
        line = _last(at(ids(proxy)), ints(proxy, "done_us"), size)
        row = _last(at(ids(client)), ints(client, "end_us"), size)
        logged = self._logged(proxy, line)
        server, place = self._host[codes(app, "host")], at(ids(app))
        wanted = logged["several"][place] & (logged["backend"][place] == server) if self._tries else None
        read = _last(place, ints(app, "read_us"), size, wanted)
        return Block(
            id=of,
            client=row.count,
            **{name: row.of(ints(client, column), 0) for name, column in _CLIENT.items()},
            name=row.of(codes(client, "name"), NONE),
            error=row.of(codes(client, "error"), NONE),
            **logged,
            rows=read.count,
            host=read.of(server, NONE),
            accepted=read.of(ints(app, "accepted_us")),
            read=read.of(ints(app, "read_us")),
            handed=read.of(np.where(_flag(app, "handed"), ints(app, "handed_us"), 0)),
            lost=read.of(np.where(_flag(app, "lost"), ints(app, "lost_us"), 0)),
            app_status=read.of(ints(app, "status")),
            exception=read.of(codes(app, "exception"), NONE),
            app=AppRows(
                server,
                row.count[place] > 0,
                codes(app, "exception") == self.broken,
                ints(app, "lost_us"),
            ),
        )

    def _logged(self, proxy: Any, line: Last) -> dict[str, NDArray[Any]]:
        """What nginx's lines say."""
        done, tried = line.of(ints(proxy, "done_us")), line.of(codes(proxy, "upstream_addr"), NONE)
        return {
            "lines": line.count,
            "connection": line.of(ints(proxy, "connection"), NONE),
            "received": done - line.of(ints(proxy, "request_time_us")),
            "done": done,
            "line_status": line.of(ints(proxy, "status")),
            "complete": line.of(codes(proxy, "completion") == _code(self.proxy, "completion", "OK"), False),
            "tried": tried,
            "several": self._several[tried],
            "backend": line.of(self._backend[codes(proxy, "server")], NONE),
            "backend_status": line.of(ints(proxy, "server_status")),
            **{
                name: line.of(ints(proxy, f"server_{name}_us", -1), -1)
                for name in ("connect", "header", "response")
            },
            "tries": np.stack([line.of(codes(proxy, name), NONE) for name in self._tries], axis=-1)
            if self._tries
            else np.broadcast_to(np.int64(NONE), (len(line.row), len(TRIES))),
        }


_CLIENT = {
    "user": "user", "intended": "intended_us", "start": "start_us", "first": "first_us", "end": "end_us",
    "status": "status", "bytes": "bytes", "think": "think_us", "port": "port",
}  # fmt: skip


@dataclass(frozen=True)
class Last:
    """For each of some places the last of the rows that belong there, and how many do."""

    count: Ints
    row: Ints  # -1: none

    @cached_property
    def _none(self) -> Mask | None:
        """Where there is none; None when that is nowhere."""
        none = self.row < 0
        return none if none.any() else None

    @cached_property
    def _in_place(self) -> bool:
        """Whether every place has its row, in the order of the rows."""
        return bool((self.row == np.arange(len(self.row))).all())

    def of(self, values: NDArray[Any], missing: Any = 0) -> NDArray[Any]:
        """A column of these rows, by place."""
        if not len(values):
            return np.full(len(self.row), missing, values.dtype)
        if self._in_place and len(values) == len(self.row):
            return values
        found = values.take(self.row, mode="clip")
        if self._none is not None:
            found[self._none] = missing
        return found


def _last(place: Ints, time: Ints, size: int, wanted: Mask | None = None) -> Last:
    """The last row of each place; of those that are `wanted`, where there are any."""
    count = np.bincount(place, minlength=size)
    row = np.full(size, -1, np.int64)
    row[place] = np.arange(len(place))
    if len(place) and count.max() > 1:  # few: those are put in order of time
        again = np.flatnonzero(count[place] > 1)
        keys = (time[again], place[again]) if wanted is None else (time[again], wanted[again], place[again])
        order = again[np.lexsort(keys)]
        last = np.append(place[order][1:] != place[order][:-1], True)
        row[place[order][last]] = order[last]
    return Last(count, row)


def _together(found: Iterator[Any], rows: Rows, columns: Sequence[str], plan: TrialPlan) -> Any:
    """The rows with ids of planned workers that lie beyond what clients numbered."""
    import pyarrow as pa

    parts = [part.filter(pa.array(planned(ids(part), plan))) for part in found]
    return pa.concat_tables(parts) if parts else rows.empty(columns)


def _strange(of: NDArray[np.uint64], at: Ints, plan: TrialPlan, from_us: int, to_us: int) -> int:
    return int(np.count_nonzero(strange(of, plan) & (at >= from_us) & (at <= to_us)))


def _backend(text: str, names: Mapping[str, str], index: Mapping[str, int]) -> int:
    """What the text of an upstream address means: with no server to choose from nginx writes the name of the group."""
    if text in names:
        return index.get(names[text], ELSEWHERE)
    return ELSEWHERE if text.rpartition(":")[2].isdigit() else GROUP


def _code(rows: Rows, name: str, text: str) -> int:
    labels = rows.labels(name)
    return labels.index(text) if text in labels else len(labels)


def _flag(table: Any, name: str) -> Mask:
    found: Mask = table[name].fill_null(False).to_numpy().astype(bool)
    return found
