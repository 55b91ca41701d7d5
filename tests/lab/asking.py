"""What tests ask of hosts and machine."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from lab.answer import ssh_words
from lab.config import LabConfig, LabHost
from lab.record import read_record


def on(config: LabConfig, name: str, *words: str) -> str:
    """Standard output of a command on a host of the lab."""
    done = subprocess.run(
        ssh_words(config, host(config, name), words), capture_output=True, text=True, timeout=20
    )
    return done.stdout.strip()


def host(config: LabConfig, name: str) -> LabHost:
    return {host.name: host for host in read_record(config).hosts}[name]


def wait_until(condition: Callable[[], object], what: str, within: float = 10.0) -> None:
    """Wait for a named condition."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, f"{what}: not within {within} s"
        time.sleep(0.02)


def left_on_machine(config: LabConfig) -> list[str]:
    """Everything of a lab that is still on the machine, outside its clone."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                words = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if f"{config.hosts}/".encode() in words:
                found.append(f"process {entry.name}: {words!r}")
    mounts = Path("/proc/self/mountinfo").read_text().replace(r"\040", " ")
    found += [line for line in mounts.splitlines() if f"{config.state}/" in line]
    found += [
        name
        for name in os.listdir("/sys/class/net")
        if config.bridge == name or f"vb-{config.prefix}" in name
    ]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/*{config.prefix}*")]
    found += [
        str(path)
        for path in (config.owner, *Path("/run/systemd").glob(f"**/*{config.prefix}*"))
        if path.exists()
    ]
    return found
