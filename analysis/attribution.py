"""In which layer, and for which reason, a failed request began to fail.

A request that failed gets exactly one reason, or none ("unexplained"): each reason names the fields of the witnesses
that prove it, and where such a witness is missing nothing is guessed. What is said by the *absence* of a line or row
holds only where nginx's log, or that app's rows, are all there (`Known`). Order in time is claimed only beyond what the
clocks of two hosts are known to (`Known.apart`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.journeys import GROUP, Block, Texts
from analysis.measures.columns import Mask
from loadproof.plan.values import Inventory

Codes = NDArray[np.int8]
# the way to nginx broke off: a host or network that is gone, or a firewall that says so
UNREACHABLE = tuple(f"other:{name}" for name in ("EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN"))
NOT_OWN = (*UNREACHABLE, "other:HTTPParseError")  # the last: an answer that is no HTTP, of whomever it was
# as they are read where there is no name, its file is lost, the names were too many, or the class is of a later format
NAMELESS = re.compile(r"|#\d+|\(more names\)|class \d+")
# What an app did so little before the client gave up came too late all the same. It is wider than what clocks are usually
# known to: what came earlier by it did come before, and only by how much is as uncertain as they are.
PUNCTUAL_US = 20_000


class Reason(NamedTuple):
    """Layer and reason; what a person is told; the fields that prove it."""

    layer: str
    reason: str
    said: str
    proof: str

    @property
    def key(self) -> str:
        """As in results.json."""
        return f"{self.layer}/{self.reason}"


REASONS = (
    Reason(
        "client", "gave_up", "the client's time was up while the app was at work on it; the app never finished",
        "client: timeout; nginx: 499, connected; app row: read 20 ms or more before that, never handed over",
    ),
    Reason(
        "client", "own", "the load generator's own: the answer was there before it gave up, or its code failed",
        "client: timeout more than 20 ms after nginx had sent the whole answer (OK); or an error of its own, known by its name (other:NAME, but for an unreachable host and an answer that is no HTTP)",
    ),
    Reason(
        "client", "not_made", "no user of the open load was free for as long as the timeout: it was never sent",
        "client: not_made; nginx: no line; no app row",
    ),
    Reason(
        "client", "rejected", "a complete answer that the scenario did not accept", "client: scenario"
    ),
    Reason("client", "resent", "the client sent it more than once", "nginx: several lines of one id"),
    Reason(
        "proxy", "refused", "nobody took the connection at nginx's port", "client: refused; nginx: no line"
    ),
    Reason(
        "proxy", "never_accepted", "nginx never took the request up", "client: timeout, connecting or waiting, or unreachable (other:EHOSTUNREACH and its like); nginx: no line"
    ),
    Reason(
        "proxy", "reset", "nginx closed or reset the connection without an answer",
        "client: reset or closed; nginx: no line, or status 000; or (nginx: not OK, or client: reset) one of an answer that the app handed over whole",
    ),
    Reason(
        "proxy", "slow", "nginx held it up: it took it up too late, tried no backend, or kept an answer that was handed over in time",
        "nginx: 499, begun more than 20 ms after the client gave up, or without an upstream; or app row: handed over more than 20 ms before that",
    ),
    Reason(
        "proxy", "timeout", "nginx gave up waiting for the backend", "nginx: 504, connected, no head of an answer"
    ),
    Reason(
        "proxy", "no_live_upstream", "nginx had no backend left to try", "nginx: the upstream is its group, not an address"
    ),
    Reason("proxy", "error", "nginx's own error", "nginx: the same status, from no backend"),
    Reason(
        "host", "reset", "the connection between client and nginx broke: each says that the other ended it",
        "client: reset, closed or unreachable; nginx: 499",
    ),
    Reason(
        "app", "refused", "nobody took the connection at the backend", "nginx: 502, no connect time"
    ),
    Reason(
        "app", "never_accepted", "the backend never took it up",
        "nginx: 499 or 504 without a connect time; or connected, and no app row",
    ),
    Reason(
        "app", "reset", "the backend, or the way to it, broke off before nginx had its whole answer",
        "nginx: 502, connected, no head; or client: reset or closed, nginx: the head of an answer, app row: never handed over; or client: closed, nginx: done with all it got (OK), app row: handed over",
    ),
    Reason(
        "app", "too_late", "the backend finished, or only began, when the client had given up",
        "client: timeout; app row: handed over, or only read, after that or less than 20 ms before it",
    ),
    Reason(
        "app", "error", "the backend's own error", "nginx: the same status, with the head of the backend's answer"
    ),
)  # fmt: skip
KEYS = tuple(reason.key for reason in REASONS)
NO_FAILURE, UNEXPLAINED = -1, len(REASONS)  # beside the indices of REASONS
UNKNOWN = ""  # what a rule gives where witnesses contradict each other


@dataclass(frozen=True)
class Known:
    """What can be relied on: whether nginx's log is whole, by server whether its app rows are, and how far apart, in µs,
    the clock of the proxy and of each server may be from the clients' (more than a day: nothing is known)."""

    proxy: bool
    apps: NDArray[np.bool_]
    proxy_apart: int
    apps_apart: NDArray[np.int64]


UNKNOWN_US = 1 << 40


def attribute(block: Block, texts: Texts, known: Known) -> Codes:
    """For each request the index of its reason, UNEXPLAINED, or NO_FAILURE for one that succeeded, was cut by our own
    stop, or has no client row."""
    found = np.full(len(block.id), NO_FAILURE, np.int8)
    failed = np.flatnonzero(texts.flags(lambda name: name not in ("", "cut"))[block.error])
    if len(failed):
        found[failed] = _reasons(block.take(failed), texts, known)
    return found


def _reasons(some: Block, texts: Texts, known: Known) -> Codes:
    seen = _Seen.of(some, known)

    def is_error(*names: str) -> Mask:
        return texts.is_error(some.error, *names)

    http = texts.flags(lambda name: name.startswith("http_"))[some.error]
    own = texts.flags(_is_own)[some.error]
    late, broke, unreachable = is_error("timeout"), is_error("reset", "closed"), is_error(*UNREACHABLE)
    rules: list[tuple[Mask, str]] = [
        (some.lines > 1, "client/resent"),
        (is_error("not_made") & ~seen.line & ~seen.read, "client/not_made"),
        (is_error("scenario"), "client/rejected"),
        (own, "client/own"),
        (seen.crossed, UNKNOWN),
        (is_error("refused") & seen.no_line, "proxy/refused"),
        ((is_error("connect_timeout") | unreachable) & seen.no_line, "proxy/never_accepted"),
        (unreachable & seen.line & (some.line_status == 499), "host/reset"),
        *_answered(some, seen, http & (some.line_status == some.status)),
        *_broken(some, seen, broke, is_error("closed")),
        *_late(some, seen, late),
    ]
    masks = [mask for mask, _ in rules]
    codes = [UNEXPLAINED if key == UNKNOWN else KEYS.index(key) for _, key in rules]
    return np.select(masks, codes, UNEXPLAINED).astype(np.int8)


def _is_own(error: str) -> bool:
    """Whether an error class is an exception of the generator's own code. One whose name is not known may be any."""
    kind, _, name = error.partition(":")
    return kind == "other" and not NAMELESS.fullmatch(name) and error not in NOT_OWN


@dataclass(frozen=True)
class _Seen:
    """What the witnesses' fields say, as masks."""

    line: Mask
    no_line: Mask  # surely none
    tried: Mask  # nginx turned to a backend, or would have
    connected: Mask
    headed: Mask  # the backend's answer began
    read: Mask
    never_read: Mask  # surely not
    handed: Mask
    in_time: Mask  # handed over before the client gave up, beyond doubt
    too_late: Mask  # after that, or so little before it that it could not be on time; beyond doubt
    read_late: Mask  # the same of reading it
    read_before: Mask  # read before that, beyond doubt
    sent_early: Mask  # nginx had sent all of it well before the client gave up
    begun_late: Mask  # nginx had its head only after the client gave up, beyond doubt
    crossed: Mask  # an app read what nginx, with one attempt, says it brought to no backend or to another one

    @staticmethod
    def of(some: Block, known: Known) -> _Seen:
        """Of several attempts only the row of the last one counts: nginx left the others."""
        line, read = some.lines > 0, (some.rows > 0) & ~some.stale
        handed = (some.handed > 0) & read
        # of a backend that is no server of the arm there are no rows: nothing follows from that
        whole = (some.backend >= 0) & known.apps[np.maximum(some.backend, 0)]
        apart = known.apps_apart[np.maximum(some.host, 0)]
        early = max(PUNCTUAL_US, known.proxy_apart)
        in_time = some.end - np.maximum(apart, PUNCTUAL_US)
        late = some.end + np.where(apart > PUNCTUAL_US, apart, -PUNCTUAL_US)
        elsewhere = (some.backend >= 0) & (some.backend != some.host)
        return _Seen(
            line,
            ~line & ~read & known.proxy,
            line & (some.backend != -1),
            some.connect >= 0,
            some.header >= 0,
            read,
            ~read & whole,
            handed,
            handed & (some.handed < in_time),
            handed & (some.handed > late),
            read & (some.read > late),
            read & (some.read < in_time),
            line & some.complete & (some.done < some.end - early),
            line & (some.received > some.end + early),
            line & read & ~some.several & (elsewhere | (some.connect < 0)),
        )


Rules = list[tuple[Mask, str]]


def _answered(some: Block, seen: _Seen, same: Mask) -> Rules:
    """Requests whose client got, or would have got, the status of nginx's line."""
    bad, gateway = same & seen.line, some.backend_status
    return [
        (bad & ~seen.tried, "proxy/error"),
        (bad & (some.backend == GROUP), "proxy/no_live_upstream"),
        (bad & seen.headed & (gateway == some.line_status), "app/error"),
        (bad & (gateway == 504) & ~seen.connected, "app/never_accepted"),
        (bad & (gateway == 504), "proxy/timeout"),
        (bad & (gateway == 502) & ~seen.connected, "app/refused"),
        (bad & (gateway == 502), "app/reset"),
        (bad, "proxy/error"),
    ]


def _broken(some: Block, seen: _Seen, broke: Mask, closed: Mask) -> Rules:
    """Connections that ended without a whole answer. nginx calls an answer whose backend went away a complete one, and
    closes: an app may have handed over what never came to nginx."""
    begun = broke & seen.line & seen.headed & (some.line_status < 400)
    return [
        (broke & seen.no_line, "proxy/reset"),
        (broke & seen.line & (some.line_status == 499), "host/reset"),
        (broke & seen.line & (some.line_status == 0), "proxy/reset"),  # an nginx worker that was told to end
        (begun & seen.read & ~seen.handed, "app/reset"),
        (begun & seen.read & closed & some.complete, "app/reset"),
        (begun & seen.read & seen.handed, "proxy/reset"),
    ]


def _late(some: Block, seen: _Seen, late: Mask) -> Rules:
    """Requests whose client gave up, connected and waiting."""
    left = late & seen.line & (some.line_status == 499)
    done = late & seen.line & (some.line_status != 499)
    return [
        (late & seen.no_line, "proxy/never_accepted"),
        (left & (seen.begun_late | ~seen.tried), "proxy/slow"),
        (left & ~seen.connected, "app/never_accepted"),
        (left & seen.never_read, "app/never_accepted"),
        (left & seen.in_time, "proxy/slow"),
        # where clocks say nothing nginx does: it had no head of an answer when the client left
        (left & (seen.too_late | seen.handed & ~seen.headed | seen.read_late), "app/too_late"),
        (left & ~seen.handed & seen.read_before, "client/gave_up"),
        (done & seen.sent_early, "client/own"),
        *_answered(some, seen, done & (some.line_status >= 400)),
        (done & seen.in_time, "proxy/slow"),
        (done & seen.too_late, "app/too_late"),
    ]


def addresses(inventory: Inventory | None) -> dict[str, str]:
    """Host name by "address:port", as nginx writes its upstreams."""
    if inventory is None:
        return {}
    found = {}
    for host in inventory.group("app"):
        address, port = host.address or host.ssh_host, dict(host.ports).get("app")
        if port is not None:  # a run.json that was damaged may lack it
            found[f"{f'[{address}]' if ':' in address else address}:{port}"] = host.name
    return found


def named(counts: NDArray[np.int64]) -> dict[str, int]:
    """Counts by index of a reason as counts by its key, most frequent first, without those that are 0."""
    pairs = [(key, int(count)) for key, count in zip(KEYS, counts[: len(KEYS)], strict=True) if count]
    return dict(sorted(pairs, key=lambda pair: (-pair[1], pair[0])))
