"""Raw files of one small trial, without clocks and seals."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from analysis.readers import accesslog
from analysis.readers.clock import Clocks
from analysis.readers.sealed import Seal, Seals
from loadproof.runfolder import formats
from loadproof.runfolder.paths import TrialPaths
from tests.analysis import synthetic

CLOCKS = Clocks({}, ())
OBJECT_NUMBERS = ("connection", "port", "msec", "request_time", "bytes")  # "status" was text
SEALS = Seals({host.name: Seal(Path(), {}) for host in synthetic.HOSTS})  # of which nothing is doubted
PLAN = synthetic.plan(workers=(("load1", 1),), loads=("load1",))


def write(base: Path) -> TrialPaths:
    """Raw files of a few rows each."""
    raw = synthetic.Raw(PLAN)
    raw.user(1, 1, 0.0)
    for index in range(3):
        number = raw.request(1, index, 1.0 + index, 1.5 + index, "other" if index == 1 else "", error_name=2)
        raw.read("app1", number, 1.1 + index, 1.4 + index)
        raw.logged(number, 1.0 + index, 1.5 + index)
        raw.sample("app1", index, [(7, 1, "loadproof-app.service", index)])
    folder = synthetic.write_run(base, [raw])
    return folder.trials[0]


def as_objects(line: bytes, **changes: str) -> bytes:
    """A line of access.tsv as access.jsonl had it before."""
    texts = map(accesslog.text, line.split(b"\t"))
    found: dict[str, Any] = dict(zip(formats.PROXY_FIELDS, texts, strict=True)) | changes
    numbers = {name: float(found[name]) for name in OBJECT_NUMBERS if found[name] != "-"}
    return json.dumps({**found, **numbers}).encode() + b"\n"


def write_former(base: Path) -> TrialPaths:
    """The same files with the log that nginx wrote before access.tsv."""
    paths = write(base)
    path = paths.raw("proxy1") / formats.ACCESS_LOG
    objects = b"".join(map(as_objects, path.read_bytes().splitlines()))
    path.with_name(formats.ACCESS_LOG_1).write_bytes(objects)
    path.unlink()
    return paths
