"""Rows that were lost: the figures that need them are null and it is said why, and the others stay as they were."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from analysis import results
from analysis.readers import lines, samples
from analysis.readers.clock import Clocks, clocks
from loadproof.plan.values import TrialPlan
from loadproof.runfolder import formats, record
from loadproof.runfolder.paths import RunFolder
from tests.analysis import recompute, synthetic

Rows = Any
DELIVERY = ("undelivered", "broken_pipe")
CLIENTS = ("window", "requests", "tps", "mtt_ms", "errors", "undelivered", "efficiency")


def plan_of(copy: RunFolder, trial: int) -> TrialPlan:
    return record.read_plan(copy.trials[trial].plan)


def rows_of(path: Path) -> Rows:
    kind = formats.APP_ROW if path.name.startswith("app-") else formats.CLIENT_ROW
    return np.frombuffer(path.read_bytes()[64:], kind).copy()


def keep(path: Path, rows: Rows) -> None:
    """These rows behind the header that is there."""
    path.write_bytes(path.read_bytes()[:64] + rows.tobytes())


def app_file(copy: RunFolder, trial: int, host: str = "app1") -> Path:
    (path,) = copy.trials[trial].raw(host).glob("app-*.rows")
    return path


def client_file(copy: RunFolder, trial: int, worker: int) -> Path:
    host = {number: host for host, number in plan_of(copy, trial).workers}[worker]
    return copy.trials[trial].raw(host) / f"requests-{worker}.rows"


def seal(path: Path, copy: RunFolder, trial: int) -> None:
    """Seals the folder of a file anew: it was like this on the host already."""
    synthetic.seal(path.parent, path.parent.name, plan_of(copy, trial))


def count(path: Path, rows: Rows) -> None:
    """Locust's own count as if these were all rows."""
    requests = rows[rows["kind"] == formats.KIND_REQUEST]
    done = int((requests["error"] != formats.ERROR_CLASSES.index("cut")).sum())
    path.with_name(path.name.replace("requests", "totals").replace(".rows", ".json")).write_text(
        json.dumps({"requests": done})
    )


def judged(copy: RunFolder, trial: int) -> tuple[dict[str, Any], str]:
    """The figures of a trial, and everything that is said of it."""
    made = results.analyse(copy.path, rebuild=True)
    return made["arms"][trial], "\n".join(
        text for text in made["incomplete"] if text.startswith(f"0{trial + 1}-")
    )


def assert_null(arm: dict[str, Any], names: tuple[str, ...]) -> None:
    assert {name: arm[name] for name in names} == dict.fromkeys(names)


def test_what_is_whole_is_not_doubted(two_arms: RunFolder) -> None:
    made = results.analyse(two_arms.path)
    assert made["incomplete"] == []
    assert all(arm["undelivered"] is not None and arm["whole_run"]["tps"] for arm in made["arms"])


# the apps' rows


def test_answers_without_an_app_row_tell_that_rows_were_lost(copy: RunFolder) -> None:
    """As after a full disk: the app served on, its file was sealed with the rows it has."""
    before = json.loads(copy.results.read_text())["arms"][1]
    path = app_file(copy, 1, "app2")
    rows = rows_of(path)
    keep(path, rows[: len(rows) // 2])
    seal(path, copy, 1)
    arm, said = judged(copy, 1)
    assert "app2: " in said and "without an app row" in said and "app1" not in said
    for name in DELIVERY:
        assert arm[name] is arm["servers"][1][name] is arm["whole_run"][name] is None
    assert arm["servers"][0] == before["servers"][0]
    assert arm["servers"][1]["requests"] == before["servers"][1]["requests"]  # nginx knows them
    assert arm["tps"] == before["tps"] and arm["servers"][1]["first_broken_pipe_s"] is None


def test_without_nginx_a_lost_app_row_may_be_any_servers(copy: RunFolder) -> None:
    path = app_file(copy, 1, "app2")
    rows = rows_of(path)
    keep(path, rows[: len(rows) // 2])
    seal(path, copy, 1)
    (copy.trials[1].raw("proxy1") / "access.tsv").unlink()
    arm, said = judged(copy, 1)
    assert "of no known server" in said
    assert [server["undelivered"] for server in arm["servers"]] == [None, None]
    assert [server["requests"] for server in arm["servers"]] == [None, None]
    assert arm["unattributed"] is None and arm["tps"] is not None


def test_app_rows_never_written_before_rows_that_were(copy: RunFolder) -> None:
    """Also where they were of requests that failed: no answer is missing then."""
    path = app_file(copy, 0)
    rows = rows_of(path)
    rows[np.flatnonzero(rows["exception"])[:2]] = 0
    keep(path, rows)
    arm, said = judged(copy, 0)
    assert "app1: 2 rows cut, or never written before rows that were" in said
    assert_null(arm, DELIVERY)


def test_an_app_that_says_it_lost_rows_is_believed(copy: RunFolder) -> None:
    path = copy.trials[0].raw("app1") / "app.log"
    path.write_text(
        "INFO: started\nloadproof app: witness stopped: [Errno 28] No space left on device (/x); requests are served\n"
    )
    seal(path, copy, 0)
    arm, said = judged(copy, 0)
    assert "app1: the app said that it lost rows (witness stopped: [Errno 28] No space left" in said
    assert_null(arm, DELIVERY)


# what was sealed


@pytest.mark.parametrize(
    "harm", ["missing", "shorter", "longer", "held", "another trial's", "another host's"]
)
def test_app_rows_that_are_not_those_that_were_sealed(copy: RunFolder, harm: str) -> None:
    """A file of an app without an answered request: only the manifest tells that it matters."""
    path = app_file(copy, 0)
    other = path.with_name("app-701-1.rows")
    other.write_bytes(path.read_bytes()[:64] + bytes(640))
    seal(path, copy, 0)
    manifest = path.with_name(formats.MANIFEST)
    sealed = json.loads(manifest.read_text())
    if harm == "missing":
        other.unlink()
    elif harm in ("shorter", "longer"):
        other.write_bytes(other.read_bytes()[:64] + bytes(64 if harm == "shorter" else 704))
    elif harm == "held":
        manifest.write_text(json.dumps({**sealed, "held": {other.name: [192]}}))
    else:
        manifest.write_text(json.dumps({**sealed, **({"trial": "09"} if "trial" in harm else {"host": "b"})}))
    arm, said = judged(copy, 0)
    assert_null(arm, DELIVERY)
    assert arm["tps"] is not None
    assert ("app1: its manifest speaks of" if harm.startswith("another") else f"app1: {other.name}") in said


@pytest.mark.parametrize("text", [None, "{"], ids=["never fetched", "damaged"])
def test_without_a_manifest_no_rows_and_no_log_are_whole(tmp_path: Path, text: str | None) -> None:
    """A fetch that was interrupted: the manifest comes last."""
    folder = three_failures(tmp_path, row=False)
    whole = results.analyse(folder.path)["arms"][0]["whole_run"]
    assert sum(whole["attribution"].values()) == 2 and whole["ledgers"]["requests"]["differences"] == 0
    for host in ("app1", "proxy1"):
        manifest = folder.trials[0].raw(host) / formats.MANIFEST
        manifest.unlink() if text is None else manifest.write_text(text)
    made = results.analyse(folder.path)
    whole = made["arms"][0]["whole_run"]
    assert (whole["attribution"], whole["unexplained"]) == ({}, 2)
    assert whole["ledgers"]["requests"] is whole["undelivered"] is None
    assert sum("no manifest" in said for said in made["incomplete"]) == 2
    assert recompute.compare(folder.path)[0] == []


def test_every_held_file_is_said(copy: RunFolder) -> None:
    path = copy.trials[0].raw("proxy1") / formats.MANIFEST
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "held": {"access.tsv": [1], "sample.jsonl": [2]}}))
    arm, said = judged(copy, 0)
    assert said.count("was still being written when it was sealed") == 2
    assert "access.tsv is not whole" in said and arm["undelivered"] is not None


def test_a_line_file_cut_between_lines_does_not_name_servers(copy: RunFolder) -> None:
    path = copy.trials[1].raw("proxy1") / "access.tsv"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-20]))
    app_file(copy, 1, "app2").unlink()
    arm, _ = judged(copy, 1)
    assert arm["servers"][1]["requests"] is None and arm["tps"] is not None


@pytest.mark.parametrize("text", ['{"files": [{"path": "a\\u0000b", "size": 1}]}', '{"files": [{"path": "%s", "size": 1}]}' % ("x" * 5000), '{"files": [], "held": 3}', '{"files": [{"path": "a", "size": 1e999}]}'])  # fmt: skip
def test_a_manifest_of_rubbish_is_told(copy: RunFolder, text: str) -> None:
    (copy.trials[0].raw("app1") / formats.MANIFEST).write_text(text)
    assert "app1: " in judged(copy, 0)[1]


# the clients' rows


def wrong_header(rows: Rows, path: Path) -> Rows:
    path.write_bytes(synthetic.header(formats.CLIENT_MAGIC, 2))
    return rows


def lose(rows: Rows, path: Path) -> Rows:
    return np.delete(rows, np.flatnonzero(rows["kind"] == formats.KIND_REQUEST)[20:25])


def blank(rows: Rows, path: Path) -> Rows:
    rows[np.flatnonzero(rows["kind"] == formats.KIND_SECOND)[10]] = 0
    return rows


def twice(rows: Rows, path: Path) -> Rows:
    at = np.flatnonzero(rows["kind"] == formats.KIND_REQUEST)[20]
    return np.insert(rows, at, rows[at])


def nothing(rows: Rows, path: Path) -> Rows:
    return rows[:0]


@pytest.mark.parametrize(
    ("harm", "counts", "words"),
    [
        (wrong_header, True, "its header names worker 2"),
        (lose, True, "5 numbers missing in the sequence"),
        (blank, True, "1 row never written before rows that were"),
        (twice, False, "Locust counted"),
        (twice, True, "1 id written twice"),
        (nothing, False, "holds no rows"),
        (nothing, True, "holds no rows"),
    ],
)
def test_a_worker_with_a_hole_in_its_rows(
    copy: RunFolder, harm: Callable[[Rows, Path], Rows], counts: bool, words: str
) -> None:
    """Sealed like that: the file itself has to tell. `counts`: so does Locust's count."""
    path = client_file(copy, 0, 1)
    rows = harm(rows_of(path), path)
    keep(path, rows)
    if counts:
        count(path, rows)
    seal(path, copy, 0)
    arm, said = judged(copy, 0)
    assert words in said
    assert_null(arm, CLIENTS)
    assert arm["whole_run"]["requests"] is arm["whole_run"]["tps"] is arm["whole_run"]["undelivered"] is None
    assert json.loads(copy.results.read_text())["arms"][1]["tps"] is not None


def ends(rows: Rows) -> Any:
    """When each row was written."""
    begin = np.where(
        rows["kind"] == formats.KIND_SECOND, rows.view(formats.SECOND_ROW)["start_us"], rows["start_us"]
    )
    return np.where(rows["kind"] == formats.KIND_REQUEST, rows["end_us"], begin)


def with_a_request_in_flight(rows: Rows, from_us: int) -> tuple[Rows, int]:
    """The rows up to a moment from which an earlier request is answered later than a later one, and that moment."""
    for moment in range(from_us, from_us + 4_000_000, 10_000):
        left = rows[ends(rows) < moment]
        sequence = np.sort(left["id"][left["kind"] == formats.KIND_REQUEST])
        if int(sequence[-1] - sequence[0]) + 1 > len(sequence):
            return left, moment
    raise AssertionError("no such moment")


@pytest.mark.parametrize("how", ["fetched short", "killed", "disk full"])
def test_a_worker_whose_last_rows_are_missing_ends_the_window(copy: RunFolder, how: str) -> None:
    """What was in flight when the rows end has no row; that is no hole."""
    path = client_file(copy, 1, 1)
    zero = synthetic.T0 + synthetic.OFFSETS[path.parent.name]
    left, moment = with_a_request_in_flight(rows_of(path), zero + 16_000_000)
    keep(path, left)
    if how == "killed":
        path.write_bytes(path.read_bytes() + bytes(6400))  # room for rows
        path.with_name("totals-1.json").unlink()
    if how != "fetched short":
        seal(path, copy, 1)
    arm, said = judged(copy, 1)
    assert "missing in the sequence" in said
    assert "its last rows may be missing: the window ends where they end" in said
    assert "of no known kind" not in said and "never written" not in said
    assert arm["window"]["to_s"] == pytest.approx((moment - zero) / 1e6, abs=1) and arm["tps"] > 0
    assert arm["undelivered"] is arm["whole_run"]["requests"] is arm["whole_run"]["undelivered"] is None
    wrong, null = recompute.compare(copy.path)
    lost = ("undelivered", "wasted", "whole_run")
    assert wrong == [] and all(any(one in name for one in lost) for name in null)


def test_room_for_rows_at_the_end_is_no_loss(copy: RunFolder) -> None:
    before = json.loads(copy.results.read_text())["arms"]
    path = client_file(copy, 0, 1)
    path.write_bytes(path.read_bytes() + bytes(64 * 1000))
    seal(path, copy, 0)
    made = results.analyse(copy.path)
    assert made["incomplete"] == [] and made["arms"] == before


@pytest.mark.parametrize("kind", [formats.KIND_REQUEST, formats.KIND_USER_STARTED, formats.KIND_SECOND])
@pytest.mark.parametrize("time", [0, -(2**62), 2**62, 2**63 - 1])
def test_a_time_that_cannot_be_is_set_aside(copy: RunFolder, kind: int, time: int) -> None:
    path = client_file(copy, 0, 1)
    rows = rows_of(path)
    at = int(np.flatnonzero(rows["kind"] == kind)[1])
    if kind == formats.KIND_SECOND:
        rows.view(formats.SECOND_ROW)["start_us"][at] = time
    else:
        rows["end_us" if kind == formats.KIND_REQUEST else "start_us"][at] = time
    keep(path, rows)
    arm, said = judged(copy, 0)
    assert (
        "1 row set aside, with times that cannot be, first: " in said and said.replace("\n", "").isprintable()
    )
    assert_null(arm, CLIENTS)


@pytest.mark.parametrize("sealed", [False, True])
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lost_us", -(2**63)), ("lost_us", 1), ("lost_us", 2**62), ("lost_us", 0), ("handed_us", 0), ("handed_us", 10**15),
        ("read_us", 0), ("read_us", 2**63 - 1), ("accepted_us", -1), ("state", 8), ("exception", 127),
    ],
)  # fmt: skip
def test_an_app_row_that_cannot_be_is_set_aside(
    copy: RunFolder, sealed: bool, field: str, value: int
) -> None:
    """Whether hosts wrote it so or it was spoiled later: it makes no first BrokenPipeError before the load."""
    path = app_file(copy, 0)
    rows = rows_of(path)
    at = int(np.flatnonzero((rows["exception"] == 1) & (rows["id"] >> np.uint64(48) == 1))[0])
    rows[field][at] = value
    keep(path, rows)
    if sealed:
        seal(path, copy, 0)
    arm, said = judged(copy, 0)
    assert (
        "app1: 1 row set aside, with times that cannot be, first: " in said
        and said.replace("\n", "").isprintable()
    )
    assert_null(arm, DELIVERY)
    assert next(one for one in arm["checks"] if one["name"] == "rows_complete")["verdict"] == "INVALID"


# clocks


def change_facts(
    copy: RunFolder, trial: int, change: Callable[[dict[str, Any]], dict[str, Any] | None]
) -> None:
    path = copy.trials[trial].facts
    lines = [change(json.loads(line)) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line is not None))


def _servers(arm: dict[str, Any], waited: bool) -> list[dict[str, Any]]:
    """The servers of an arm; not `waited`: without what they had while requests waited."""
    every = [dict(server) for server in arm["servers"]]
    return every if waited else [{**server, "cpu_saturated_percent": None} for server in every]


@pytest.mark.parametrize("host", ["app1", "load1", "proxy1"])
def test_of_a_clock_that_moved_the_one_before_counts(copy: RunFolder, host: str) -> None:
    """Also where the later measurement is the better one: rows count from the beginning of their file. Lines of nginx do
    not: when requests waited at a server is not known."""
    before = json.loads(copy.results.read_text())["arms"]

    def step(line: dict[str, Any]) -> dict[str, Any]:
        if (line["host"], line["when"]) == (host, "after"):
            line["offset"] = {"best_us": line["offset"]["best_us"] + 60_000_000, "half_trip_us": 1}
        return line

    change_facts(copy, 1, step)
    made = results.analyse(copy.path)
    found = [{**arm, "trials": ()} for arm in made["arms"]]
    waited = ("checks", "verdict") if host == "proxy1" else ()
    for one, other in zip(found, before, strict=True):
        one.update({name: other[name] for name in waited}, servers=_servers(one, host != "proxy1"))
        other.update(trials=(), servers=_servers(other, host != "proxy1"))
    assert found == before
    (said,) = made["incomplete"]
    assert f"{host}: its clock moved by 60000 ms" in said and "as it was" in said and "nginx" in said
    assert recompute.compare(copy.path) == ([], [])


def test_a_clock_measured_well_twice_is_the_better_one(copy: RunFolder) -> None:
    change_facts(
        copy, 0, lambda line: {**line, "offset": {"best_us": 5, "half_trip_us": 9}} if line["when"] == "after" and line["host"] == "load1" else line
    )  # fmt: skip
    assert clocks(copy.trials[0], ["load1"]).offsets == {"load1": 5}


def test_load_hosts_whose_clocks_are_not_known_to_each_other(copy: RunFolder) -> None:
    change_facts(copy, 0, lambda line: None if line["host"] == "load2" else line)
    arm, said = judged(copy, 0)
    assert "load2: its clock is not known against those of the other load hosts" in said
    assert_null(arm, CLIENTS)


WINDOWED = ("undelivered", "broken_pipe", "efficiency")
UNPLACED = "undelivered, BrokenPipeError and CPU of the window are unknown there"


@pytest.mark.parametrize("how", ["none", "coarse"])
def test_an_app_host_whose_clock_is_not_known(copy: RunFolder, how: str) -> None:
    """Nothing of it can be placed in the window; what needs no time stands."""
    before = json.loads(copy.results.read_text())["arms"][0]
    coarse = {"best_us": 0, "half_trip_us": 3_000_000}

    def lose(line: dict[str, Any]) -> dict[str, Any] | None:
        if line["host"] != "app1":
            return line
        return {**line, "offset": coarse} if how == "coarse" else None

    change_facts(copy, 0, lose)
    arm, said = judged(copy, 0)
    assert f"app1: {UNPLACED}" in said
    assert {
        "none": "app1: no clock offset was measured",
        "coarse": "app1: its clock is only known to ± 3.00 s",
    }[how] in said
    assert "no limit for" not in said
    assert_null(arm, WINDOWED)
    (server,) = arm["servers"]
    assert_null(server, ("undelivered", "broken_pipe", "cpu_percent", "cpu_s", "first_broken_pipe_s"))
    assert arm["whole_run"]["broken_pipe"] > 0
    for name in ("tps", "mtt_ms", "requests", "window", "whole_run"):
        assert arm[name] == before[name], name
    assert server["requests"] == before["servers"][0]["requests"]


def test_a_clock_known_badly_is_said_and_used(copy: RunFolder) -> None:
    before = json.loads(copy.results.read_text())["arms"]
    change_facts(
        copy, 0, lambda line: {**line, "offset": {**line["offset"], "half_trip_us": 300_000}} if line["host"] == "app1" else line
    )  # fmt: skip
    made = results.analyse(copy.path)
    assert made["incomplete"] == ["01-servers-1: app1: its clock is only known to ± 0.30 s"]
    assert made["arms"][1] == before[1]
    assert made["arms"][0]["servers"][0]["undelivered"] is not None


def test_one_host_for_load_and_app_needs_no_offset() -> None:
    known = Clocks({}, (), frozenset({"app2", "load2"}))
    assert known.beside(["app1"], ["app1", "app2"]) == ("app1",)
    assert known.beside(["load1"], ["app1", "app2"]) == ()
    assert known.beside(["load2"], ["app1", "app2"]) == ("app2",)


# ids that nobody gave


def strange(copy: RunFolder, trial: int, *ids: int) -> None:
    """More requests that app1 read and answered, in the window."""
    path = app_file(copy, trial)
    rows = rows_of(path)
    handed = rows[(rows["handed_us"] > 0) & (rows["id"] >> 48 < formats.FIRST_RESERVED_WORKER)]
    more = np.repeat(handed[len(handed) // 2 :][:1], len(ids))
    more["id"] = ids
    keep(path, np.concatenate((rows, more)))
    seal(path, copy, trial)


def test_ids_of_no_worker_of_the_trial_are_left_out(copy: RunFolder) -> None:
    before = json.loads(copy.results.read_text())["arms"][0]
    strange(copy, 0, *((77 << 48) + number for number in range(5)))
    arm, said = judged(copy, 0)
    assert "app1: 5 requests with ids of no Locust worker of this trial: left out" in said
    ledger = arm["whole_run"]["ledgers"].pop("requests")
    known = before["whole_run"]["ledgers"].pop("requests")
    assert ledger == {**known, "strangers": 5, "said": ["5 requests of somebody else while the load ran"]}
    assert arm["undelivered"] == before["undelivered"] and arm["whole_run"] == before["whole_run"]
    assert arm["servers"] == before["servers"]


def test_an_id_that_its_worker_never_wrote_down_makes_delivery_unknown(copy: RunFolder) -> None:
    before = json.loads(copy.results.read_text())["arms"][0]
    strange(copy, 0, (1 << 48) + 999_999)
    arm, said = judged(copy, 0)
    assert "app1: 1 request with ids that no Locust worker wrote down" in said
    assert_null(arm, ("undelivered",))
    assert_null(arm["whole_run"], ("undelivered",))
    assert arm["broken_pipe"] == before["broken_pipe"] and arm["tps"] == before["tps"]


# sources


def test_a_trial_whose_folder_is_gone_is_missed(copy: RunFolder) -> None:
    shutil.rmtree(copy.trials[1].path)
    made = results.analyse(copy.path)
    assert [arm["label"] for arm in made["arms"]] == ["servers=1"]
    assert made["incomplete"] == [f"{copy.id} 02-servers-2: its folder is missing; nothing of it is here"]


def test_a_source_that_was_removed_is_said(two_arms: RunFolder, copy: RunFolder, tmp_path: Path) -> None:
    from analysis import report

    other = RunFolder(copy.path.rename(tmp_path / "20261124T041500Z-other"))
    _, page = report.together([two_arms.path, other.path], tmp_path / "results")
    shutil.rmtree(other.path)
    made = results.analyse(page.parent)
    assert len(made["arms"]) == 2
    assert made["incomplete"] == [f"{other.id}: holds no trial any more: its arms are missing"]


def test_a_line_on_samples_that_were_lost_is_no_malformed_one(copy: RunFolder) -> None:
    paths = copy.trials[0]
    file = paths.raw("app1") / "sample.jsonl"
    first, *rest = file.read_text().splitlines(keepends=True)
    file.write_text(first + '{"kind":"lost","count":3,"why":"No space left on device"}\n' + "".join(rest))
    before = samples.read(paths, ("app1",), Clocks({}, ()))
    assert before.notes == () and before.table.num_rows == len(rest)


def test_numbers_of_samples_that_no_table_holds_are_malformed_lines(copy: RunFolder) -> None:
    """One that is too large itself, and two that are too large together."""
    paths = copy.trials[0]
    file = paths.raw("app1") / "sample.jsonl"
    first, *rest = file.read_text().splitlines(keepends=True)
    tick = json.loads(rest[5])
    late = {**tick, "realtime_us": 2**63 - 1}
    used = {**tick, "processes": [{"pid": pid, "start": 1, "cpu_ns": 9 * 10**18} for pid in (71, 72)]}
    before = samples.read(paths, ("app1",), Clocks({}, ())).table
    file.write_text("".join((first, *rest[:6], json.dumps(late) + "\n", json.dumps(used) + "\n", *rest[6:])))
    found = samples.read(paths, ("app1",), Clocks({}, ()))
    assert found.table.equals(before) and "2 malformed lines" in found.notes[0]


def three_failures(base: Path, *, row: bool) -> RunFolder:
    """A run with a refused request, one that nginx logged as 499, and (`row`) an app row that it has no line of."""
    raw = synthetic.Raw(synthetic.plan())
    for user in range(9):
        raw.user(raw.plan.workers[user % 3][1], user, (0.0, 2.0, 4.0)[user // 3])
    for worker in (1, 2, 3):
        raw.read("app1", raw.request(worker, 0, 7.0, 7.2), 7.1, 7.19)
        raw.logged((worker << 48), 7.0, 7.2)
    raw.request(1, 1, 9.0, 9.1, "refused", 0)
    raw.logged(raw.request(2, 1, 10.0, 12.0, "timeout", 0), 10.0, 12.0, status=499)
    if row:
        raw.read("app1", raw.request(3, 1, 10.0, 12.0, "timeout", 0), 10.1)
    for user in range(9):
        raw.user(raw.plan.workers[user % 3][1], user, 22.01, formats.KIND_USER_STOPPED)
    synthetic.quiet_samples(raw, {"app1": 0.05})
    return synthetic.write_run(base, [raw])


@pytest.mark.parametrize("how", ["whole", "a line that cannot be read", "a line is lost"])
def test_absence_says_nothing_where_a_line_may_be_missing(tmp_path: Path, how: str) -> None:
    """A line that cannot be read may be anybody's, and what an app read came through nginx: its log is not whole."""
    folder = three_failures(tmp_path, row=how == "a line is lost")
    if how == "a line that cannot be read":
        log = folder.trials[0].raw("proxy1") / formats.ACCESS_LOG
        lines = log.read_bytes().splitlines(keepends=True)
        log.write_bytes(b"".join(lines[:-1]) + b"\t" + lines[-1][1:])
    whole = results.analyse(folder.path)["arms"][0]["whole_run"]
    never = {"app/never_accepted": 1}
    expected = {
        "whole": ({**never, "proxy/refused": 1}, 0),
        "a line that cannot be read": ({}, 2),
        "a line is lost": (never, 2),
    }
    assert (whole["attribution"], whole["unexplained"]) == expected[how]
    assert recompute.compare(folder.path) == ([], [])


def test_a_clock_that_moved_a_little_is_known_that_much_less(copy: RunFolder) -> None:
    """30 ms are no reason to doubt a window, and they are one to claim no order within them."""
    paths = copy.trials[0]
    known = clocks(paths, ["load1", "app1"]).apart(["load1"], "app1")

    def moved(line: dict[str, Any]) -> dict[str, Any]:
        if line["when"] != "after" or line["host"] != "app1":
            return line
        offset = {**line["offset"], "best_us": line["offset"]["best_us"] + 30_000}
        return {**line, "offset": offset}

    change_facts(copy, 0, moved)
    found = clocks(paths, ["load1", "app1"])
    assert (known, found.apart(["load1"], "app1")) == (200, 200 + 30_001)
    assert found.notes == ()


def clocks_of(copy: RunFolder, host: str, after: dict[str, Any]) -> None:
    """The host says its two clocks with its facts; `after`: what differs after the load."""

    def say(line: dict[str, Any]) -> dict[str, Any]:
        if line["host"] != host:
            return line
        pair = {"realtime_us": synthetic.T0, "monotonic_ns": 5 * 10**15}
        return {**line, "facts": {**line["facts"], **pair, **(after if line["when"] == "after" else {})}}

    change_facts(copy, 0, say)


def test_a_step_of_a_clock_that_all_hosts_share_is_doubt_of_it(copy: RunFolder) -> None:
    """In no offset it shows. Each timeout after it would be nginx's fault, which wrote its line 30 s later."""
    paths = copy.trials[0]
    before = json.loads(copy.results.read_text())["arms"][0]["whole_run"]["attribution"]
    log, at = paths.raw("proxy1") / formats.ACCESS_LOG, formats.PROXY_FIELDS.index("msec")
    lines = [line.split("\t") for line in log.read_text().splitlines()]
    stepped = [[*line[:at], f"{float(line[at]) + 30:.3f}", *line[at + 1 :]] for line in lines]
    log.write_text("".join("\t".join(line) + "\n" for line in stepped))
    assert "proxy/slow" in results.analyse(copy.path)["arms"][0]["whole_run"]["attribution"]
    clocks_of(
        copy, "proxy1", {"realtime_us": synthetic.T0 + 100_000_000, "monotonic_ns": 5 * 10**15 + 7 * 10**10}
    )
    arm, said = judged(copy, 0)
    assert arm["whole_run"]["attribution"] == before
    assert "proxy1: its wall clock was stepped by 30000 ms during the trial" in said
    assert recompute.compare(copy.path)[0] == []


@pytest.mark.parametrize(
    ("after", "step"),
    [
        ({"monotonic_ns": 5 * 10**15 + 10**10, "realtime_us": synthetic.T0 + 40_000_000}, 30_000_000),
        ({"monotonic_ns": 5 * 10**15 + 10**10, "realtime_us": synthetic.T0 - 20_000_000}, 30_000_000),
        ({"monotonic_ns": 5 * 10**15 + 10**10, "realtime_us": synthetic.T0 + 10_000_000}, 0),
        (
            {"monotonic_ns": 10**9, "realtime_us": synthetic.T0 + 40_000_000, "boot_id": "two"},
            0,
        ),  # hosts_up says it
        ({"monotonic_ns": "hostile"}, 0),
        ({"monotonic_ns": None}, 0),
    ],
)
def test_a_step_of_the_wall_clock(copy: RunFolder, after: dict[str, Any], step: int) -> None:
    """Also where the load comes from nginx's own host."""
    hosts = ["load1", "proxy1"]
    known = clocks(copy.trials[0], hosts).apart(["load1"], "proxy1")
    clocks_of(copy, "proxy1", after)
    found = clocks(copy.trials[0], hosts)
    assert (known, found.apart(["load1"], "proxy1")) == (200, 200 + step)
    assert found.apart(["proxy1"], "proxy1") == step
    assert len(found.notes) == (step > 0)


def test_a_trial_of_which_nothing_is_here_is_said_once(copy: RunFolder) -> None:
    """As in an experiment that was left: its other trials are judged as ever, and no check asks what cannot be known."""
    (first, second) = copy.trials
    before = json.loads(copy.results.read_text())["arms"]
    shutil.rmtree(second.raw())
    shutil.rmtree(copy.path / "tables")
    made = results.analyse(copy.path)
    (one,) = made["arms"][1]["checks"]
    assert (one["name"], one["verdict"], one["withholds"]) == ("trials_here", "UNKNOWN", "trial")
    assert made["verdict"] != "VALID" and made["arms"][1]["verdict"] == "UNKNOWN"
    assert made["arms"][0]["checks"] == before[0]["checks"]


def _ticks(*ticks: dict[str, Any] | None) -> list[int]:
    """`other_ns` of each tick; None: a sampler began."""
    made = (
        (
            b"",
            one
            and {
                "realtime_us": 0, "monotonic_ns": at, "processes": [(1, 1, "", 0)], "spent_us": None, "cpu": [0] * 5,
                "memory": [0] * 2, "disk": [0] * 2, **one,
            },
        )
        for at, one in enumerate(ticks)
    )  # fmt: skip
    return samples._columns(made, 0, lines.Malformed())["other_ns"]


def test_what_comes_and_goes_between_two_samples_is_what_control_groups_spent_beyond_the_lists() -> None:
    app, second = ("loadproof-app.service", 10**9)
    seen = [[(7, 1, app, at * second), (8, 1, "", at * 1000)] for at in range(5)]
    spent = [
        {"processes": one, "spent_us": us}
        for one, us in zip(seen, (50, 1_000_051, 2_400_052, 3_400_000, 4_400_054), strict=True)
    ]
    # nobody else but for 0.4 s that no list has; a moment in which one is read behind the other takes nothing back
    assert _ticks(*spent) == [0, 1000, 400_002_000, 400_003_000, 400_004_000]
    # another sampler begins, and counts anew
    again = [{"processes": seen[at], "spent_us": us} for at, us in ((3, 0), (4, 1_100_001))]
    assert _ticks(*spent[:3], None, *again) == [0, 1000, 400_002_000, 400_003_000, 500_004_000]
    # hosts without cgroup v2, and runs of before, tell what they always did
    assert _ticks(*({"processes": one} for one in seen)) == [0, 1000, 2000, 3000, 4000]
