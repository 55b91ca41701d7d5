"""Sealing: nobody writes any more, the manifest is true, and twice is as good as once."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hostside.conftest import HOSTSIDE, run, until

# Writes to the file its argument leads to; reopens it there on SIGUSR1.
WRITER = """
import os, signal, sys
path = sys.argv[1]
def reopen(*_):
    global file
    file.close(); file = open(path, "a"); file.write("reopened\\n"); file.flush()
file = open(path, "a"); file.write("first\\n"); file.flush()
signal.signal(signal.SIGUSR1, reopen)
print("up", flush=True)
while True: signal.pause()
"""
# The same, but a thread waits for the signal, which is blocked everywhere: so does the app.
WAITER = """
import signal, sys, threading
path = sys.argv[1]
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
file = open(path, "a"); file.write("first\\n"); file.flush()
def reopen():
    global file
    signal.sigwait({signal.SIGUSR1})
    file.close(); file = open(path, "a"); file.write("reopened\\n"); file.flush()
threading.Thread(target=reopen).start()
print("up", flush=True)
while True: signal.pause()
"""
DEAF = "import sys, time\nfile = open(sys.argv[1], 'a')\nprint('up', flush=True)\nwhile True: time.sleep(60)"
OUTPUT = "import sys, time\nprint('up', flush=True)\nfor line in sys.stdin: print(line, end='', flush=True)"


class Host:
    """A /var/lib/loadproof with a trial in it, and a systemctl that names our writers."""

    def __init__(self, folder: Path) -> None:
        self.var, self.pids = folder / "var", folder / "pids"
        self.out, self.idle, self.current = (
            self.var / "trials" / "r" / "01",
            self.var / "idle",
            self.var / "current",
        )
        self.out.mkdir(parents=True)
        self.idle.mkdir()
        self.current.symlink_to(self.out)
        (folder / "bin").mkdir()
        (folder / "bin" / "systemctl").write_text(
            f'#!/bin/sh\n[ -e "{self.pids}" ] && exec /bin/cat "{self.pids}"\n'
        )
        (folder / "bin" / "systemctl").chmod(0o755)
        self.env = {"PATH": str(folder / "bin")}
        self.asked = {"run": "r", "trial": "01", "host": "h", "out": str(self.out)}
        self.started = list[subprocess.Popen[str]]()

    def writer(self, text: str, name: str, stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        """A process that holds current/NAME open, one of our units."""
        words = [sys.executable, "-I", "-S", "-c", text, str(self.current / name)]
        process = subprocess.Popen(words, stdout=stdout, stdin=subprocess.PIPE, text=True)
        self.started.append(process)
        if process.stdout:
            assert process.stdout.readline() == "up\n"
        with self.pids.open("a") as file:
            file.write(f"{process.pid}\n0\n")
        return process

    def seal(self) -> Any:
        said = run("seal", "--var", str(self.var), json.dumps(self.asked), env=self.env)
        assert said.returncode == 0, said.stderr
        return json.loads(said.stdout)

    def close(self) -> None:
        for process in self.started:
            process.kill()
            process.communicate()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path)
    yield made
    made.close()


def test_the_manifest_is_true_and_stays_the_same(host: Host) -> None:
    (host.out / "a.rows").write_bytes(b"rows")
    (host.out / "deep").mkdir()
    (host.out / "deep" / "b").touch()
    first = host.seal()
    assert first["files"] == [
        {"path": "a.rows", "size": 4, "sha256": hashlib.sha256(b"rows").hexdigest()},
        {"path": "deep/b", "size": 0, "sha256": hashlib.sha256(b"").hexdigest()},
    ]
    assert (first["format"], first["host"], first["run"], first["trial"]) == (1, "h", "r", "01")
    assert first.pop("limiter_events") == []
    assert json.loads((host.out / "manifest.json").read_text()) == first
    assert os.readlink(host.current) == str(host.idle)
    second = host.seal()
    second.pop("limiter_events")
    assert second == first


@pytest.mark.parametrize("text", [WRITER, WAITER], ids=["handles", "waits"])
def test_a_writer_reopens_in_the_idle_folder(host: Host, text: str) -> None:
    host.writer(text, "access.tsv")
    manifest = host.seal()
    assert "held" not in manifest
    assert (host.out / "access.tsv").read_text() == "first\n"
    assert (host.idle / "access.tsv").read_text() == "reopened\n"


def test_what_a_unit_says_later_does_not_reach_a_sealed_log(host: Host) -> None:
    with (host.current / "app.log").open("a") as log:
        process = host.writer(OUTPUT, "app.log", stdout=log)
    until(lambda: (host.out / "app.log").read_text(), "it has begun")
    first = host.seal()
    assert process.stdin is not None
    process.stdin.write("too late\n")
    process.stdin.close()
    process.wait()
    assert (host.out / "app.log").read_text() == "up\n"
    assert host.seal() == first and "held" not in first


def test_a_writer_that_does_not_answer_is_named_and_not_ended(host: Host) -> None:
    process = host.writer(DEAF, "access.tsv")
    manifest = host.seal()
    assert manifest["held"] == {"access.tsv": [process.pid]}
    # SIGUSR1 ends a program without a handler: it was not sent.
    assert process.poll() is None


def test_events_come_back_and_a_cut_line_does_not_matter(host: Host) -> None:
    lines = [json.dumps({"event": "attached", "pid": number}) for number in range(300)]
    (host.out / "limiter.jsonl").write_text("\n".join(lines) + '\n{"event":"go')
    events = host.seal()["limiter_events"]
    assert len(events) == 199 and events[-1]["pid"] == 299


def test_another_trial_is_left_alone(host: Host) -> None:
    other = host.var / "trials" / "r" / "02"
    other.mkdir()
    host.current.unlink()
    host.current.symlink_to(other)
    host.seal()
    assert os.readlink(host.current) == str(other)


def test_a_half_made_seal_is_made_anew(host: Host) -> None:
    (host.out / "a").touch()
    (host.out / "manifest.json.sealing").write_text("{")
    (host.out / "manifest.json").write_text("{")
    assert [file["path"] for file in host.seal()["files"]] == ["a"]


def test_no_such_trial_is_a_failure(host: Host) -> None:
    host.asked["out"] += "9"
    said = run("seal", "--var", str(host.var), json.dumps(host.asked), env=host.env)
    assert said.returncode == 1 and "never opened" in said.stderr


def test_the_sampler_lets_go_when_told(host: Host) -> None:
    words = [
        sys.executable,
        "-I",
        "-S",
        str(HOSTSIDE / "sample.py"),
        "--out",
        str(host.current),
        "--every",
        "30",
    ]
    process = subprocess.Popen(words, text=True)
    host.started.append(process)
    host.pids.write_text(f"{process.pid}\n")
    file = host.out / "sample.jsonl"
    until(lambda: file.exists() and len(file.read_text().splitlines()) == 2, "start and first sample")
    manifest = host.seal()
    assert "held" not in manifest
    assert (host.idle / "sample.jsonl").exists()
    process.send_signal(signal.SIGTERM)
    assert process.wait(5) == 0
