"""The processes of the lab's hosts: found by what was recorded of them, ended by their ids."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from lab.config import LabConfig, LabHost
from lab.root import run

STOP_S = 10.0  # a clean power-off takes 2 to 5 s


def folder(config: LabConfig, host: LabHost) -> Path:
    """Where a host's layers, console log and pid file are."""
    return config.hosts / host.name


def mounted(config: LabConfig, host: LabHost) -> bool:
    """Whether a host's overlay is mounted."""
    return os.path.ismount(folder(config, host) / "root")


def process(config: LabConfig, host: LabHost) -> int | None:
    """The pid of a host's nspawn, if it lives: the one we recorded, with the start time we recorded."""
    try:
        pid, start = (folder(config, host) / "pid").read_text().split()
        if start_time(int(pid)) == start:
            return int(pid)
    except (OSError, ValueError):
        pass
    # A lost pid file must not make us unmount a running host: a mounted one is looked for among all processes.
    return next(iter(strays(config, host.name)), None) if mounted(config, host) else None


def start_time(pid: int) -> str:
    """Start of a living process in clock ticks since boot; "" when it is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def age(config: LabConfig, host: LabHost) -> float:
    """Seconds since a host was started; infinite when it does not run."""
    pid = process(config, host)
    start = start_time(pid) if pid is not None else ""
    if not start:
        return float("inf")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(start) / os.sysconf("SC_CLK_TCK")


def strays(config: LabConfig, name: str = "") -> list[int]:
    """Pids of nspawns that run a host (or that host) of this lab, whatever became of their pid files."""
    begins = f"--directory={config.hosts}/" + (f"{name}/" if name else "")
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if Path(words[0]).name == "systemd-nspawn" and any(word.startswith(begins) for word in words):
                found.append(int(entry.name))
    return found


def end(pids: Sequence[int]) -> None:
    """Ask nspawns to power their hosts off; those that do not within STOP_S are killed."""
    for signal, within in (("-TERM", STOP_S), ("-KILL", 5.0)):
        starts = {pid: start for pid in pids if (start := start_time(pid))}
        if not starts:
            return
        run(["kill", signal, *map(str, starts)], root=True)
        until = time.monotonic() + within
        while time.monotonic() < until and any(start_time(pid) == start for pid, start in starts.items()):
            time.sleep(0.02)
