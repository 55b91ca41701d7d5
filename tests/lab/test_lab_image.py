"""The image: whole or not there, wherever a build was cut."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lab import image
from lab.config import LabConfig
from lab.down import down
from lab.sources import SUITES, Source, read_os_release
from lab.up import up
from tests.lab.asking import left_on_machine, on

pytestmark = pytest.mark.lab
STEPS = ["clear", "folder", "bootstrap", "scrub", "mark", "rename"]


class Cut(BaseException):
    """Like Ctrl-C: nothing catches it."""


def skeleton(target: Path, suite: str, sources: Sequence[Source]) -> None:
    """A bootstrap that takes no time: of a real one, only what must be taken out or changed afterwards."""
    for folder in (
        "etc/ssh",
        "etc/apt/sources.list.d",
        "etc/systemd/system/multi-user.target.wants",
        "usr/sbin",
        "var",
    ):
        (target / folder).mkdir(parents=True)
    (target / "etc/ssh/ssh_host_ed25519_key").write_text("the same on every host")
    (target / "etc/apt/sources.list.d/0000x.list").write_text("".join(source.line() for source in sources))
    (target / "etc/machine-id").write_text("uninitialized")
    (target / "usr/sbin/sshd").write_text("... PerSourcePenalties ...")
    (target / "etc/systemd/system/multi-user.target.wants/nginx.service").symlink_to("/lib/nginx.service")


@pytest.mark.parametrize("cut", STEPS)
def test_a_build_cut_before_any_step_is_never_used_and_is_repaired(own: LabConfig, cut: str) -> None:
    config = replace(own, images=own.state / "image")
    suite = image.suite_of(config)
    built = image.recipe(suite)
    seen: list[str] = []

    def step(name: str) -> None:
        seen.append(name)
        if name == cut:
            raise Cut

    with pytest.raises(Cut):
        image.build(config, suite, seen.append, skeleton, step)
    assert not image.complete(config, built)
    seen.clear()
    assert image.build(config, suite, print, skeleton, seen.append) == built
    assert seen == STEPS and image.complete(config, built) and image.partial(config) == ()
    root = image.root_of(config, built)
    assert [*(root / "etc/ssh").glob("ssh_host_*"), *(root / "etc/apt/sources.list.d").iterdir()] == []
    assert (root / "etc/machine-id").read_text() == ""
    assert "PerSourcePenalties no" in (root / "etc/ssh/sshd_config.d/20-loadproof-penalties.conf").read_text()
    assert not (root / "etc/systemd/system/multi-user.target.wants/nginx.service").is_symlink()
    assert (root / "etc/systemd/system/nginx.service").readlink() == Path("/dev/null")
    image.remove(config, config.images)


def test_mounts_of_a_killed_build_are_gone_before_it_is_removed(own: LabConfig, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("kept")
    inside = own.state / "image" / "x.partial" / "a dev"
    inside.mkdir(parents=True)
    subprocess.run(["mount", "--bind", str(precious), str(inside)], check=True)
    image.remove(own, own.state / "image" / "x.partial")
    assert (precious / "file").read_text() == "kept"
    assert not (own.state / "image" / "x.partial").exists() and left_on_machine(own) == []


@pytest.mark.long
def test_a_real_build_cut_in_the_middle_leaves_no_process_or_mount(own: LabConfig) -> None:
    config = replace(own, images=own.state / "image")

    def bootstrap(target: Path, suite: str, sources: Sequence[Source]) -> None:
        shutil.copy(__file__, target.parent)
        lists = target.parent / "sources.list"
        lists.write_text("".join(f"{source.line()}\n" for source in sources))
        image.must(
            [*image.ISOLATED, "mmdebstrap", "--mode=root", "--variant=minbase", suite, str(target), str(lists)],
            what="cut", root=True, within=6, tethered=True,
        )  # fmt: skip

    with pytest.raises(Exception, match="not done within 6 s"):
        image.build(config, image.suite_of(config), print, bootstrap)
    assert left_on_machine(config) == []
    down(config=config)
    assert not image.partial(config)


@pytest.mark.long
def test_hosts_of_the_neighbour_suite(own: LabConfig) -> None:
    machine = read_os_release(Path("/etc/os-release").read_text())
    other = next((suite for suite in SUITES[machine.id] if suite != machine.codename), None)
    if other is None:
        pytest.skip(f"the lab knows one suite of {machine.id} only")
    config = replace(own, suite=other)
    state = up(1, None, config=config)
    assert state.up and state.suite == other
    assert [one.system for one in state.hosts] == ["running"] * 3
    assert f"VERSION_CODENAME={other}" in on(config, "app1", "cat", "/etc/os-release")
    assert up(config=config).changed == ()
