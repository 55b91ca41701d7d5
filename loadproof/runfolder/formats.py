"""Columns and units of every raw file, once.

The programs that write these files are shipped to hosts and import nothing of ours; `tests/runfolder` runs each real
program and reads its output with the schema below. All integers are little-endian. Times called `*_us` are
microseconds since the epoch: a realtime anchor taken at start plus the difference of CLOCK_MONOTONIC; 0 means "did not
happen".

A row file begins with a 64-byte header (`HEADER`), then rows of `row_size` bytes. A file may end inside a row (the
writer was killed): the cut row is counted, not read.
"""

from __future__ import annotations

import numpy as np

HEADER = np.dtype(
    [
        ("magic", "S8"),  # b"LPCLIENT" or b"LPAPPROW"
        ("format", "<u2"),  # 1
        ("row_size", "<u2"),
        ("worker", "<u2"),  # Locust worker number; 0 for the app
        ("_pad0", "<u2"),
        ("realtime_us", "<i8"),  # the two clocks, read together at start
        ("monotonic_ns", "<i8"),
        ("pid", "<u4"),
        ("_pad1", "S28"),
    ]
)
assert HEADER.itemsize == 64
CLIENT_MAGIC = b"LPCLIENT"
APP_MAGIC = b"LPAPPROW"

# requests-<worker>.rows : one row per event, written by a Locust worker (loadtests/recorder.py)
# The file grows ahead of its rows: after a kill it ends in rows of kind 0, reserved and never written. Skip them.
KIND_REQUEST, KIND_USER_STARTED, KIND_USER_STOPPED, KIND_SECOND = 1, 2, 3, 4

ERROR_CLASSES = (
    "",  # 0: none
    "refused",  # 1
    "connect_timeout",  # 2
    "reset",  # 3
    "closed",  # 4
    "timeout",  # 5
    "http",  # 6: reported as http_NNN
    "scenario",  # 7
    "cut",  # 8
    "other",  # 9: reported as other:NAME, NAME is names[error_name]
    "not_made",  # 10: of an open load: no user was free for as long as the timeout; it was never sent
)

CLIENT_ROW = np.dtype(
    [
        ("kind", "u1"),  # KIND_*
        ("error", "u1"),  # index in ERROR_CLASSES
        ("status", "<u2"),  # HTTP status, 0: none was received
        ("name", "<u2"),  # index in names-<worker>.json
        ("error_name", "<u2"),  # index in names-<worker>.json, for "other"
        ("id", "<u8"),  # 16 bits worker, 48 bits sequence from 0
        ("user", "<u4"),  # number of the user in its worker, from 1
        ("port", "<u2"),  # local port, 0: never connected
        ("_pad", "<u2"),
        ("intended_us", "<i8"),  # when it was to be sent; in a closed load when it was
        ("start_us", "<i8"),
        ("first_us", "<i8"),  # first byte of the answer
        ("end_us", "<i8"),  # last byte, or when it was given up
        ("bytes", "<u4"),  # body bytes received
        ("think_us", "<u4"),  # time slept before this request
    ]
)
assert CLIENT_ROW.itemsize == 64

# The same 64 bytes for KIND_SECOND: the state of the worker once a second (user_started/stopped use CLIENT_ROW with
# `user` and `start_us`).
SECOND_ROW = np.dtype(
    [
        ("kind", "u1"),
        ("_pad0", "S7"),
        ("_id", "<u8"),
        ("users", "<u4"),  # users alive in this worker
        ("_pad1", "<u4"),
        ("start_us", "<i8"),  # when the second ended
        ("lag_max_us", "<i8"),  # event loop lag in that second
        ("lag_p99_us", "<i8"),
        ("cpu_ns", "<i8"),  # CPU of the worker process so far
        ("_pad2", "<i8"),
    ]
)
assert SECOND_ROW.itemsize == 64

# app-<pid>-<monotonic ns>.rows : one row per request, completed in place in a shared mapping (app/witness.py)
APP_EXCEPTIONS = ("", "BrokenPipeError", "ConnectionResetError", "other")

APP_STATE_READ, APP_STATE_HANDED, APP_STATE_LOST = 1, 2, 4  # bits of `state`

APP_ROW = np.dtype(
    [
        ("id", "<u8"),  # X-Loadproof-Id, 0: none or not valid
        ("connection", "<u4"),  # number of the connection in this process, from 1
        ("peer_port", "<u2"),
        ("status", "<u2"),  # status of the response, 0: none started
        ("state", "u1"),  # APP_STATE_* bits; 0: the row is not written yet
        ("exception", "u1"),  # index in APP_EXCEPTIONS: what connection_lost was given
        ("_pad", "S6"),
        ("accepted_us", "<i8"),  # connection accepted
        ("read_us", "<i8"),  # request head read
        ("handed_us", "<i8"),  # last byte handed to the transport
        ("lost_us", "<i8"),  # connection lost while this request was the connection's last one
        ("_pad2", "<i8"),
    ]
)
assert APP_ROW.itemsize == 64

# ids outside every figure
WORKER_WARM, WORKER_HEALTH, WORKER_PROBE = 0xFFF0, 0xFFF1, 0xFFF2
FIRST_RESERVED_WORKER = 0xFFF0
SEQUENCE = np.uint64((1 << 48) - 1)  # the lower 48 bits of an id: its number in its worker, from 0


def worker_of(ids: np.ndarray) -> np.ndarray:
    """Worker number (upper 16 bits) of an array of ids, shape kept."""
    return (ids >> np.uint64(48)).astype(np.uint16)


# access.tsv : one line per request, its fields separated by tabs, written by nginx (templates/nginx.conf.j2). Quote,
# backslash and bytes below 32 or above 126 are \xXX, so a field holds no tab and no line end; "-" stands for what is not
# there. Times in seconds with 3 decimals as nginx prints them; the upstream fields are texts: several attempts come as a
# list ("a, b"), "-" is none. A last line without its line end was cut.
# access.jsonl : the same fields as one JSON object per request, of runs made before access.tsv; "" is what is not there.
ACCESS_LOG, ACCESS_LOG_1 = "access.tsv", "access.jsonl"
PROXY_FIELDS = (
    "id",  # X-Loadproof-Id as received
    "connection",  # $connection
    "port",  # $remote_port
    "peer",  # $remote_addr
    "msec",  # $msec: when the line was written
    "request_time",  # $request_time
    "status",
    "completion",  # $request_completion: "OK" or ""
    "bytes",  # $body_bytes_sent
    "method",
    "uri",
    "upstream_addr",
    "upstream_status",
    "upstream_connect_time",
    "upstream_header_time",
    "upstream_response_time",
)

# sample.jsonl : first line {"kind":"start","host","boot_id","cpus","clock_ticks"}, then every 0.5 s one line
#   {"realtime_us", "monotonic_ns",
#    "processes": [{"pid","start","name","unit","state","cpu_ns"}...],   all processes of the host; start: ticks after
#                                                                        boot; unit: systemd unit from the cgroup or ""
#    "spent_us",                                                         since the first line, of all control groups of
#                                                                        the host, ended processes too; null without v2
#    "cpu": {"user_us","system_us","idle_us","iowait_us","steal_us"},    cumulative, of /proc/stat
#    "memory": {"total_kb","available_kb"}, "disk": {"free_kb","total_kb"}}
# and, when lines before it could not be written, {"kind":"lost","count","why"}.
# cpu_ns is cumulative: the process's CPU clock (all threads, ended ones too).

# limiter.jsonl : one event per line {"realtime_us","monotonic_ns","event", ...}
#   started {"limiter","percent","unit","program","version"} · attached {"pid","child"} · detached {"pid","reason"} ·
#   gone {"what"} · lifted {"pid"} · in_force {"ok","why"} · ended {"why"}

# manifest.json : {"format":1,"host","run","trial","sealed_us","files":[{"path","size","sha256"}...]}, and
#   "held":{path:[pid...]} when writers did not let go in time: the last rows of these may be missing
MANIFEST = "manifest.json"

FORMAT = 2  # of run.json and plan.json: 1 had one experiment per number of servers, and no arms
RESULTS_FORMAT = 1  # of results.json: keys are added to it, none is taken away
