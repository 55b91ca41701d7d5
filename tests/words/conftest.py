"""The lab, deployed, for one module of tests at a time; what a test does to a host is undone whatever happens."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.words.words import REPO, Shell, Words, plain_ssh, variant_of


@pytest.fixture(scope="module")
def lab_alone(lab_inventory: Path) -> Iterator[Path]:
    """The lab's inventory while no other session of tests on this machine uses its hosts."""
    with FileLock(REPO / ".cache" / "lab-tests.lock", timeout=280):
        yield lab_inventory


@pytest.fixture(scope="module")
def shell(lab_alone: Path) -> Iterator[Shell]:
    """Plain ssh to the lab's hosts."""
    with plain_ssh(lab_alone) as made:
        yield made


@pytest.fixture(scope="module")
def words(lab_alone: Path, tmp_path_factory: pytest.TempPathFactory) -> Words:
    """`./inv` on the lab, every host deployed."""
    # a copy: whether the lab itself is whole is not asked again for each word
    own = variant_of(lab_alone, tmp_path_factory.mktemp("inventory") / "hosts.yml", {})
    made = Words(tmp_path_factory.mktemp("results"), own)
    said = made.inv("deploy", within_s=200)
    assert said.code == 0, said
    return made


@pytest.fixture(scope="session")
def packages() -> Path:
    """A folder with the packages of cpulimit and nginx, fetched once with this machine's apt, which is the lab's too."""
    folder = REPO / ".cache" / "test-packages"
    folder.mkdir(parents=True, exist_ok=True)
    # the last two are only on the lab's image, and put back there
    names = ("cpulimit", "nginx", "nginx-common", "nginx-light", "libnginx-mod-http-echo")
    if not all(list(folder.glob(f"{name}_*.deb")) for name in names):
        command = ["apt-get", "download", "-q", *names]
        if subprocess.run(command, cwd=folder, capture_output=True).returncode:
            subprocess.run(["apt-get", "update", "-q"], check=True, capture_output=True)
            subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder
