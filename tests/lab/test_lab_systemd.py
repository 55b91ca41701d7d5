"""The lab on a machine whose pid 1 is systemd: a booted container plays that machine. Needs package sources."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import filelock
import pytest

from lab import image
from lab.config import LabConfig
from lab.hosts import LEAVE

pytestmark = [pytest.mark.lab, pytest.mark.long]
ROOT = Path(__file__).parents[2]
PACKAGES = (
    "systemd,systemd-sysv,dbus,openssh-client,python3,iproute2,procps,sudo,systemd-container,mmdebstrap"
)
UNIT = """[Unit]
After=multi-user.target
[Service]
Type=oneshot
Environment=PYTHONDONTWRITEBYTECODE=1
ExecStart=/usr/bin/python3 -m tests.lab.nested
WorkingDirectory=/opt/source
StandardOutput=file:/opt/out.json
StandardError=file:/opt/error.txt
ExecStopPost=/bin/systemctl poweroff --no-block
TimeoutStartSec=200
"""
# A cgroup of its own and the rights to mount and to boot others inside.
BOOT = r"""
for at in $(grep -E ' - (cgroup2 |cgroup .*name=systemd)' /proc/self/mountinfo | cut -d' ' -f5); do
    mkdir -p "$at/loadproof-test-nest"
    echo $$ >"$at/loadproof-test-nest/cgroup.procs"
done
export SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 SYSTEMD_SECCOMP=0 SYSTEMD_NSPAWN_API_VFS_WRITABLE=yes
exec systemd-nspawn --quiet --register=no --keep-unit "--directory=$1" --machine=loadproof-nest --private-network \
    --capability=all "--bind-ro=$2" --link-journal=no --resolv-conf=off --timezone=off --boot
"""


def machine(place: Path) -> Path:
    """A root file system with systemd, our sources and the unit that runs the test in it."""
    root, lists = place / "root", place / "sources.list"
    suite = image.suite_of(LabConfig.of(environ={}))
    lists.write_text("".join(f"{source.line()}\n" for source in image.machine_sources(suite)))
    options = [f"--aptopt={option}" for option in image.apt_options(image.run(["apt-config", "dump"]).stdout)]
    words = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={PACKAGES}", *options, suite]
    image.must([*image.ISOLATED, *words, str(root), str(lists)], what="no machine", root=True, within=300)
    source = root / "opt/source"
    for room in ("lab", "loadproof", "tests/lab"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "tests/__init__.py").touch()
    shutil.copytree(Path(filelock.__file__).parent, source / "filelock")
    units = root / "etc/systemd/system"
    (units / "nested.service").write_text(UNIT)
    (units / "multi-user.target.wants").mkdir(exist_ok=True)
    (units / "multi-user.target.wants/nested.service").symlink_to("/etc/systemd/system/nested.service")
    return root


def test_the_lab_where_pid_1_is_systemd(tmp_path: Path, built: str) -> None:
    root = machine(tmp_path)
    at = image.root_of(LabConfig.of(environ={}), built).parent
    try:
        subprocess.run(
            ["sh", "-c", BOOT, "sh", str(root), f"{at}:/images/{built}"],
            stdin=subprocess.DEVNULL, capture_output=True, timeout=150,
        )  # fmt: skip
        error = (root / "opt/error.txt").read_text()
        assert not error, error
        told = json.loads((root / "opt/out.json").read_text())
    finally:
        # ends whatever still runs in its cgroup
        subprocess.run(["sh", "-c", LEAVE, "sh", "/nonexistent", "loadproof-test-nest"], check=True)
        shutil.rmtree(root)
    hosts = ["app1", "load1", "proxy"]
    assert told["systemd"] and told["pids_recorded"] and told["again"] == []
    assert told["units"] == [f"loadproof-lab-lp-{name}.service" for name in hosts]
    assert "started app1" in told["repaired"] and sorted(told["gone"]) == hosts
    assert told["left"] == [] and told["units_left"] == ""
