"""Fetching sealed files from a real shell on this machine."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from loadproof.control import fetch
from loadproof.control.fake import ShellFake
from loadproof.control.fleet import Fleet
from loadproof.control.remote import Finished
from loadproof.errors import LinkLost, RecordUnreadable, StepFailed
from loadproof.plan.values import Host, Inventory

FILES = {
    "requests-1.rows": os.urandom(300_000),
    "access.tsv": b'{"id":""}\n' * 1000,
    "odd name 'x'\n.log": b"1",
    "empty.rows": b"",
    "sub/app.log": b"\xff\x00",
    "-rf": b"dash",
}


def seal(out: Path, files: dict[str, bytes]) -> None:
    entries = []
    for name, data in files.items():
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(data)
        entries.append({"path": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    manifest = {"format": 1, "host": "h1", "run": "r", "trial": "01", "sealed_us": 1, "files": entries}
    (out / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    folder = tmp_path / "host" / "01"
    folder.mkdir(parents=True)
    seal(folder, FILES)
    return folder


@pytest.fixture
def remote() -> ShellFake:
    return ShellFake(Host("h1", ("app",), "h1"))


def here(into: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(into)): path.read_bytes()
        for path in into.rglob("*")
        if path.is_file() and path.name != "manifest.json"
    }


def test_all_files_come_whole_and_again_without_harm(remote: ShellFake, out: Path, tmp_path: Path) -> None:
    into = tmp_path / "raw" / "h1"
    first = fetch.fetch_host(remote, str(out), into)
    assert (first.files, first.already) == (6, 0)
    assert here(into) == FILES
    assert (into / "manifest.json").read_text() == (out / "manifest.json").read_text()
    again = fetch.fetch_host(remote, str(out), into)
    assert (again.files, again.size, again.already) == (0, 0, 6)
    assert sorted(path.name for path in out.parent.iterdir()) == ["01", "01.fetched"]
    assert here(out) == FILES


def test_only_what_is_missing_or_wrong_travels(remote: ShellFake, out: Path, tmp_path: Path) -> None:
    into = tmp_path / "raw"
    fetch.fetch_host(remote, str(out), into)
    (into / "empty.rows").unlink()
    (into / "access.tsv").write_bytes(b"cut")
    (into / "requests-1.rows.part").write_bytes(b"left")
    assert fetch.fetch_host(remote, str(out), into).files == 2
    (into / "requests-1.rows.part").unlink(missing_ok=True)
    assert here(into) == FILES


@pytest.mark.parametrize("how", ["changed", "grown", "gone"])
def test_a_file_that_is_not_what_was_sealed(remote: ShellFake, out: Path, tmp_path: Path, how: str) -> None:
    into = tmp_path / "raw"
    victim = out / "access.tsv"
    if how == "gone":
        victim.unlink()
    elif how == "grown":
        victim.write_bytes(victim.read_bytes() + b"more\n")
    else:
        victim.write_bytes(b"x" * victim.stat().st_size)
    with pytest.raises(StepFailed):
        fetch.fetch_host(remote, str(out), into)
    assert not (into / "access.tsv").exists()
    assert not (into / "manifest.json").exists()
    assert not out.with_name("01.fetched").exists()


def test_not_sealed(remote: ShellFake, tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    for name, error in (("none", fetch.NothingThere), ("open", fetch.NotSealed)):
        with pytest.raises(StepFailed, match="nothing is sealed") as caught:
            fetch.fetch_host(remote, str(tmp_path / name), tmp_path / "raw")
        assert type(caught.value) is error


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x", "", "a\0b"])
def test_a_manifest_that_leads_out_is_refused(
    remote: ShellFake, out: Path, tmp_path: Path, path: str
) -> None:
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"].append({"path": path, "size": 1, "sha256": "0"})
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(RecordUnreadable, match="no manifest"):
        fetch.fetch_host(remote, str(out), tmp_path / "raw")
    assert not (tmp_path / "raw").exists()


class Dies(ShellFake):
    """Loses its link in the middle of the fetch."""

    def fetch(self, path: str, into: Path) -> None:
        into.with_name(into.name + ".part").write_bytes(b"half")
        raise LinkLost("h1", "gone")


def test_a_link_lost_in_the_middle_leaves_no_final_name(out: Path, tmp_path: Path, remote: ShellFake) -> None:
    into = tmp_path / "raw"
    with pytest.raises(LinkLost):
        fetch.fetch_host(Dies(remote.host), str(out), into)
    assert not [name for name in here(into) if not name.endswith(".part")]
    fetch.fetch_host(remote, str(out), into)
    assert {name: data for name, data in here(into).items() if not name.endswith(".part")} == FILES


def test_a_host_says_what_nobody_has_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "VAR", str(tmp_path))
    trials = tmp_path / "trials"
    host = Host("h1", ("app",), "h1")
    with Fleet(Inventory("x", (host,)), ShellFake) as fleet:
        assert fetch.kept(fleet) == {"h1": ()}, "no folder at all"
        for name in ("r1/01", "r1/02", "r2/01", "r3/01"):
            (trials / name).mkdir(parents=True)
        seal(trials / "r1" / "01", FILES)
        seal(trials / "r2" / "01", FILES)
        (trials / "r2" / "01.fetched").touch()
        (trials / "r3" / "01" / "requests-1.rows").touch()
        assert fetch.kept(fleet) == {"h1": (("r1", "01", True), ("r3", "01", False))}


def test_without_zstd_on_the_host(
    out: Path, tmp_path: Path, remote: ShellFake, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "tar", "cat", "rm", "touch", "timeout"):
        where = next(Path(folder, name) for folder in ("/usr/bin", "/bin") if Path(folder, name).exists())
        (programs / name).symlink_to(where)
    monkeypatch.setenv("PATH", str(programs))
    into = tmp_path / "raw"
    assert fetch.fetch_host(remote, str(out), into).files == 6
    assert here(into) == FILES


def test_a_finished_value_is_enough_for_a_message() -> None:
    assert Finished("h", "c", 1, "a\n", "b\n", 0.0).last_lines == "a\nb"


def test_files_and_their_names_are_on_the_disk_before_the_host_is_told(
    remote: ShellFake, out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    into, events, fsync = tmp_path / "raw" / "h1", [], os.fsync

    def noted(handle: int) -> None:
        events.append(os.readlink(f"/proc/self/fd/{handle}"))
        fsync(handle)

    class Told(ShellFake):
        def run(self, command: str, within: float, stdin: str = "") -> Finished:
            if ".fetched" in command:
                events.append("told")
            return super().run(command, within, stdin)

    monkeypatch.setattr(os, "fsync", noted)
    fetch.fetch_host(Told(Host("h1", ("app",), "h1")), str(out), into)
    manifest = next(number for number, what in enumerate(events) if "manifest.json" in what)
    assert {f"{into / name}.part" for name in FILES} <= set(events[:manifest])
    assert {str(into), str(into / "sub"), str(into.parent)} <= set(events[:manifest])
    assert events[-1] == "told"
