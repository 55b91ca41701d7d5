"""What is left after a lab, whose lab is not touched, and labs that cannot be."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab import image, processes
from lab.config import LabConfig
from lab.down import down
from lab.record import read_record
from lab.status import status
from lab.up import up
from loadproof.errors import LabUnavailable, LoadproofError, Refused
from tests.lab.asking import left_on_machine

pytestmark = pytest.mark.lab


def borrowed(config: LabConfig, built: str) -> LabConfig:
    """The same lab with an image folder of its own, filled by hard links."""
    own = replace(config, images=config.state / "image")
    own.images.mkdir(parents=True)
    subprocess.run(["cp", "-al", str(config.images / built), str(own.images)], check=True)
    return own


def files(config: LabConfig) -> set[str]:
    return {
        str(path.relative_to(config.state)) for path in config.state.rglob("*") if "image/" not in str(path)
    }


def full(error: LoadproofError) -> bool:
    """Whether a message has its four parts."""
    return all((error.what, error.where, error.kept, error.next))


def test_down_leaves_image_and_key_and_purge_nothing(own: LabConfig, built: str) -> None:
    config = borrowed(own, built)
    assert up(1, None, config=config).up
    (pid,) = {processes.process(config, host) for host in read_record(config).hosts if host.name == "app1"}
    assert pid is not None and left_on_machine(config)
    gone = down(config=config)
    assert gone.hosts == ("app1", "proxy", "load1")
    assert left_on_machine(config) == []
    assert files(config) == {"image", "ssh", "ssh/id_ed25519", "ssh/id_ed25519.pub"}
    assert image.complete(config, built) and not config.inventory.exists()
    assert not status(config).up and status(config).hosts == ()
    assert down(config=config).hosts == ()
    down(purge=True, config=config)
    assert not config.state.exists() and not config.lock.exists()


def test_down_finds_hosts_that_no_record_tells_of(own: LabConfig) -> None:
    assert up(1, None, config=own).up
    own.record.unlink()
    for pid_file in own.hosts.glob("*/pid"):
        pid_file.unlink()
    assert down(config=own).hosts == ("app1", "load1", "proxy")
    assert left_on_machine(own) == []


def test_a_stale_inventory_of_a_lab_that_is_down_is_removed(own: LabConfig) -> None:
    own.inventory.parent.mkdir(parents=True)
    own.inventory.write_text(
        "# Written by inv lab.up when every host answered, removed by inv lab.down. Not for editing.\n"
    )
    assert not status(own).up
    down(config=own)
    assert not own.inventory.exists()


@pytest.mark.parametrize("other", ["uid", "clone"])
def test_a_lab_of_somebody_else_is_named_and_never_touched(own: LabConfig, other: str) -> None:
    record = {
        "clone": str(own.clone),
        "uid": os.geteuid(),
        "user": "anna",
        "bridge": own.bridge,
        "since": "2026-11-24",
    }
    record[other] = 4242 if other == "uid" else "/home/anna/loadproof"
    own.owner.write_text(json.dumps(record))
    for call in (
        lambda: up(1, None, config=own),
        lambda: down(config=own),
        lambda: down(purge=True, config=own),
    ):
        with pytest.raises(Refused, match="user anna") as caught:
            call()
        assert full(caught.value) and caught.value.exit_code == 3
    assert not own.state.exists() and json.loads(own.owner.read_text()) == record
    assert status(own).owner.startswith("user anna")


def test_a_bridge_that_nobody_explains_is_not_touched(own: LabConfig) -> None:
    subprocess.run(["ip", "link", "add", own.bridge, "type", "bridge"], check=True)
    try:
        with pytest.raises(Refused, match=own.bridge) as caught:
            up(1, None, config=own)
        assert full(caught.value)
    finally:
        subprocess.run(["ip", "link", "del", own.bridge], check=True)


def test_a_net_that_is_in_use_is_refused_up_front(own: LabConfig) -> None:
    subprocess.run(["ip", "link", "add", "ltdummy0", "type", "bridge"], check=True)
    try:
        subprocess.run(["ip", "addr", "add", f"{own.gateway}/24", "dev", "ltdummy0"], check=True)
        subprocess.run(["ip", "link", "set", "ltdummy0", "up"], check=True)
        with pytest.raises(LabUnavailable, match="ltdummy0") as caught:
            up(1, None, config=own)
        assert "LOADPROOF_LAB_NET" in caught.value.next and full(caught.value)
        assert left_on_machine(own) == []
    finally:
        subprocess.run(["ip", "link", "del", "ltdummy0"], check=True)


def test_a_disk_too_full_for_the_image_is_said_before_anything_is_made(own: LabConfig) -> None:
    config = replace(own, images=own.state / "image")
    config.state.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100m", "tmpfs", str(config.state)], check=True)
    try:
        with pytest.raises(LabUnavailable, match=r"900 MB needed, \d+ MB free") as caught:
            up(1, None, config=config)
        assert full(caught.value) and caught.value.exit_code == 3
        assert list(config.state.iterdir()) == [] and not config.owner.exists()
    finally:
        subprocess.run(["umount", str(config.state)], check=True)


def test_where_an_overlay_is_refused_the_layers_live_in_memory(own: LabConfig, tmp_path: Path) -> None:
    """The state folder on an overlay, as in a container."""
    for name in ("lower", "upper", "work"):
        (tmp_path / name).mkdir()
    own.state.mkdir(parents=True)
    layers = f"lowerdir={tmp_path}/lower,upperdir={tmp_path}/upper,workdir={tmp_path}/work"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, str(own.state)], check=True)
    try:
        assert up(1, None, config=own).up
        kinds = {line.split(" - ")[1].split()[0] for line in mounts(own)}
        assert kinds == {"overlay", "tmpfs"}
        down(config=own)
        assert mounts(own) == []
    finally:
        subprocess.run(["umount", str(own.state)], check=True)


def mounts(config: LabConfig) -> list[str]:
    return [
        line for line in Path("/proc/self/mountinfo").read_text().splitlines() if f"{config.state}/" in line
    ]


def test_without_root_and_without_sudo_nothing_is_touched(own: LabConfig, tmp_path: Path) -> None:
    """Run as a user that sudo does not know."""
    script = tmp_path / "try.py"
    script.write_text(
        "import sys\nfrom lab.root import need_root\nfrom loadproof.errors import LabUnavailable\n"
        "try:\n    need_root()\nexcept LabUnavailable as error:\n    print(error.what, '|', error.next, '|', error.kept)\n"
    )
    if shutil.which("setpriv") is None or os.geteuid() != 0:
        pytest.skip("needs root and setpriv to become somebody else")
    text = script.read_text()
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", sys.executable, "-c", text],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert "sudo" in done.stdout and "nothing was touched" in done.stdout, done.stderr
