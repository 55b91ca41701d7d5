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


def inv_attach(run: RunFolder, word: str = "attach", *more: str) -> subprocess.CompletedProcess[str]:
    """`./inv attach`, or another word, of the run."""
    return subprocess.run(
        ["./inv", word, *(more or ("--run", run.id))], cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
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


def test_a_report_of_others_is_not_run_again(run: RunFolder) -> None:
    known = json.loads(run.run.read_text()) | {
        "sources": ["results/20260101T000000Z-one", "results/20260101T000000Z-two"]
    }
    run.run.write_text(json.dumps(known))
    done = inv_attach(run, "rerun")
    assert done.returncode == 64, done.stderr
    assert f"run {run.id} is a report of others: 20260101T000000Z-one, 20260101T000000Z-two" in done.stderr
    assert [path.name for path in run.path.parent.glob("2*")] == [run.id]


def test_a_rehearsal_is_not_run_again_without_its_fault(run: RunFolder) -> None:
    plan = run.trials[0].plan
    fault = {"name": "freeze_app", "hosts": ["app1"], "when": "load", "at_s": 1.0, "until_s": 2.0}
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"faults": [fault]}))
    done = inv_attach(run, "rerun")
    assert done.returncode == 64 and f"run {run.id} is a rehearsal" in done.stderr, done.stderr
    assert "./inv rehearse" in done.stderr
    done = inv_attach(run, "experiment", "--resume", run.id)
    assert done.returncode == 64 and f"run {run.id} is a rehearsal" in done.stderr, done.stderr


@pytest.mark.parametrize(
    "words", [("experiment", "--resume", "RUN"), ("capacity", "--resume", "--run", "RUN")]
)
def test_other_hosts_are_refused_where_a_run_goes_on(run: RunFolder, words: tuple[str, ...]) -> None:
    word, *more = (run.id if one == "RUN" else one for one in words)
    done = inv_attach(run, word, *more, "-i", "other.yml", "--group", "app=web")
    assert done.returncode == 64, done.stderr
    for flag in ("--inventory", "--group"):
        assert f"{flag}: a run that goes on is what it was planned to be" in done.stderr


def test_what_is_only_said_is_said_of_the_hosts_that_are_named(run: RunFolder, tmp_path: Path) -> None:
    words = ("quick", "--dry-run", "-i")
    done = inv_attach(run, "experiment", *words, str(tmp_path / "none.yml"))
    assert done.returncode == 64 and "there is no such inventory" in done.stderr, done.stderr
    hosts = tmp_path / "hosts.yml"
    groups = {"app": ("a1", "a2"), "proxy": ("p",), "load": ("l",)}
    lines = ["all:", "  children:"]
    for group, names in groups.items():
        lines += [f"    {group}:", "      hosts:", *(f"        {name}: {{}}" for name in names)]
    hosts.write_text("\n".join(lines) + "\n")
    done = inv_attach(run, "experiment", *words, str(hosts))
    assert done.returncode == 0 and "taken in turn from a1, a2" in done.stdout, done.stderr
    done = inv_attach(run, "experiment", *words, str(hosts), "--set", "factors.servers=1,9")
    assert done.returncode == 64 and "9" in done.stderr, done.stderr
