"""What is said and kept when hosts give nothing, or when there is nothing to analyse."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis import report
from loadproof.campaign import collect, state
from loadproof.control import fetch
from loadproof.errors import HostUnreachable, LoadproofError, RecordUnreadable, StepFailed
from loadproof.runfolder import record
from loadproof.runfolder.formats import MANIFEST
from loadproof.runfolder.paths import RunFolder

STORED = Path(__file__).resolve().parents[1] / "data" / "runs" / "20261124T031500Z-format1"
NEXT = "ssh app1, and see"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    made = RunFolder(Path(shutil.copytree(STORED, tmp_path / STORED.name)))
    for paths in made.trials:
        paths.journal.touch()
        for host in paths.hosts:
            seal(paths.raw(host))
    return made


def seal(folder: Path) -> None:
    """Write the true hashes into the manifest of a stored folder, which has none."""
    manifest = json.loads((folder / MANIFEST).read_text())
    for entry in manifest["files"]:
        entry["sha256"] = fetch.digest(folder / entry["path"])
    (folder / MANIFEST).write_text(json.dumps(manifest))


def answering(monkeypatch: pytest.MonkeyPatch, error: LoadproofError) -> None:
    """Every fetch finds app1 in trouble and the other hosts fetched."""

    def fetched(fleet: Any, trial: Any, paths: Any, hosts: Iterable[str]) -> dict[str, Any]:
        return {host: error if host == "app1" else fetch.Fetched(host, 0, 0, 1) for host in hosts}

    monkeypatch.setattr(fetch, "fetch", fetched)


def first_raw(run: RunFolder) -> Path:
    """A fetched file of app1."""
    return next(path for path in sorted(run.trials[0].raw("app1").iterdir()) if path.suffix == ".jsonl")


def again(run: RunFolder) -> list[str]:
    """What fetching this run once more says."""
    said: list[str] = []
    collect.fetch_and_analyse(run, state.hosts_of_run(run), said.append)
    return said


def test_a_host_whose_files_are_here_may_be_silent(run: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, HostUnreachable("app1", "no answer", next=NEXT))
    assert f"{run.trials[0].name}: app1 gave nothing; its files are here already, verified" in again(run)


@pytest.mark.parametrize("damage", ["gone", "changed"])
def test_files_that_are_not_what_was_sealed_are_no_excuse(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    path = first_raw(run)
    data = path.read_bytes()
    path.unlink()
    if damage == "changed":
        path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    answering(monkeypatch, HostUnreachable("app1", "no answer", next=NEXT))
    with pytest.raises(HostUnreachable) as caught:
        again(run)
    assert caught.value.next.startswith(f"{NEXT}; then ./inv fetch-results --run {run.id}; ")
    assert str(run.path) in caught.value.kept


def test_an_error_that_is_no_silence_is_raised_whatever_is_here(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering(monkeypatch, StepFailed("app1", "tar", 1, "", what="not what the manifest says: app.log"))
    with pytest.raises(StepFailed, match="not what the manifest says"):
        again(run)


def files(run: RunFolder) -> dict[str, bytes]:
    return {
        str(path.relative_to(run.path)): path.read_bytes() for path in run.path.rglob("*") if path.is_file()
    }


def test_without_raw_files_what_was_found_stays(run: RunFolder) -> None:
    collect.analyse([run], run.path.parent)
    for paths in run.trials:
        shutil.rmtree(paths.path / "raw")
    before = files(run)
    with pytest.raises(RecordUnreadable, match="its raw files are gone") as caught:
        collect.analyse([run], run.path.parent)
    assert files(run) == before
    assert caught.value.exit_code == 2 and f"fetch-results --run {run.id}" in caught.value.next


def test_a_trial_without_raw_files_keeps_its_tables(run: RunFolder) -> None:
    collect.analyse([run], run.path.parent)
    shutil.rmtree(run.trials[0].path / "raw")
    before = {name: data for name, data in files(run).items() if name.startswith("tables/")}
    if len(run.trials) > 1:
        results, _ = collect.analyse([run], run.path.parent)
        assert any("no raw files are here" in text for text in results["incomplete"])
    assert {name: data for name, data in files(run).items() if name.startswith("tables/")} == before


def test_a_report_of_others_is_made_again_from_them(run: RunFolder, tmp_path: Path) -> None:
    other = RunFolder(Path(shutil.copytree(run.path, tmp_path / "20261124T041500Z-other")))
    _, path = report.together([run.path, other.path], tmp_path)
    made = RunFolder(path.parent)
    made.results.unlink()
    results, _ = collect.analyse([made], tmp_path)
    assert len(results["arms"]) == 2 * record.read_run(run).experiment.trials and made.results.exists()


@pytest.mark.parametrize("analysed", [True, False])
def test_what_was_discarded_is_not_to_be_fetched_again(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch, analysed: bool
) -> None:
    for paths in run.trials:
        shutil.rmtree(paths.path / "raw")
    if not analysed:
        run.results.unlink()

    def nothing(fleet: Any, trial: Any, paths: Any, hosts: Iterable[str]) -> dict[str, Any]:
        return {host: fetch.NothingThere(host, "cat", 1, "") for host in hosts}

    monkeypatch.setattr(fetch, "fetch", nothing)
    with pytest.raises(RecordUnreadable, match="it was discarded") as caught:
        again(run)
    assert "fetch-results" not in caught.value.next and "attach" not in caught.value.next
    assert str(run.path) in caught.value.kept and ("results.json" in caught.value.kept) == analysed
    some = {"app1": fetch.NotSealed("app1", "cat", 1, "")}
    monkeypatch.setattr(fetch, "fetch", lambda *given: nothing(*given) | some)
    with pytest.raises(RecordUnreadable) as caught:
        again(run)
    assert "fetch-results" in caught.value.next


def test_nothing_was_fetched(run: RunFolder) -> None:
    for paths in run.trials:
        shutil.rmtree(paths.path / "raw")
    run.results.unlink(missing_ok=True)
    with pytest.raises(RecordUnreadable, match="nothing was fetched yet"):
        collect.analyse([run], run.path.parent)


def test_to_analyse_takes_nothing_from_an_earlier_analysis(run: RunFolder) -> None:
    """A table that says of itself that it was made of these raw files, and was altered: report believes it."""
    found = read_back(collect.analyse([run], run.path.parent)[0])
    place = run.table("cpu", run.trials[0].name)
    made = pq.read_table(place)
    nothing = pa.array([0] * made.num_rows, made.schema.field("app_ns").type)
    altered = made.set_column(made.schema.get_field_index("app_ns"), made.schema.field("app_ns"), nothing)
    pq.write_table(altered.replace_schema_metadata(made.schema.metadata), place)
    believed = read_back(collect.analyse([run], run.path.parent)[0])
    assert believed["arms"][0]["servers"][0]["cpu_s"] != found["arms"][0]["servers"][0]["cpu_s"]
    run.report.write_text("somebody else's")
    again, page = collect.analyse([run], run.path.parent, rebuild=True)
    assert read_back(again) == found == json.loads(run.results.read_text())
    assert pq.read_table(place).equals(made) and page.read_text().startswith("<!doctype html>")


def test_what_was_found_first_is_compared_as_it_was_read(run: RunFolder) -> None:
    collect.analyse([run], run.path.parent)
    first = collect.found_of(run)
    told = collect.against(run, run)
    run.results.write_text("{}")
    with pytest.raises(RecordUnreadable):
        collect.against(run, run)
    other = RunFolder(Path(shutil.copytree(run.path, run.path.parent / "20261124T041500Z-other")))
    other.results.write_text(json.dumps(first))
    assert collect.against(run, other, first)["arms"] == told["arms"]
    run.results.unlink()
    with pytest.raises(RecordUnreadable, match="never analysed") as caught:
        collect.found_of(run)
    assert f"./inv fetch-results --run {run.id}" in caught.value.next


def read_back(results: Any) -> Any:
    """As it is in the file."""
    return json.loads(json.dumps(results))


def test_spread_is_told_without_a_change_of_what_was_found(run: RunFolder) -> None:
    run.results.write_text("{}")
    told = collect.spread([run])
    assert told["runs"] == [run.id] and run.results.read_text() == "{}"
    assert told["figures"] == [] and told["missing"] == ["no VALID trial has figures"]
    for paths in run.trials:
        shutil.rmtree(paths.raw())
    with pytest.raises(RecordUnreadable, match="raw files are gone"):
        collect.spread([run])


def test_what_was_analysed_before_all_of_it_was_sealed_says_so(run: RunFolder) -> None:
    (paths, *_) = run.trials
    assert _listed(run) == "analysed"
    paths.journal.write_text('{"stage": "apply", "event": "begin"}\n{"stage": "apply", "event": "end"}\n')
    assert _listed(run) == f"analysed, but not whole: ./inv attach --run {run.id}"


def _listed(run: RunFolder) -> str:
    (row,) = state.listing(run.path.parent)
    return row[2]
