"""The sampler: what its lines hold, and that nothing that happens to processes ends it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.descriptors import open_files
from tests.hostside.conftest import BUSY, HOSTSIDE, cpu_ns, until


class Sampler:
    """sample.py on a folder, every 50 ms."""

    def __init__(self, folder: Path, groups: Path = Path("/nowhere")) -> None:
        self.path = folder / "sample.jsonl"
        words = [
            sys.executable,
            "-I",
            "-S",
            str(HOSTSIDE / "sample.py"),
            "--out",
            str(folder),
            "--every",
            "0.05",
            "--groups",
            str(groups),
        ]
        self.process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)

    def lines(self) -> list[dict[str, Any]]:
        """All lines; the last one may still be on its way."""
        text = self.path.read_text() if self.path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def of(self, pid: int) -> list[dict[str, Any]]:
        """The entries of one process."""
        return [one for line in self.lines()[1:] for one in line["processes"] if one["pid"] == pid]

    def end(self) -> None:
        """SIGTERM: the last line is whole."""
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(5) == 0
        assert self.path.read_text().endswith("\n")

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def sampler(tmp_path: Path) -> Iterator[Sampler]:
    made = Sampler(tmp_path, tmp_path / "groups")
    yield made
    made.close()


def test_lines_are_as_formats_says(sampler: Sampler) -> None:
    until(lambda: len(sampler.lines()) > 4, "four samples")
    sampler.end()
    start, *samples = sampler.lines()
    assert start["kind"] == "start" and {"host", "boot_id", "cpus", "clock_ticks"} <= start.keys()
    for sample in samples:
        assert sample.keys() == {
            "realtime_us", "monotonic_ns", "processes", "spent_us", "cpu", "memory", "disk"
        }  # fmt: skip
        assert sample["cpu"].keys() == {"user_us", "system_us", "idle_us", "iowait_us", "steal_us"}
        assert sample["memory"].keys() == {"total_kb", "available_kb"}
        assert sample["disk"].keys() == {"free_kb", "total_kb"}
        for process in sample["processes"]:
            assert process.keys() == {"pid", "start", "name", "unit", "state", "cpu_ns"}
    times = [sample["monotonic_ns"] for sample in samples]
    assert times == sorted(times)
    assert {os.getpid(), sampler.process.pid} <= {process["pid"] for process in samples[-1]["processes"]}


def test_cpu_is_the_process_clock_and_state_follows(sampler: Sampler) -> None:
    busy = subprocess.Popen([sys.executable, "-I", "-S", "-c", BUSY], stdout=subprocess.DEVNULL)
    try:
        until(
            lambda: sampler.of(busy.pid) and sampler.of(busy.pid)[-1]["cpu_ns"] > 100_000_000, "0.1 s of CPU"
        )
        assert sampler.of(busy.pid)[-1]["state"] == "R"
        busy.send_signal(signal.SIGSTOP)
        until(lambda: sampler.of(busy.pid)[-1]["state"] == "T", "seen stopped")
        until(lambda: sampler.of(busy.pid)[-1]["cpu_ns"] == cpu_ns(busy.pid), "the same clock")
        busy.send_signal(signal.SIGCONT)
        until(lambda: sampler.of(busy.pid)[-1]["state"] == "R", "seen running again")
    finally:
        busy.kill()
        busy.wait()
    samples = len(sampler.lines())
    until(lambda: len(sampler.lines()) > samples + 1, "it goes on without that process")
    assert busy.pid not in {process["pid"] for process in sampler.lines()[-1]["processes"]}


def test_names_follow_an_exec_and_may_hold_anything(sampler: Sampler, tmp_path: Path) -> None:
    program = tmp_path / 'a) "b\\'
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    text = f"import os, sys, time\nopen('/proc/self/comm', 'w').write({program.name!r})\nsys.stdin.read(1)\nos.execv('/bin/sleep', ['sleep', '60'])"
    process = subprocess.Popen([sys.executable, "-I", "-S", "-c", text], stdin=subprocess.PIPE)
    try:
        until(
            lambda: sampler.of(process.pid) and sampler.of(process.pid)[-1]["name"] == program.name,
            "odd name",
        )
        assert process.stdin is not None
        process.stdin.close()
        until(lambda: sampler.of(process.pid)[-1]["name"] == "sleep", "the new name")
    finally:
        process.kill()
        process.wait()


def test_it_follows_current(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    current = tmp_path / "current"
    current.symlink_to(tmp_path / "one")
    sampler = Sampler(current)
    try:
        until(lambda: len(sampler.lines()) > 2, "samples")
        (tmp_path / "new").symlink_to(tmp_path / "two")
        (tmp_path / "new").rename(current)
        until(lambda: len(sampler.lines()) > 2, "samples in the other folder")
        held = open_files(sampler.process.pid)
        assert str(tmp_path / "one" / "sample.jsonl") not in held
        assert sampler.lines()[0]["kind"] == "start"
        sampler.end()
    finally:
        sampler.close()


def test_a_missing_folder_is_said_and_waited_for(tmp_path: Path) -> None:
    sampler = Sampler(tmp_path / "later")
    try:
        assert sampler.process.stderr is not None
        assert "a sample was lost" in sampler.process.stderr.readline()
        (tmp_path / "later").mkdir()
        until(lambda: len(sampler.lines()) > 1, "samples")
    finally:
        sampler.close()


def test_samples_that_found_no_room_are_counted_before_the_next_that_does(tmp_path: Path) -> None:
    for name in ("full", "room"):
        (tmp_path / name).mkdir()
    (tmp_path / "full" / "sample.jsonl").symlink_to("/dev/full")
    (tmp_path / "current").symlink_to(tmp_path / "full")
    sampler = Sampler(tmp_path / "current")
    try:
        assert sampler.process.stderr is not None
        for _ in range(3):
            assert "No space left on device" in sampler.process.stderr.readline()
        (tmp_path / "new").symlink_to(tmp_path / "room")
        (tmp_path / "new").rename(tmp_path / "current")
        until(lambda: len(sampler.lines()) > 3, "samples in the other folder")
        first, second, *ticks = sampler.lines()
        assert first["kind"] == "lost" and first["count"] >= 3 and first["why"] == "No space left on device"
        assert second["kind"] == "start" and all("kind" not in tick for tick in ticks)
        assert b'"why":"No space left on device"}' in (tmp_path / "room" / "sample.jsonl").read_bytes()
    finally:
        sampler.close()


def test_it_is_cheap(sampler: Sampler) -> None:
    # timings/sampler.py measures it; here only that nothing went badly wrong, with slack for a busy machine.
    until(lambda: len(sampler.lines()) > 3, "it has begun")
    first, before, begun = len(sampler.lines()), cpu_ns(sampler.process.pid), time.monotonic()
    until(lambda: len(sampler.lines()) > first + 10, "ten samples")
    assert time.monotonic() - begun < 5
    assert (cpu_ns(sampler.process.pid) - before) / 10 < 20_000_000


def test_what_control_groups_spent_counts_from_the_first_sample(sampler: Sampler, tmp_path: Path) -> None:
    """Groups come, go and come again; what is not cgroup v2 is none."""

    def spends(name: str, used: int) -> None:
        folder = tmp_path / "groups" / name
        folder.mkdir(parents=True, exist_ok=True)
        written = folder / "cpu.stat.new"
        written.write_text(f"usage_usec {used}\nuser_usec {used}\n")
        written.rename(folder / "cpu.stat")

    def told(spent: int | None) -> None:
        until(lambda: sampler.lines()[-1].get("spent_us", "") == spent, f"{spent} are told")

    until(lambda: len(sampler.lines()) > 1, "a sample")
    told(None)  # no such folder
    (tmp_path / "groups" / "cpu").mkdir(parents=True)
    (tmp_path / "groups" / "cpu" / "cpu.stat").write_text("nr_periods 0\n")
    told(None)
    spends("system.slice", 5_000_000)
    told(0)
    spends("system.slice", 5_000_700)
    spends("dev.mount", 9_000_000)
    told(700)
    spends("user.slice", 40)
    told(740)
    spends("user.slice", 10)  # another one of that name
    spends("system.slice", 5_000_800)
    told(840)
