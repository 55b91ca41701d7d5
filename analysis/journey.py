"""What became of one request, from its start to its end, as the three witnesses saw it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from analysis import attribution, journeyfile, load, results
from analysis.attribution import REASONS
from analysis.measures import window as windows
from analysis.readers.clock import Clocks, clocks
from analysis.results import sources_of
from analysis.rows import Damaged
from loadproof.errors import BadInput, Problem, RecordUnreadable
from loadproof.plan.values import Inventory, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.formats import FIRST_RESERVED_WORKER
from loadproof.runfolder.paths import RunFolder, TrialPaths

NGINX_US = 1000  # it writes whole milliseconds
FORM = "16 hex digits, or worker:number as in 1:42"


@dataclass(frozen=True)
class Event:
    """Something that happened to a request: seconds since second 0, ms since its start, on which host, what."""

    second: float | None
    after_ms: float
    host: str
    what: str


@dataclass(frozen=True)
class Told:
    """A request of one trial: who sent it, what happened in order of time, how it ended and why; how far the order of
    events on different hosts is certain, in ms (None: it is not known)."""

    trial: str
    id: str
    who: str
    events: tuple[Event, ...]
    outcome: str
    reason: str  # "app/too_late", or ""
    said: str
    proof: str
    certain_ms: float | None


def number(text: str) -> int:
    """The id that a person means. Raises BadInput."""
    worker, colon, count = text.partition(":")
    try:
        if colon and worker.isdecimal() and count.isdecimal():
            found = (int(worker) << 48) | int(count)
        else:
            found = int(text, 16) if len(text.removeprefix("0x")) == 16 else -1
        if 0 < found >> 48 < FIRST_RESERVED_WORKER and (not colon or int(count) < 1 << 48):
            return found
    except ValueError:
        pass
    raise BadInput([Problem(f"{text!r} is no id of a request: {FORM}", "ID")], next="./inv journey --help")


def tell(folder: RunFolder, id: int, trial: str = "") -> tuple[Told, ...]:
    """The request with this id in every trial of a run that has one, or in one trial ("01"). The run is analysed first
    where it was not. Raises BadInput when no witness of any of them knows the id."""
    told: list[Told] = []
    unread: list[RecordUnreadable] = []
    for source in sources_of(folder):
        for paths in source.trials:
            try:
                plan = record.read_plan(paths.plan)
                if not trial or trial in (plan.id, paths.name):
                    told += _found(source, paths, plan, id)
            except RecordUnreadable as error:  # another trial may know it
                unread.append(error)
    if not told and unread:
        raise unread[0]
    if not told:
        where = f"trial {trial} of run {folder.id}" if trial else f"run {folder.id}"
        problem = Problem(f"no client, no line of nginx and no app row has the id {id:016x}", where)
        raise BadInput([problem], next="ids are in tables/journeys, and in the report beside each reason")
    return tuple(told)


def _found(source: RunFolder, paths: TrialPaths, plan: TrialPlan, id: int) -> Iterable[Told]:
    """The request in one trial; its tables are made again where they are damaged. Raises RecordUnreadable."""
    tables = [source.table(kind, paths.name) for kind in ("journeys", "users")]

    def found() -> Iterable[Told]:
        return of_trial(tables[0], paths, plan, _inventory(source), _zero_us(tables[1]), [id]).values()

    if not journeyfile.source_of(tables[0]):
        results.judge(source)
    try:
        return found()
    except Damaged as error:
        if not paths.hosts:
            what = f"a table is damaged, and the raw files it was made of are not here: {error}"
            raise RecordUnreadable(
                what, where=str(paths.path), kept=str(paths.path), next="inv runs"
            ) from None
    for path in tables:
        path.unlink(missing_ok=True)
    results.judge(source)
    return found()


def _zero_us(path: Path) -> int | None:
    """Second 0, from a table of users; None where there is none."""
    try:
        users = pq.read_table(path, page_checksum_verification=True) if path.exists() else None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise Damaged(f"{path}: {error}") from error
    return None if users is None else windows.zero_of(users)


def of_trial(
    path: Path,
    paths: TrialPaths,
    plan: TrialPlan,
    inventory: Inventory | None,
    zero_us: int | None,
    wanted: Sequence[int],
) -> dict[int, Told]:
    """Those of some requests that are in a table of journeys, by id. Raises Damaged."""
    rows = journeyfile.find(path, wanted) if path.exists() else {}
    clock = clocks(paths, load.hosts_of(plan))
    return {id: _told(row, paths, plan, inventory, zero_us, clock) for id, row in rows.items()}


def _told(
    row: Mapping[str, Any],
    paths: TrialPaths,
    plan: TrialPlan,
    inventory: Inventory | None,
    zero_us: int | None,
    clock: Clocks,
) -> Told:
    events = sorted(_events(row, plan, inventory), key=lambda event: event[0])
    begin = row["start_us"] or (events[0][0] if events else 0)
    reason = next((one for one in REASONS if (one.layer, one.reason) == (row["layer"], row["reason"])), None)
    return Told(
        paths.name,
        f"{row['id']:016x}",
        _who(row, plan),
        tuple(
            Event(None if zero_us is None else (at - zero_us) / 1e6, (at - begin) / 1000, host, what)
            for at, host, what in events
        ),
        _outcome(row),
        reason.key if reason else "",
        reason.said if reason else "",
        reason.proof if reason else "",
        _certain_ms({host for _, host, _ in events}, plan.proxy, clock),
    )


def _certain_ms(hosts: Collection[str], proxy: str, clock: Clocks) -> float | None:
    """How far, in ms, the times of any two of these hosts may be from their order; None when a clock was not measured."""
    if len(hosts) < 2:
        return max((clock.steps.get(host, 0) for host in hosts), default=0) / 1000
    if not set(hosts) <= set(clock.halves):
        return None
    worst = sorted(clock.halves[host] + (NGINX_US if host == proxy else 0) for host in hosts)[-2:]
    return sum(worst) / 1000


def _inventory(source: RunFolder) -> Inventory | None:
    try:
        return record.read_run(source).inventory
    except RecordUnreadable:
        return None


def _who(row: Mapping[str, Any], plan: TrialPlan) -> str:
    host = {number: name for name, number in plan.workers}.get(row["worker"], "an unknown host")
    if row["user"] is None:
        return f"Locust worker {row['worker']} on {host} wrote down no such request"
    return f"user {row['user']} of Locust worker {row['worker']} on {host}: {row['name']}"


def _outcome(row: Mapping[str, Any]) -> str:
    if row["error"] is None:
        return "no client row: what its client saw is not known"
    if row["error"] == "":
        return "a success"
    if row["error"] == "cut":
        return "cut: in flight when the load ended, neither a success nor a failure"
    return f"failed: {row['error']}" + ("" if row["reason"] else ", unexplained")


def _events(
    row: Mapping[str, Any], plan: TrialPlan, inventory: Inventory | None
) -> list[tuple[int, str, str]]:
    load_host = {number: name for name, number in plan.workers}.get(row["worker"], "client")
    return [*_client(row, load_host), *_proxy(row, plan.proxy, inventory), *_app(row)]


def _client(row: Mapping[str, Any], host: str) -> list[tuple[int, str, str]]:
    if row["start_us"] is None:
        return []
    slept = f" after {row['think_us'] / 1000:g} ms of thinking" if row["think_us"] else ""
    port = f" from port {row['port']}" if row["port"] else ""
    late = (row["start_us"] - row["intended_us"]) / 1000 if row["intended_us"] else 0
    waited = f", {late:g} ms after it was to be sent" if late else ""
    if row["error"] == "not_made":
        return [(row["end_us"], host, f"client: no user was free to send it{waited}")]
    found = [(row["start_us"], host, f"client: sends it{port}{slept}{waited}")]
    if row["first_us"]:
        found.append((row["first_us"], host, f"client: first byte of an answer ({row['status']})"))
    ends = {"": "has the whole answer", "cut": "cut off by the end of the load"}
    what = ends.get(row["error"], f"gives up or fails: {row['error']}")
    return [*found, (row["end_us"], host, f"client: {what}")]


def _proxy(row: Mapping[str, Any], host: str, inventory: Inventory | None) -> list[tuple[int, str, str]]:
    if not row["lines"]:
        return []
    again = f", the last of {row['lines']} lines" if row["lines"] > 1 else ""
    found = [(row["received_us"], host, f"nginx: has its head (connection {row['connection']}){again}")]
    names = attribution.addresses(inventory)
    turned = row["received_us"]  # to each backend when it was done with the one before
    for attempt in row["attempts"]:
        server = names.get(attempt["server"], "")
        said = f"nginx: turned to {server or attempt['server']}"
        if attempt["connect_us"] is None:
            said += ", was never connected"
        else:
            said += f", connected after {attempt['connect_us'] / 1000:g} ms"
        if attempt["header_us"] is not None:
            said += f", head of an answer after {attempt['header_us'] / 1000:g} ms"
        if attempt["response_us"] is not None:
            said += f", let go after {attempt['response_us'] / 1000:g} ms"
        if attempt["status"] is not None:
            said += f" ({attempt['status']})"
        found.append((turned, host, said))
        turned += attempt["response_us"] or 0
    done = (
        "the client had closed the connection (499)"
        if row["proxy_status"] == 499
        else f"done: {row['proxy_status']}"
    )
    return [*found, (row["done_us"], host, f"nginx: {done}")]


def _app(row: Mapping[str, Any]) -> list[tuple[int, str, str]]:
    if not row["rows"]:
        return []
    host, found = row["server"], []
    if row["accepted_us"]:
        found.append((row["accepted_us"], host, "app: accepts nginx's connection"))
    found.append((row["read_us"], host, "app: has read it"))
    if row["handed_us"]:
        found.append((row["handed_us"], host, f"app: has handed its answer over ({row['app_status']})"))
    if row["lost_us"]:
        why = f": {row['exception']}" if row["exception"] else ""
        found.append((row["lost_us"], host, f"app: its connection is gone{why}"))
    return found
