"""Files that are cut, missing or full of rubbish: never a crash, never silently fewer rows."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from analysis import load, results, rows
from analysis.readers import app, client, proxy, samples
from loadproof.runfolder import formats, record
from loadproof.runfolder.paths import RunFolder, TrialPaths
from tests.analysis import synthetic
from tests.analysis.small import CLOCKS, PLAN, SEALS

Reader = Callable[[TrialPaths], Any]
READERS: dict[str, tuple[str, Reader]] = {
    "requests": ("load1/requests-1.rows", lambda paths: client.read(paths, PLAN, CLOCKS, SEALS)),
    "app": ("app1/app-700-700000.rows", lambda paths: app.read(paths, ("app1",), CLOCKS, SEALS)),
    "proxy": ("proxy1/access.tsv", lambda paths: proxy.read(paths, "proxy1", CLOCKS, SEALS)),
    "former proxy": ("proxy1/access.jsonl", lambda paths: proxy.read(paths, "proxy1", CLOCKS, SEALS)),
    "cpu": ("app1/sample.jsonl", lambda paths: samples.read(paths, ("app1",), CLOCKS)),
}


@pytest.mark.parametrize("kind", ["requests", "app"])
def test_row_files_cut_at_every_byte(small: TrialPaths, kind: str) -> None:
    name, read = READERS[kind]
    path = small.raw() / name
    data = path.read_bytes()
    offset = 1 if kind == "requests" else 0  # the user's row
    for size in range(len(data)):
        path.write_bytes(data[:size])
        found = read(small)
        if size < 64:
            assert found.present == () and "header" in " ".join(found.notes), size
            continue
        assert found.table.num_rows == max(0, (size - 64) // 64 - offset)
        assert bool((size - 64) % 64) == any("its last row is cut" in note for note in found.notes), size


@pytest.mark.parametrize("kind", ["former proxy", "cpu"])
def test_line_files_cut_at_every_byte(former: TrialPaths, kind: str) -> None:
    name, read = READERS[kind]
    path = former.raw() / name
    data = path.read_bytes()
    for size in range(len(data)):
        path.write_bytes(data[:size])
        found = read(former)
        whole = [line for line in data[:size].split(b"\n") if line]
        torn = bool(whole) and whole[-1] not in data.split(b"\n")
        ticks = len(whole) - torn - (kind == "cpu" and len(whole) > torn)
        assert found.table.num_rows == max(0, ticks), size
        assert torn == any("1 malformed line" in note for note in found.notes), size


@pytest.mark.parametrize(
    "name",
    [name for kind, (name, _) in READERS.items() if kind != "former proxy"]
    + ["load1/names-1.json", "load1/totals-1.json", "load1/manifest.json"],
)
def test_a_cut_file_is_always_told(small: TrialPaths, name: str) -> None:
    """Also where it is cut between two rows: the manifest knows its size."""
    folder = RunFolder(small.path.parent.parent)
    path = small.raw() / name
    data = path.read_bytes()
    for size in sorted({0, 1, 63, 64, 65, 127, 128, 192, len(data) // 2, len(data) - 1} - {len(data)}):
        if size < len(data):
            path.write_bytes(data[:size])
            assert results.analyse(folder.path)["incomplete"], (name, size)


@pytest.mark.parametrize(
    ("gone", "null", "kept"),
    [
        ("load1/requests-1.rows", ("window", "tps", "requests", "errors", "undelivered", "efficiency"), ()),
        ("app1/app-*.rows", ("undelivered", "broken_pipe"), ("tps", "errors", "efficiency", "unattributed")),
        ("app1/sample.jsonl", ("efficiency",), ("tps", "undelivered", "broken_pipe")),
        ("proxy1/access.tsv", (), ("tps", "undelivered", "broken_pipe", "efficiency", "unattributed")),
    ],
)
def test_what_lacks_evidence_is_null(
    copy: RunFolder, gone: str, null: tuple[str, ...], kept: tuple[str, ...]
) -> None:
    host, name = gone.split("/")
    for path in copy.trials[0].raw(host).glob(name):
        path.unlink()
    made = results.analyse(copy.path)
    arm, other = made["arms"]
    assert {key: arm[key] for key in null} == dict.fromkeys(null)
    assert all(arm[key] is not None for key in kept)
    assert other["tps"] is not None
    assert any("01-servers-1: " + host in text for text in made["incomplete"])


def test_one_app_without_rows_leaves_the_other_its_own(copy: RunFolder) -> None:
    for path in copy.trials[1].raw("app2").glob("app-*.rows"):
        path.unlink()
    before = json.loads(copy.results.read_text())["arms"][1]
    arm = results.analyse(copy.path)["arms"][1]
    assert arm["undelivered"] is arm["broken_pipe"] is arm["whole_run"]["broken_pipe"] is None
    assert arm["servers"][0] == before["servers"][0]
    assert arm["servers"][1]["requests"] == before["servers"][1]["requests"]  # nginx knows them
    assert arm["servers"][1]["undelivered"] is None


@pytest.mark.parametrize("kept", [0.0, 0.3])
def test_a_log_of_nginx_with_holes_tells_no_server(copy: RunFolder, kept: float) -> None:
    """app2 left no rows: its requests are known by nginx alone, all of them or none."""
    paths = copy.trials[1]
    for path in paths.raw("app2").glob("app-*.rows"):
        path.unlink()
    log = paths.raw("proxy1") / "access.tsv"
    lines_of = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join(lines_of[: int(len(lines_of) * kept)]))
    for host in ("app2", "proxy1"):
        manifest = paths.raw(host) / formats.MANIFEST
        said = json.loads(manifest.read_text())
        left = [one for one in said["files"] if (manifest.parent / one["path"]).exists()]
        said["files"] = [{**one, "size": (manifest.parent / one["path"]).stat().st_size} for one in left]
        manifest.write_text(json.dumps(said))
    made = results.analyse(copy.path)
    arm = made["arms"][1]
    assert arm["servers"][1]["requests"] is arm["servers"][1]["errors"] is arm["unattributed"] is None
    assert any("app2" in text and "unknown" in text for text in made["incomplete"])
    if kept:
        assert any("nginx's log lacks" in text for text in made["incomplete"])


def test_successes_that_no_server_answered_hide_the_counts(tmp_path: Path) -> None:
    """Half of the app's rows were never written, and nginx's log is gone."""
    _, raw = synthetic.one_arm(tmp_path / "a")
    raw.app["app1", 700], raw.proxy = raw.app["app1", 700][:3], []
    made = results.analyse(synthetic.write_run(tmp_path / "b", [raw]).path)
    (arm,) = made["arms"]
    assert arm["unattributed"] is arm["servers"][0]["requests"] is None and arm["tps"] is not None
    assert any("unknown" in text for text in made["incomplete"])


def test_a_trial_that_was_never_fetched(copy: RunFolder) -> None:
    for path in sorted(copy.trials[0].raw().rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    made = results.analyse(copy.path)
    assert made["arms"][0]["tps"] is made["arms"][0]["whole_run"]["requests"] is None
    assert [text for text in made["incomplete"] if text.startswith("01")] == [
        "01-servers-1: no raw files are here: the trial was not fetched, or never ran"
    ]


def test_lost_rows_are_told(tmp_path: Path) -> None:
    folder, raw = synthetic.one_arm(tmp_path)
    path = folder.trials[0].raw("load1") / "requests-2.rows"
    data = path.read_bytes()
    path.write_bytes(data[: 64 + 64 * 5] + data[64 + 64 * 6 :])
    said = results.analyse(folder.path)["incomplete"]
    assert any("missing in the sequence" in text for text in said) and any(
        "Locust counted" in text for text in said
    )


def test_rows_that_were_never_written_are_none(small: TrialPaths) -> None:
    """A kill -9 of the app leaves room for rows at the end of its file."""
    path = small.raw("app1") / "app-700-700000.rows"
    path.write_bytes(path.read_bytes() + bytes(64 * 1000))
    assert app.read(small, ("app1",), CLOCKS, SEALS).table.num_rows == 3


def test_tables_are_made_once_and_never_trusted_when_broken(copy: RunFolder) -> None:
    paths = copy.trials[0]
    plan = record.read_plan(paths.plan)

    def where(kind: str) -> Path:
        return copy.table(kind, paths.name)

    first = load.tables(paths, plan, where)
    stamps = {kind: where(kind).stat().st_mtime_ns for kind in load.KINDS}
    assert load.tables(paths, plan, where).requests.table().equals(first.requests.table())
    assert {kind: where(kind).stat().st_mtime_ns for kind in load.KINDS} == stamps
    data = where("requests").read_bytes()
    for rubbish in (data[: len(data) // 2], b"", b"PAR1", data[:-1], None):
        where("requests").unlink()
        if rubbish is not None:
            where("requests").write_bytes(rubbish)
        again = load.tables(paths, plan, where)
        assert again.requests.table().equals(first.requests.table()) and again.notes == first.notes
    whole = first.proxy.table()
    old = whole.set_column(0, "id", whole["id"].cast("string"))  # as another version may have made it
    note = pq.read_metadata(where("proxy")).metadata[rows.NOTE_KEY]
    load.write(where("proxy"), old, json.loads(note))
    assert load.tables(paths, plan, where).proxy.table().equals(first.proxy.table())
    load.tables(paths, plan, where, rebuild=True)
    assert {kind: where(kind).stat().st_mtime_ns for kind in load.KINDS} != stamps
    assert not list(copy.path.rglob("*.tmp"))


def test_a_table_that_cannot_be_read_to_its_end_is_made_again(copy: RunFolder) -> None:
    before = json.loads(json.dumps(results.analyse(copy.path)))
    path = copy.table("app", copy.trials[0].name)
    data = path.read_bytes()
    path.write_bytes(data[:200] + bytes(600) + data[800:])  # what Parquet finds a file by is at its end
    assert rows.opened(path)[0].count
    assert json.loads(json.dumps(results.analyse(copy.path))) == before
    assert path.read_bytes() == data


def test_tables_of_other_raw_files_are_not_read(copy: RunFolder, tmp_path: Path) -> None:
    """The same names and sizes, other content or another place."""
    paths = copy.trials[0]
    plan = record.read_plan(paths.plan)

    def where(kind: str) -> Path:
        return copy.table(kind, paths.name)

    before = load.tables(paths, plan, where).requests.table()
    path = paths.raw("load1") / "requests-1.rows"
    rows = np.frombuffer(path.read_bytes()[64:], formats.CLIENT_ROW).copy()
    rows["error"][rows["kind"] == formats.KIND_REQUEST] = formats.ERROR_CLASSES.index("timeout")
    path.write_bytes(path.read_bytes()[:64] + rows.tobytes())
    assert not load.tables(paths, plan, where).requests.table().equals(before)
    made = where("requests").stat().st_mtime_ns
    manifest = paths.raw("load1") / formats.MANIFEST
    stamp, text = manifest.stat(), manifest.read_text()
    manifest.write_text(
        text.replace('"sha256": ""', '"sha256": "5"', 1).replace('"format": 1', '"format":1', 1)
    )
    os.utime(manifest, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    load.tables(paths, plan, where)
    assert where("requests").stat().st_mtime_ns != made
    made = where("requests").stat().st_mtime_ns
    moved = RunFolder(Path(shutil.copytree(copy.path, tmp_path / "elsewhere" / copy.id)))
    load.tables(moved.trials[0], plan, where)
    assert where("requests").stat().st_mtime_ns != made


def test_random_damage_never_crashes(copy: RunFolder) -> None:
    chance = random.Random(5)
    files = [path for path in copy.trials[1].path.rglob("*") if path.is_file() and path.name != "plan.json"]
    for _ in range(25):
        path = chance.choice(files)
        before = path.read_bytes()
        data = bytearray(before)
        for _ in range(chance.randint(1, 200)):
            at = chance.randrange(len(data))
            data[at] = chance.randrange(256)
        path.write_bytes(data)
        try:
            results.analyse(copy.path, rebuild=True)
        finally:
            path.write_bytes(before)


def test_reserved_ids_are_outside_every_figure(two_arms: RunFolder) -> None:
    paths = two_arms.trials[0]
    found = load.tables(paths, record.read_plan(paths.plan), lambda kind: two_arms.table(kind, paths.name))
    assert (formats.worker_of(found.app.table()["id"].to_numpy()) >= 0xFFF0).sum() == 200
    made = json.loads(two_arms.results.read_text())["arms"][0]["whole_run"]
    assert made["requests"] + made["cut"] == found.requests.count


def test_a_name_that_is_no_text(copy: RunFolder) -> None:
    """Half a surrogate pair is JSON, and no UTF-8."""
    path = copy.trials[0].raw("load1") / "names-1.json"
    names = json.loads(path.read_text())
    path.write_text(json.dumps([f"\ud800{name}" for name in names]))
    judgement = results.judge(copy)
    assert any(
        name.startswith("\\ud800") for name in judgement.members[0].judged.tables.requests.labels("name")
    )
    assert judgement.results["arms"][0]["requests"]
