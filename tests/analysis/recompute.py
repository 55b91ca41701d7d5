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
of the load  ids whose upper 16 bits are 1 .. 0xFFEF
requests     of the load, ended in the window, class not `cut`;  failures: those with any error class
answer_or_give_up   mean of end - start over all requests
tps          successes / length;  mtt, mtsd (divisor n), percentiles (nearest rank): end - start of successes
server       of a request: app host that read it last, else the host of nginx's last upstream address
undelivered  distinct ids that an app read, without a client row of class "", http_NNN or scenario; in the window when
             the app lost the connection in it (never lost: handed the answer over in it; neither: read it in it)
broken_pipe  app rows with BrokenPipeError, in the window when the app lost the connection in it
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
CLASSES = ("", "refused", "connect_timeout", "reset", "closed", "timeout", "http", "scenario", "cut", "other")
UNIT = "loadproof-app.service"


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
    """Good lines of nginx's access log, from access.tsv or, before there was one, access.jsonl."""
    path = folder / "access.tsv"
    if not path.exists():
        yield from json_lines(folder / "access.jsonl") if (folder / "access.jsonl").exists() else ()
        return
    for line in path.read_bytes().split(b"\n")[:-1]:
        fields = line.decode("ascii", "replace").split("\t")
        if len(fields) == 16:
            plain = [re.sub(r"\\x([0-9A-F]{2})", lambda one: chr(int(one[1], 16)), field) for field in fields]
            yield {"id": plain[0], "msec": plain[4], "upstream_addr": plain[11]}


def of_the_load(number):
    return 1 <= number >> 48 < 0xFFF0


def offsets(folder):
    """µs to subtract from each host's times."""
    seen = {}
    for line in json_lines(folder / "facts.jsonl"):
        if "offset" not in line:  # how fast the generator can go
            continue
        one = (line["offset"]["half_trip_us"], line["offset"]["best_us"], line["when"])
        seen.setdefault(line["host"], []).append(one)
    found = {}
    for host, measured in seen.items():
        values = [offset for _, offset, _ in measured]
        if max(values) - min(values) > 50_000 + sum(half for half, *_ in measured):
            measured = [one for one in measured if one[2] == "before"]
        found[host] = min(measured, key=lambda one: one[0])[1]
    return found


def clients(folder, plan, clock):
    """(requests {id, start, end, error}, started, stopped, last row of each worker), µs on the common clock."""
    requests, started, stopped, last = [], [], [], {}
    for host, worker in plan["workers"]:
        path = folder / "raw" / host / f"requests-{worker}.rows"
        names = json.loads((folder / "raw" / host / f"names-{worker}.json").read_text())
        move = clock.get(host, 0)
        for row in rows(path, CLIENT):
            kind, error, status, _, error_name, number, _, _, _, _, start, _, end, _, _ = row
            at = 0
            if kind == 1 and of_the_load(number):
                text = CLASSES[error]
                text = (
                    f"http_{status:03d}"
                    if text == "http"
                    else f"other:{names[error_name]}"
                    if text == "other"
                    else text
                )
                requests.append((number, start - move, end - move, text))
                at = end - move
            elif kind in (2, 3):
                at = start - move
                (started if kind == 2 else stopped).append(at)
            elif kind == 4:
                at = SECOND.unpack(CLIENT.pack(*row))[4] - move
            if at:
                last[worker] = max(last.get(worker, 0), at)
    return requests, started, stopped, last


def app_rows(folder, plan, clock):
    """(host, id, read, lost, exception, ended) of the load."""
    found = []
    for host in plan["apps"]:
        for path in sorted((folder / "raw" / host).glob("app-*.rows")):
            for number, _, _, _, state, exception, _, _, read, handed, lost, _ in rows(path, APP):
                if state and of_the_load(number):
                    move = clock.get(host, 0)
                    ended = (lost or handed or read) - move
                    found.append(
                        (
                            host,
                            number,
                            read - move if read else 0,
                            lost - move if lost else 0,
                            exception,
                            ended,
                        )
                    )
    return found


def by_proxy(folder, plan, run, clock):
    """Host of nginx's last upstream address, by id."""
    names = {}
    for host in run["inventory"]["hosts"]:
        if "app" in host["roles"]:
            address = host["address"] or host["ssh_host"]
            names[f"[{address}]" if ":" in address else address, dict(host["ports"])["app"]] = host["name"]
    found = {}
    for line in access_lines(folder / "raw" / plan["proxy"]):
        number = line.get("id")
        if not isinstance(number, str) or not re.fullmatch("[0-9a-f]{16}", number):
            continue
        last = re.split(r"\s*,\s*|\s+:\s+", str(line.get("upstream_addr")))[-1]
        address, _, port = last.rpartition(":")
        done = float(line["msec"])
        if int(number, 16) not in found or done >= found[int(number, 16)][0]:
            found[int(number, 16)] = (done, names.get((address, int(port) if port.isdigit() else 0)))
    return {number: host for number, (_, host) in found.items()}


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
    clock = offsets(folder)
    requests, started, stopped, last = clients(folder, plan, clock)
    apps = app_rows(folder, plan, clock)
    zero = min(started)
    load = plan["load"]
    begin = zero + round((load["ramp_end_s"] + load["settle_s"]) * 1e6)
    ends = [zero + round(load["end_s"] * 1e6), *last.values(), *(at for at in stopped if at >= begin)]
    end = min(ends + [one[2] for one in requests if one[3] == "cut" and one[2] >= begin])
    server = {**by_proxy(folder, plan, run, clock)}
    for host, number, *_ in sorted(apps, key=lambda row: row[2]):
        server[number] = host
    client = {number: text for number, _, _, text in requests}
    gone = {}
    for _, number, *_, ended in sorted(apps, key=lambda row: row[2]):
        text = client.get(number)
        if text is None or not (text in ("", "scenario") or text.startswith("http_")):
            gone[number] = (ended, text == "cut")
    pipes = [(host, lost) for host, _, _, lost, exception, _ in apps if exception == 1]
    found = stretch(requests, begin, end)
    mtt = found["mtt_ms"] or 0
    users = sum(at <= begin for at in started) - sum(at < begin for at in stopped)
    window = {"kind": "hold", "users": users, "from_s": (begin - zero) / 1e6, "to_s": (end - zero) / 1e6,
              "short": round((end - begin) / 1e6, 1) < max(15, 20 * mtt / 1000)}  # fmt: skip
    inside = [one for one in requests if begin <= one[2] < end and one[3] != "cut"]
    servers = [
        _server(folder, plan, host, begin, end, zero, inside, server, gone, pipes, clock)
        for host in plan["apps"]
    ]
    spent = sum(one["cpu_s"] for one in servers)
    whole = stretch(requests, min(zero, *(one[2] for one in requests)), max(one[2] for one in requests) + 1)
    bins = {}
    for _, _, at, text in requests:
        if not text:
            bins[(at - zero) // 2_000_000] = bins.get((at - zero) // 2_000_000, 0) + 1
    return {
        "id": plan["id"], "block": plan["block"], "window": window, **found,
        "unattributed": sum(server.get(one[0]) not in plan["apps"] for one in inside),
        "undelivered": sum(begin <= at < end for at, _ in gone.values()),
        "broken_pipe": sum(begin <= at < end for _, at in pipes),
        "efficiency": (found["requests"] - found["failures"]) / spent if spent else None,
        "servers": servers,
        "whole_run": {
            **{name: whole[name] for name in ("requests", "failures", "cut", "tps", "mtt_ms", "errors")},
            "peak_tps": max(bins.values(), default=0) / 2,
            "undelivered": len(gone), "undelivered_cut": sum(cut for _, cut in gone.values()), "broken_pipe": len(pipes),
        },
    }  # fmt: skip


def _server(folder, plan, host, begin, end, zero, inside, server, gone, pipes, clock):
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
        "undelivered": sum(begin <= at < end and server[number] == host for number, (at, _) in gone.items()),
        "broken_pipe": sum(begin <= at < end for at in lost),
        "first_broken_pipe_s": (min(lost) - zero) / 1e6 if lost else None,
        "errors": classes(one for one in mine if one[3]),
    }  # fmt: skip


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
        if where.endswith("errors") and set(theirs) - set(ours):
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
