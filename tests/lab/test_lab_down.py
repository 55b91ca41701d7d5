"""What is left after a lab, whose lab is not touched, and labs that cannot be."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab import image, network, processes
from lab.config import LabConfig
from lab.down import down
from lab.record import locked, read_record
from lab.status import status
from lab.up import needed, up
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


def owned_by(config: LabConfig, **other: object) -> dict[str, object]:
    """Writes down somebody else as owner of the machine's lab."""
    record = {
        "clone": str(config.clone),
        "uid": os.geteuid(),
        "user": "anna",
        "bridge": config.bridge,
        "since": "2026-11-24",
        **other,
    }
    config.owner.write_text(json.dumps(record))
    return record


def refused(config: LabConfig, match: str) -> None:
    """Every word that changes a lab is refused, with a whole message, and makes nothing."""
    for call in (
        lambda: needed(1, None, config=config),
        lambda: up(1, None, config=config),
        lambda: down(config=config),
        lambda: down(purge=True, config=config),
    ):
        with pytest.raises(Refused, match=match) as caught:
            call()
        assert full(caught.value) and caught.value.exit_code == 3
    assert not config.state.exists()


def test_a_lab_of_another_user_of_this_clone_is_named_and_never_touched(own: LabConfig) -> None:
    record = owned_by(own, uid=4242)
    refused(own, "user anna")
    assert json.loads(own.owner.read_text()) == record
    assert status(own).owner.startswith("user anna")


def test_a_clone_whose_lab_is_being_made_is_its_owner(own: LabConfig, tmp_path: Path) -> None:
    hers = replace(own, clone=tmp_path / "anna", state=tmp_path / "anna" / ".cache" / "lab")
    record = owned_by(own, clone=str(hers.clone))
    with locked(hers):
        refused(own, "clone .*/anna")
    assert json.loads(own.owner.read_text()) == record


def test_a_living_lab_of_another_clone_is_refused_and_a_dead_one_gives_way(
    own: LabConfig, tmp_path: Path
) -> None:
    hers = replace(
        LabConfig.of(tmp_path / "anna", {}),
        **{name: getattr(own, name) for name in ("images", "net", "bridge", "prefix", "owner")},
    )
    try:
        standing = up(1, None, config=hers)
        refused(own, f"clone {hers.clone}")
        assert status(hers).up and not own.state.exists()
        pids = [host.pid for host in standing.hosts if host.pid]
        processes.end(pids)
        assert status(own).owner.endswith("none of its hosts runs")
        assert any("none of whose hosts runs" in line for line in needed(1, None, config=own).lines())
        mine = up(1, None, config=own)
        assert mine.up and any(str(hers.clone) in line for line in mine.changed)
        with pytest.raises(Refused, match=str(own.clone)):
            up(config=hers)
        down(config=own)
        assert up(config=hers).up, "what she had written is still hers"
    finally:
        for config in (own, hers):
            with contextlib.suppress(Refused):
                down(config=config, purge=True)
    assert left_on_machine(hers) == []


def test_down_clears_what_a_dead_lab_of_a_clone_that_is_gone_left(own: LabConfig, tmp_path: Path) -> None:
    owned_by(own, clone=str(tmp_path / "gone"))
    network.make(own)
    said: list[str] = []
    down(config=own, say=said.append)
    assert left_on_machine(own) == [] and "clone" in said[0]


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
