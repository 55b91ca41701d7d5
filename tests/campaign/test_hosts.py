"""Cleaning hosts: what is removed, and the note of our packages, which is never away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from loadproof.campaign import hosts
from loadproof.control.fake import FakeRemote, Script, ShellFake
from loadproof.errors import StepFailed
from loadproof.plan.shell import quote
from loadproof.plan.values import Host

HOST = Host("a", ("app",), "a")
NOTED = json.dumps({"packages": [{"name": "nginx", "for": "nginx", "realtime_us": 1}]})


@pytest.mark.parametrize("noted", [True, False])
def test_folders_are_emptied_but_the_note_is_never_touched(tmp_path: Path, noted: bool) -> None:
    folders = [tmp_path / "opt", tmp_path / "it's var", tmp_path / "not there"]
    for folder in folders[:2]:
        (folder / "deep" / "er").mkdir(parents=True)
        (folder / "file").touch()
    note = folders[1] / "packages.json"
    note.write_text(NOTED)
    inode = note.stat().st_ino
    keep = str(note) if noted else ""
    words = quote("sh", "-c", hosts.EMPTY, "sh", keep, *map(str, folders))
    assert ShellFake(HOST).run(words, 10).ok
    assert sorted(tmp_path.rglob("*")) == ([folders[1], note] if noted else [])
    assert not noted or (note.read_text(), note.stat().st_ino) == (NOTED, inode)


@pytest.mark.parametrize(("packages", "kept"), [(True, "sh '' /opt"), (False, f"sh {hosts.NOTE} /opt")])
def test_the_note_goes_only_with_the_packages(packages: bool, kept: str) -> None:
    script = Script().on("cat", NOTED).on("install.py", json.dumps({"done": [], "failed": None}))
    done = hosts._clean(FakeRemote(HOST, script), packages)
    assert any(kept in command for command in script.commands())
    assert not [call for call in script.calls if call.verb == "put"]
    assert any("removed packages nginx" in line for line in done) is packages


def test_packages_that_others_need_end_it_with_a_way_out() -> None:
    failed = {
        "what": "remove packages",
        "exit": 65,
        "last_lines": "these need them and would go as well: site",
    }
    script = Script().on("cat", NOTED).on("install.py", json.dumps({"done": [], "failed": failed}))
    with pytest.raises(StepFailed, match="would go as well: site") as caught:
        hosts._clean(FakeRemote(HOST, script), packages=True)
    assert "nothing was removed" in caught.value.kept and "inv clean" in caught.value.next
    assert not any("rm -rf" in command for command in script.commands())
