"""Coming back to a run that needs nobody: no host is asked."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from loadproof.campaign import attach
from loadproof.campaign.bench import Watcher
from loadproof.errors import Refused
from loadproof.plan.actions import hosts_of
from loadproof.runfolder import record
from loadproof.runfolder.formats import MANIFEST
from loadproof.runfolder.hold import conducted
from loadproof.runfolder.paths import RunFolder
from tests.campaign.test_collect import STORED
from tests.plan.inventories import ROOT


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that was fetched, of hosts that are nowhere."""
    made = RunFolder(Path(shutil.copytree(STORED, tmp_path / STORED.name)))
    known = json.loads((made.path / "run.json").read_text())
    for host in known["inventory"]["hosts"]:
        host.update(ssh_host="127.0.0.1", ssh_port=1, ssh_common_args="-F none")
    (made.path / "run.json").write_text(json.dumps(known))
    for paths in made.trials:
        for host in hosts_of(record.read_plan(paths.plan)):
            paths.raw(host).mkdir(exist_ok=True)
            (paths.raw(host) / MANIFEST).touch()
    return made


def test_a_run_that_is_being_conducted_is_named_once(run: RunFolder) -> None:
    watcher = Watcher(lambda text: None, lambda *trial: None, lambda live: None)
    with conducted(run), pytest.raises(Refused, match="right now") as caught:
        attach.attach(run, ROOT, watcher)
    assert caught.value.where == f"run {run.id}"


def inv_attach(run: RunFolder, word: str = "attach") -> subprocess.CompletedProcess[str]:
    """`./inv attach`, or another word, of the run."""
    return subprocess.run(
        ["./inv", word, "--run", run.id], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=60, env=os.environ | {"LOADPROOF_RESULTS": str(run.path.parent)},
    )  # fmt: skip


def test_a_run_that_was_fetched_is_here_already(run: RunFolder) -> None:
    done = inv_attach(run)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        f"fetched already: run {run.id}; no host was asked",
        f"next: ./inv report --run {run.id}",
    ]


def test_a_run_of_which_a_host_was_not_fetched_is_none(run: RunFolder) -> None:
    (run.trials[0].raw("app1") / MANIFEST).unlink()
    assert "fetched already" not in inv_attach(run).stderr


def test_a_run_that_was_never_analysed_is_not_run_again_for_nothing(run: RunFolder) -> None:
    run.results.unlink(missing_ok=True)
    done = inv_attach(run, "rerun")
    assert done.returncode == 2 and "never analysed" in done.stderr, done.stderr
    assert f"./inv fetch-results --run {run.id}" in done.stderr
    assert [path.name for path in run.path.parent.glob("2*")] == [run.id]
