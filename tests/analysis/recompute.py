"""Counts every figure of results.json again, from the raw files alone; imports nothing of ours, and only the standard
library.

    python3 recompute.py RUN [RUN …]      exit 0: all equal; 1: the differences, one per line

Counts must be equal, everything else within 1e-9 relative. Figures that results.json leaves null are not compared, and
are counted in the last line. The definitions, in one place:

clock        host time - offset; the offset of a host is the measurement in facts.jsonl with the shortest half trip, of
             those before the trial when they differ by more than 50 ms + all half trips
second 0     the earliest `user started` of all Locust workers
window       [ramp_end + settle, E): E is the planned end, or the first of these after the beginning: a user stopped, a
             request was cut, the last row of a Locust worker
of the load  ids whose upper 16 bits are the number of a planned Locust worker
strangers    ids below worker 0xFFF0 that are not of the load (none is 0), from second 0 to the planned end: nginx's lines, or
             app rows if there are more
requests     of the load, ended in the window, class not `cut`;  failures: those with any error class
answer_or_give_up   mean of end - intended over all requests
tps          successes / length;  mtt, mtsd (divisor n), percentiles (nearest rank): end - intended of successes
row          of a request: the app row that was read last; where nginx tried several backends, of the last one's if it has any
server       of a request: the app host of its row, else of nginx's last upstream address; where nginx tried several, of that
undelivered  distinct ids that an app read, without a client row of class "", http_NNN or scenario; in the window when
             the app lost the connection in it (never lost: handed the answer over in it; neither: read it in it)
wasted       undelivered ids that an app handed over
broken_pipe  app rows with BrokenPipeError, in the window when the app lost the connection in it
attribution  layer and reason of every failure: docs/reasons.md, in the words of `reason` below; unexplained: none
first        of each reason, and of none, the failure that ended first, with the users between their start and stop at that moment
ledgers      of all ids of the load that any witness has: `balance` below; of time: users x time from second 0 to the end of
             the window, and what requests took and users slept, clipped to it
here         a log or row files: those that were sealed, as long as the manifest says; the ledger of requests needs them
whole        here, no line or row cut or unreadable, and none missing of what others prove (a success, or an app's row,
             without a line; a success without a row): only there what is not in them did not happen
slack        of a host's clock: half the trip of the offset taken, and the spread of its measurements when a clock that
             did not move cannot have given all of them, or its step if that is more
step         of a host's clock: what its wall clock moved against its monotonic one between two answers of one boot; the only
             doubt of nginx's times where the load is on the same host
cpu          cumulative CPU of unit loadproof-app.service, a process being (pid, start), linear between samples
"""

import json
import math
import re
import struct
import sys
from pathlib import Path

HEADER = struct.Struct("<8sHHHHqqI28s")
CLIENT = struct.Struct("<BBHHHQIHHqqqqII")
SECOND = struct.Struct("<B7xQIIqqqqq")
APP = struct.Struct("<QIHHBB6sqqqqq")
CLASSES = (
    "",
    "refused",
    "connect_timeout",
    "reset",
    "closed",
    "timeout",
    "http",
    "scenario",
    "cut",
    "other",
    "not_made",
)
UNIT = "loadproof-app.service"
FIELDS = ("id", "connection", "port", "peer", "msec", "request_time", "status", "completion", "bytes", "method", "uri",
          "upstream_addr", "upstream_status", "upstream_connect_time", "upstream_header_time",
          "upstream_response_time")  # fmt: skip
PUNCTUAL_US = 20_000  # an answer that comes so little before its client gives up comes too late all the same
SLEPT_LATE_US = 250_000  # who slept when the window ended did so at most this much longer than planned
NO_WAY = ("EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ENETDOWN")  # the way to nginx is gone
NEVER_US = 1 << 40  # the doubt where a clock was not measured


def rows(path, layout):
    """(values of each whole row) behind the header."""
    data = path.read_bytes()[HEADER.size :]
    return list(layout.iter_unpack(data[: len(data) // layout.size * layout.size]))


def json_lines(path):
    """Good JSON objects of a file of lines."""
    for line in path.read_bytes().split(b"\n"):
        try:
            value = json.loads(line.decode("utf-8", "surrogateescape"), strict=False)
        except ValueError:
            continue
        if isinstance(value, dict):
            yield value


def access_lines(folder):
    """Good lines of nginx's access log, from access.tsv or, before there was one, access.jsonl; "" is what is not there."""
    path = folder / "access.tsv"
    if not path.exists():
        yield from json_lines(folder / "access.jsonl") if (folder / "access.jsonl").exists() else ()
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        fields = line.decode("ascii", "replace").split("\t")
        if len(fields) == len(FIELDS):
            plain = [re.sub(r"\\x([0-9A-F]{2})", lambda one: chr(int(one[1], 16)), field) for field in fields]
            yield dict(zip(FIELDS, ("" if one == "-" else one for one in plain), strict=True))


def of_the_load(number, plan):
    return number >> 48 in [worker for _, worker in plan["workers"]]


def offsets(folder):
    """(µs to subtract, µs that it may be wrong by, µs by which its wall clock was stepped) of each host's times."""
    seen, bases, steps = {}, {}, {}
    for line in json_lines(folder / "facts.jsonl"):
        if "offset" not in line:  # how fast the generator can go
            continue
        one = (line["offset"]["half_trip_us"], line["offset"]["best_us"], line["when"])
        seen.setdefault(line["host"], []).append(one)
        facts = line.get("facts", {})
        if "realtime_us" in facts and "monotonic_ns" in facts:
            boot = bases.setdefault((line["host"], facts.get("boot_id")), [])
            boot.append(facts["realtime_us"] - facts["monotonic_ns"] // 1000)
    for (host, _), every in bases.items():
        steps[host] = max(steps.get(host, 0), max(every) - min(every))
    found = {}
    for host, measured in seen.items():
        every = measured
        values = [offset for _, offset, _ in measured]
        if max(values) - min(values) > 50_000 + sum(half for half, *_ in measured):
            measured = [one for one in measured if one[2] == "before"]
        taken = min(measured, key=lambda one: one[0])[1]
        low, high = (
            max(offset - half for half, offset, _ in every),
            min(offset + half for half, offset, _ in every),
        )
        values = [offset for _, offset, _ in every]
        found[host] = (
            taken,
            min(one[0] for one in measured)
            + max(max(values) - min(values) if low > high else 0, steps.get(host, 0)),
        )
    moves = {host: move for host, (move, _) in found.items()}
    return moves, {host: off for host, (_, off) in found.items()}, steps


def clients(folder, plan, clock):
    """(requests (id, when it was to be sent, end, error), started, stopped, last row of each worker), µs on the common clock; and what else
    rows of requests say (host, user, think)."""
    requests, started, stopped, last, beside = [], [], [], {}, []
    for host, worker in plan["workers"]:
        path = folder / "raw" / host / f"requests-{worker}.rows"
        names = json.loads((folder / "raw" / host / f"names-{worker}.json").read_text())
        move = clock.get(host, 0)
        for row in rows(path, CLIENT):
            kind, error, status, _, error_name, number, user, _, _, due, start, _, end, _, think = row
            at = 0
            if kind == 1 and of_the_load(number, plan):
                text = CLASSES[error]
                text = (
                    f"http_{status:03d}"
                    if text == "http"
                    else f"other:{names[error_name]}"
                    if text == "other"
                    else text
                )
                requests.append((number, due - move, end - move, text))
                beside.append((host, (worker, user), think))
                at = end - move
            elif kind in (2, 3):
                at = start - move
                (started if kind == 2 else stopped).append(at)
            elif kind == 4:
                at = SECOND.unpack(CLIENT.pack(*row))[4] - move
            if at:
                last[worker] = max(last.get(worker, 0), at)
    return requests, started, stopped, last, beside


def app_rows(folder, plan, clock):
    """(host, id, read, lost, exception, handed, ended) of the load."""
    found = []
    for host in plan["apps"]:
        for path in sorted((folder / "raw" / host).glob("app-*.rows")):
            for number, _, _, _, state, exception, _, _, read, handed, lost, _ in rows(path, APP):
                if state and of_the_load(number, plan):
                    move = clock.get(host, 0)
                    ended = (lost or handed or read) - move
                    found.append(
                        (
                            host,
                            number,
                            read - move if read else 0,
                            lost - move if lost else 0,
                            exception,
                            handed - move if handed else 0,
                            ended,
                        )
                    )
    return found


def strangers(folder, plan, clock, zero):
    """How many requests of somebody else the log, or the apps' rows, show while the load ran."""

    def counts(number, at):
        theirs = not of_the_load(number, plan) and number < 0xFFF0 << 48
        return theirs and zero <= at <= zero + round(plan["load"]["end_s"] * 1e6)

    logged = 0
    for line in access_lines(folder / "raw" / plan["proxy"]):
        text = str(line.get("id"))
        if not re.fullmatch(r"\d+(\.\d+)?", str(line.get("msec"))):
            continue
        number = int(text, 16) if re.fullmatch("[0-9a-f]{16}", text) else 0
        logged += counts(number, round(float(line["msec"]) * 1e6) - clock.get(plan["proxy"], 0))
    read = 0
    for host in plan["apps"]:
        for path in (folder / "raw" / host).glob("app-*.rows"):
            found = rows(path, APP)
            read += sum(row[4] > 0 and counts(row[0], row[8] - clock.get(host, 0)) for row in found)
    return max(logged, read)


def lines_by_id(folder, plan, run, clock):
    """Lines of the load by id, in the order of the log: status, when written, whether all of the answer was sent, and of
    the last upstream attempt its address, host, whether connected, whether a head came; and how many attempts."""
    names = {}
    for host in run["inventory"]["hosts"]:
        if "app" in host["roles"]:
            address = host["address"] or host["ssh_host"]
            names[f"[{address}]" if ":" in address else address, dict(host["ports"])["app"]] = host["name"]
    found = {}
    for line in access_lines(folder / "raw" / plan["proxy"]):
        number = line.get("id")
        if (
            not isinstance(number, str)
            or not re.fullmatch("[0-9a-f]{16}", number)
            or not of_the_load(int(number, 16), plan)
        ):
            continue
        attempts = upstream(line, "addr")
        address, _, port = attempts[-1].rpartition(":")
        connect, head = (
            upstream(line, name)[-1] not in ("", "-") for name in ("connect_time", "header_time")
        )
        found.setdefault(int(number, 16), []).append(
            {
                "status": int(line["status"]), "took": round(float(line["request_time"] or 0) * 1e6), "written": round(float(line["msec"]) * 1e6) - clock.get(plan["proxy"], 0),
                "whole": line["completion"] == "OK", "address": "" if attempts[-1] == "-" else attempts[-1],
                "host": names.get((address, int(port) if port.isdigit() else 0)),
                "connected": connect, "head": head, "answered": upstream(line, "status")[-1], "attempts": len(attempts),
            }
        )  # fmt: skip
    return found


def upstream(line, name):
    """What a line says of each upstream attempt."""
    return re.split(r"\s*,\s*|\s+:\s+", str(line.get(f"upstream_{name}") or ""))


def by_proxy(lines):
    """Host of nginx's last upstream address, by id."""
    return {
        number: max(enumerate(found), key=lambda one: (one[1]["written"], one[0]))[1]["host"]
        for number, found in lines.items()
    }


def host_of_several(lines, number):
    """Host of the last upstream address where nginx tried several; None elsewhere."""
    if number not in lines:
        return None
    line = max(enumerate(lines[number]), key=lambda one: (one[1]["written"], one[0]))[1]
    return line["host"] if line["attempts"] > 1 else None


def log_here(folder):
    """Whether nginx's log is here; and whether it has lines that cannot be read."""
    name = "access.tsv" if (folder / "access.tsv").exists() else "access.jsonl"
    if not sealed(folder, [folder / name]):
        return False, True
    data = (folder / name).read_bytes()
    good = sum(bool(re.fullmatch(r"\d+(\.\d+)?", str(line.get("msec")))) for line in access_lines(folder))
    odd = name == "access.tsv" and re.search(rb'[^\t\n -~]|"', data) is not None
    return True, odd or data[-1:] not in (b"", b"\n") or data.count(b"\n") != good


def rows_here(folder):
    """Whether all rows of an app's host are here."""
    paths = sorted(folder.glob("app-*.rows"))
    return (
        sealed(folder, paths)
        and bool(paths)
        and all((path.stat().st_size - HEADER.size) % APP.size == 0 for path in paths)
    )


def sealed(folder, paths):
    """Whether these files are in the manifest, as long as it says, and those of their kind that it has are here."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
    except (OSError, ValueError):
        return False
    sizes = {one["path"]: one["size"] for one in manifest["files"]}
    wanted = {name for name in sizes if re.fullmatch(r"app-.*\.rows|access\.\w+", name)}
    return (
        wanted <= {path.name for path in paths}
        and all(path.exists() and sizes.get(path.name) == path.stat().st_size for path in paths)
        and not {path.name for path in paths} & set(manifest.get("held", ()))
    )


def cpu_curve(path, move):
    """[(µs, ns used by the app's processes since the first sample)]."""
    curve, known, used, anchor, before, begun = [], {}, 0, None, 0, False
    for line in json_lines(path):
        if line.get("kind") == "start":
            anchor = None
            continue
        if "processes" not in line:  # how many samples were lost
            continue
        if anchor is None or line["monotonic_ns"] < before:
            anchor = (line["realtime_us"], line["monotonic_ns"])
        before = line["monotonic_ns"]
        for one in line["processes"]:
            key = (one["pid"], one["start"])
            if one["unit"] == UNIT:
                used += max(0, one["cpu_ns"] - known.get(key, 0 if begun else one["cpu_ns"]))
            known[key] = one["cpu_ns"]
        begun = True
        curve.append((anchor[0] + (before - anchor[1]) // 1000 - move, used))
    return sorted(curve)


def at_edge(curve, moment):
    """ns used at a moment between two samples."""
    for (left, low), (right, high) in zip(curve, curve[1:], strict=False):
        if left <= moment <= right and right > left:
            return low + (high - low) * (moment - left) / (right - left)
    raise ValueError("not sampled")


def nearest_rank(ordered, q):
    return ordered[math.ceil(q * len(ordered) / 100) - 1]


def latencies(taken):
    """MTT, MTSD, percentiles in ms."""
    if not taken:
        return dict.fromkeys(("mtt_ms", "mtsd_ms", "p50_ms", "p95_ms", "p99_ms"))
    mean = math.fsum(taken) / len(taken)
    spread = math.sqrt(math.fsum((one - mean) ** 2 for one in taken) / len(taken))
    ordered = sorted(taken)
    ranks = {f"p{q}_ms": nearest_rank(ordered, q) / 1000 for q in (50, 95, 99)}
    return {"mtt_ms": mean / 1000, "mtsd_ms": spread / 1000, **ranks}


def classes(failed):
    counts = {}
    for *_, text in failed:
        counts[text] = counts.get(text, 0) + 1
    return counts


def stretch(requests, begin, end):
    """The client's figures of [begin, end)."""
    inside = [one for one in requests if begin <= one[2] < end]
    done = [one for one in inside if one[3] != "cut"]
    good = [one for one in done if not one[3]]
    return {
        "requests": len(done), "failures": len(done) - len(good), "cut": len(inside) - len(done),
        "tps": len(good) / ((end - begin) / 1e6), **latencies([one[2] - one[1] for one in good]),
        "answer_or_give_up_ms": math.fsum(one[2] - one[1] for one in done) / len(done) / 1000 if done else None,
        "errors": classes(one for one in done if one[3]),
    }  # fmt: skip


def trial(folder, run):
    """All figures of one trial."""
    plan = json.loads((folder / "plan.json").read_text())
    clock, slack, steps = offsets(folder)
    requests, started, stopped, last, beside = clients(folder, plan, clock)
    apps = sorted(app_rows(folder, plan, clock), key=lambda row: row[2])
    zero, begin, end = edges(plan["load"], requests, started, stopped, last)
    lines = lines_by_id(folder, plan, run, clock)
    apps.sort(key=lambda row: host_of_several(lines, row[1]) == row[0])  # the one that counts comes last
    seen = Witnesses(folder, plan, lines, (slack, steps), apps, requests)
    failed = [bool(text) and text != "cut" for *_, text in requests]
    reasons = [
        reason(number, text, over, host, seen) if bad else None
        for bad, (number, _, over, text), (host, *_) in zip(failed, requests, beside, strict=True)
    ]
    reader = {number: host for host, number, *_ in apps}
    several = {number: host for number in lines if (host := host_of_several(lines, number)) in plan["apps"]}
    server = by_proxy(lines) | reader | several
    gone = undelivered(requests, apps)
    pipes = [(host, lost) for host, _, _, lost, exception, *_ in apps if exception == 1]
    found = stretch(requests, begin, end)
    inside = [one for one in requests if begin <= one[2] < end and one[3] != "cut"]
    why = [
        (one[0], found)
        for one, bad, found in zip(requests, failed, reasons, strict=True)
        if bad and begin <= one[2] < end
    ]
    servers = [
        _server(folder, plan, host, begin, end, zero, inside, server, reader, gone, pipes, clock, why)
        for host in plan["apps"]
    ]
    spent = sum(one["cpu_s"] for one in servers)
    users = sum(at <= begin for at in started) - sum(at < begin for at in stopped)
    return {
        "id": plan["id"], "block": plan["block"], "window": window(zero, begin, end, users, found["mtt_ms"] or 0, plan["load"]["think_s"]), **found,
        "unattributed": sum(server.get(one[0]) not in plan["apps"] for one in inside),
        "undelivered": sum(begin <= at < end for at, *_ in gone.values()),
        "wasted": sum(begin <= at < end and handed for at, _, handed in gone.values()),
        "attribution": count([found for _, found in why]), "unexplained": sum(found is None for _, found in why),
        "broken_pipe": sum(begin <= at < end for _, at in pipes),
        "efficiency": (found["requests"] - found["failures"]) / spent if spent else None,
        "servers": servers,
        "whole_run": {
            **whole_run(requests, zero, gone, pipes),
            "attribution": count(reasons),
            "unexplained": sum(bad and not found for bad, found in zip(failed, reasons, strict=True)),
            "first": firsts(requests, failed, reasons, started, stopped, zero),
            "ledgers": {
                "requests": balance(requests, seen, strangers(folder, plan, clock, zero)),
                "time": time_spent(requests, beside, started, stopped, zero, end, plan["load"]["think_s"]),
            },
        },
    }  # fmt: skip


def edges(load, requests, started, stopped, last):
    """Second 0, and where the window begins and ends."""
    zero = min(started)
    begin = zero + round((load["ramp_end_s"] + load["settle_s"]) * 1e6)
    ends = [zero + round(load["end_s"] * 1e6), *last.values(), *(at for at in stopped if at >= begin)]
    return zero, begin, min(ends + [one[2] for one in requests if one[3] == "cut" and one[2] >= begin])


def window(zero, begin, end, users, mtt_ms, think_s):
    length = round((end - begin) / 1e6, 1)
    return {
        "kind": "hold", "users": users, "from_s": (begin - zero) / 1e6, "to_s": (end - zero) / 1e6,
        "short": length < max(15, 20 * think_s), "short_for_times": length < max(15, 20 * mtt_ms / 1000),
    }  # fmt: skip


def undelivered(requests, apps):
    """{id: (when it was over, whether our own stop cut it, whether it was handed over)} of what an app read and no client
    got; app rows in the order in which they were read."""
    client = {number: text for number, _, _, text in requests}
    gone = {}
    for _, number, *_, handed, ended in apps:
        text = client.get(number)
        if text is None or not (text in ("", "scenario") or text.startswith("http_")):
            gone[number] = (ended, text == "cut", bool(handed))
    return gone


def whole_run(requests, zero, gone, pipes):
    """What is counted from the first request to the last."""
    whole = stretch(requests, min(zero, *(one[2] for one in requests)), max(one[2] for one in requests) + 1)
    bins = {}
    for _, _, at, text in requests:
        if not text:
            bins[(at - zero) // 2_000_000] = bins.get((at - zero) // 2_000_000, 0) + 1
    return {
        **{name: whole[name] for name in ("requests", "failures", "cut", "tps", "mtt_ms", "errors")},
        "peak_tps": max(bins.values(), default=0) / 2,
        "undelivered": len(gone), "undelivered_cut": sum(cut for _, cut, _ in gone.values()), "broken_pipe": len(pipes),
        "wasted": sum(handed for *_, handed in gone.values()),
    }  # fmt: skip


def _server(folder, plan, host, begin, end, zero, inside, server, reader, gone, pipes, clock, why):
    curve = cpu_curve(folder / "raw" / host / "sample.jsonl", clock.get(host, 0))
    spent = (at_edge(curve, end) - at_edge(curve, begin)) / 1e9
    mine = [one for one in inside if server.get(one[0]) == host]
    lost = [at for name, at in pipes if name == host]
    return {
        "host": host, "requests": len(mine), "cpu_s": spent, "cpu_percent": 100 * spent / ((end - begin) / 1e6),
        "limit_percent": None if plan["limit"]["kind"] == "none" else plan["limit"]["percent"],
        "limit_set": None
        if plan["limit"]["kind"] == "none"
        else dict(plan.get("limit_set", ())).get(host, plan["limit"]["percent"]),
        "undelivered": sum(begin <= at < end and reader[number] == host for number, (at, *_) in gone.items()),
        "wasted": sum(
            begin <= at < end and handed and reader[number] == host for number, (at, _, handed) in gone.items()
        ),
        "attribution": count([found for number, found in why if server.get(number) == host]),
        "broken_pipe": sum(begin <= at < end for at in lost),
        "first_broken_pipe_s": (min(lost) - zero) / 1e6 if lost else None,
        "errors": classes(one for one in mine if one[3]),
    }  # fmt: skip


class Witnesses:
    """What nginx and the apps say of each id, and what it proves that they say nothing."""

    def __init__(self, folder, plan, lines, doubts, apps, requests):
        raw = folder / "raw"
        self.lines = lines
        (self.slack, self.steps), self.proxy = doubts, plan["proxy"]
        self.rows = {}
        for host, number, read, _, _, handed, _ in apps:
            self.rows.setdefault(number, []).append((host, read, handed))
        self.log_here, unread = log_here(raw / plan["proxy"])
        self.rows_here = {host: rows_here(raw / host) for host in plan["apps"]}
        good = {number for number, _, _, text in requests if not text}
        self.log_whole = self.log_here and not unread and {*good, *self.rows} <= set(self.lines)
        rowless = {
            self.lines[number][-1]["host"] if number in self.lines else None
            for number in good - set(self.rows)
        }
        went = {number: host_of_several(lines, number) for number in good & set(self.rows)}
        rowless |= {
            host
            for number, host in went.items()
            if host and host not in [row[0] for row in self.rows[number]]
        }
        self.rows_whole = {
            host: here and host not in rowless and None not in rowless
            for host, here in self.rows_here.items()
        }

    def doubt(self, one, other):
        """How far the clocks of two hosts may be apart, in µs."""
        if one == other:
            return self.steps.get(one, 0)
        return self.slack.get(one, NEVER_US) + self.slack.get(other, NEVER_US)


def reason(number, text, end, host, seen):
    """Layer and reason of a failure with error class `text` that ended at `end` on load host `host`; None: not proved."""
    lines, rows = seen.lines.get(number, []), seen.rows.get(number, [])
    if len(lines) > 1:
        return "client/resent"
    nameless = text[6:] in ("", "(more names)") or re.fullmatch(r"(#|class )\d+", text[6:])
    if text.startswith("other:") and not nameless and text[6:] not in (*NO_WAY, "HTTPParseError"):
        return "client/own"
    if text == "not_made":
        return None if lines or rows else "client/not_made"
    if text == "scenario":
        return "client/rejected"
    if not lines:
        return without_line(text, rows, seen)
    line, row = lines[0], rows[-1] if rows else None
    if row and line["attempts"] > 1 and row[0] != line["host"]:
        row = None  # nginx left the app that read it, and went on
    if row and line["attempts"] == 1 and (not line["connected"] or line["host"] not in (None, row[0])):
        return None  # two witnesses that contradict each other
    if text in ("refused", "connect_timeout"):
        return None  # and so do these
    if text.startswith("http_"):
        return of_an_answer(line) if f"http_{line['status']:03d}" == text else None
    if text == "timeout":
        return of_a_timeout(line, row, (host, end), seen)
    if text.startswith("other:"):
        return "host/reset" if text[6:] in NO_WAY and line["status"] == 499 else None
    return of_a_broken_connection(text, line, row)


def without_line(text, rows, seen):
    if rows or not seen.log_whole:
        return None
    if text[6:] in NO_WAY:
        return "proxy/never_accepted"
    return {"refused": "proxy/refused", "connect_timeout": "proxy/never_accepted", "timeout": "proxy/never_accepted",
            "reset": "proxy/reset", "closed": "proxy/reset"}.get(text)  # fmt: skip


def of_an_answer(line):
    """nginx sent an error and the client got that."""
    if not line["address"]:
        return "proxy/error"
    if not re.search(r":\d+$", line["address"]) and not line["address"].startswith("unix:"):
        return "proxy/no_live_upstream"
    if line["answered"] != str(line["status"]):
        return "proxy/error"  # nginx's own: it comes from no backend
    if line["head"]:
        return "app/error"
    if line["status"] == 502:
        return "app/reset" if line["connected"] else "app/refused"
    if line["status"] == 504:
        return "proxy/timeout" if line["connected"] else "app/never_accepted"
    return "proxy/error"


def of_a_timeout(line, row, gave_up, seen):
    """The client's time was up at `gave_up` (host, µs), and nginx wrote a line."""
    host, end = gave_up
    left = line["status"] == 499
    early = line["written"] < end - max(PUNCTUAL_US, seen.doubt(seen.proxy, host))
    if early and line["whole"] and not left:
        return "client/own"
    if line["status"] >= 400 and not left:
        return of_an_answer(line)
    begun = line["written"] - line["took"]
    if left and begun > end + max(PUNCTUAL_US, seen.doubt(seen.proxy, host)):
        return "proxy/slow"
    if left and not line["address"]:
        return "proxy/slow"
    if left and not line["connected"]:
        return "app/never_accepted"
    if row is None:
        return "app/never_accepted" if left and seen.rows_whole.get(line["host"]) else None
    server, read, handed = row
    doubt = seen.doubt(server, host)
    if handed and handed < end - max(PUNCTUAL_US, doubt):
        return "proxy/slow"
    did = handed or read
    late = did > end - PUNCTUAL_US if doubt <= PUNCTUAL_US else did > end + doubt
    if handed:
        return "app/too_late" if late or left and not line["head"] else None
    if not left:
        return None
    if late:
        return "app/too_late"
    return "client/gave_up" if read < end - max(PUNCTUAL_US, doubt) else None


def of_a_broken_connection(text, line, row):
    """Reset or closed, and nginx wrote a line."""
    if line["status"] == 499:
        return "host/reset"
    if not line["status"]:
        return "proxy/reset"
    if not row or not line["head"] or line["status"] >= 400:
        return None
    if not row[2] or (text == "closed" and line["whole"]):
        return "app/reset"
    return "proxy/reset"


def count(found):
    """{reason: how many} of (reason or None)."""
    return {one: found.count(one) for one in sorted(set(found) - {None})}


def balance(requests, seen, strange):
    """The ledger of requests: ids that do not balance, by kind; and how many somebody else sent."""
    if not seen.log_here or not all(seen.rows_here.values()):
        return None
    clients, kinds = {}, {}
    for number, _, _, text in requests:
        clients.setdefault(number, []).append(text)
    everyone = sorted({*clients, *seen.lines, *seen.rows})
    tally = {"cut": 0, "retried": 0, "never_arrived": 0}
    for number in everyone:
        texts, lines, rows = clients.get(number, []), seen.lines.get(number, []), seen.rows.get(number, [])
        text = texts[-1] if texts else None
        tried = max((line["attempts"] for line in lines), default=0)
        away = text in ("refused", "connect_timeout", "not_made")
        full = text is not None and (text in ("", "scenario") or text.startswith("http_"))
        named = lines[0]["host"] if len(lines) == len(rows) == tried == 1 else None
        went = host_of_several(seen.lines, number)
        lost = went in seen.rows_here and went not in [host for host, *_ in rows]
        for kind, wrong in (
            ("answered, but in no line of nginx", full and not lines),
            ("answered, but in no app's rows", text == "" and (not rows or lost)),
            ("in nginx's log, but never sent by a client", lines and not texts),
            ("read by an app, but in no line of nginx", rows and not lines),
            ("several lines of nginx for one request", len(lines) > 1),
            ("several app rows for one request", len(rows) > 1 and tried <= 1),
            ("several client rows for one request", len(texts) > 1),
            ("read by another server than the one that nginx names", named and named != rows[0][0]),
            ("its client never got a connection, but it is in nginx's log", away and lines),
        ):
            found = kinds.setdefault(kind, [])
            if wrong:
                found.append(number)
        tally["cut"] += text == "cut"
        tally["retried"] += tried > 1
        tally["never_arrived"] += away and not lines
    said = [
        f"{len(found)} request{'s' * (len(found) > 1)} {kind}, first {found[0]:016x}"
        for kind, found in kinds.items()
        if found
    ]
    if strange:
        said.append(f"{strange} request{'s' * (strange > 1)} of somebody else while the load ran")
    differences = sum(map(len, kinds.values()))
    return {"differences": differences, "total": len(everyone), **tally, "strangers": strange, "said": said}


def time_spent(requests, beside, started, stopped, zero, end, think_s):
    """The ledger of the users' time in [zero, end]."""
    lived = sum(end - min(max(at, zero), end) for at in started)
    lived -= sum(end - min(max(at, zero), end) for at in stopped)
    spent, last = 0, {}
    for (_, begin, over, _), (_, user, think) in zip(requests, beside, strict=True):
        spent += max(0, min(over, end) - max(begin - think, zero))
        last[user] = max(last.get(user, 0), over)
    if think_s:
        most = round(think_s * 1e6) + SLEPT_LATE_US
        spent += sum(min(end - over, most) for over in last.values() if over < end)
    gap = 1 - spent / lived if lived else 0.0
    return {"user_s": lived / 1e6, "spent_s": spent / 1e6, "gap": gap}


def firsts(requests, failed, reasons, started, stopped, zero):
    """The first failure of each reason, and of those without one."""
    found = {}
    for bad, (number, _, end, _), why in zip(failed, requests, reasons, strict=True):
        name = why or "unexplained"
        if bad and (name not in found or (end, number) < found[name]):
            found[name] = (end, number)
    return [
        {"reason": name, "second": (end - zero) / 1e6, "id": f"{number:016x}",
         "users": sum(at <= end for at in started) - sum(at <= end for at in stopped)}
        for name, (end, number) in sorted(found.items(), key=lambda one: (one[1][0], one[0]))
    ]  # fmt: skip


def differences(where, ours, theirs, skipped):
    """Sentences where results.json (theirs) is not what we counted (ours)."""
    if theirs is None and ours is not None:
        skipped.append(where)
    elif isinstance(ours, dict) and isinstance(theirs, dict):
        for name, value in ours.items():
            if name in theirs:
                yield from differences(f"{where}.{name}", value, theirs[name], skipped)
            else:
                yield f"{where}.{name}: not in results.json"
        if where.endswith(("errors", "attribution")) and set(theirs) - set(ours):
            yield f"{where}: classes that we did not see: {sorted(set(theirs) - set(ours))}"
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(f"{where}[{index}]", one, other, skipped)
    elif isinstance(ours, float) and isinstance(theirs, (int, float)) and not isinstance(theirs, bool):
        if not math.isclose(ours, theirs, rel_tol=1e-9, abs_tol=1e-9):
            yield f"{where}: {ours!r} counted, {theirs!r} in results.json"
    elif ours != theirs:
        yield f"{where}: {ours!r} counted, {theirs!r} in results.json"


def compare(path):
    """(differences, names of figures that are null in results.json) of a run folder."""
    run = json.loads((path / "run.json").read_text())
    results = json.loads((path / "results.json").read_text())
    wrong, skipped, seen = [], [], 0
    folders = {}
    for one in sorted((path / "trials").iterdir()):
        plan = json.loads((one / "plan.json").read_text())
        if plan.get("purpose", "measure") == "measure":  # those of a calibration are in no arm
            folders[plan["id"]] = one
    for arm in results["arms"]:
        for theirs in arm["trials"]:
            ours = trial(folders[theirs["id"]], run)
            seen += 1
            wrong += differences(f"{arm['label']} trial {theirs['id']}", ours, theirs, skipped)
        if len(arm["trials"]) == 1:
            ours = {name: value for name, value in ours.items() if name not in ("id", "block")}
            wrong += differences(arm["label"], ours, arm, skipped)
    if seen != len(folders):
        wrong.append(f"{len(folders)} trials are there, {seen} in results.json")
    return wrong, skipped


def main(paths):
    failed = False
    for path in paths:
        wrong, skipped = compare(Path(path))
        for line in wrong:
            print(line)
        print(f"{path}: {len(wrong)} differences; {len(skipped)} figures are null and were not compared")
        failed = failed or bool(wrong)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
