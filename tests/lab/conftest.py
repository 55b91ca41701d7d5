"""Small labs beside the standing one: own bridge, own net, own folders; only the image is shared."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab import image
from lab.config import LabConfig
from lab.down import down


def small(tmp: Path, number: int, clone: str = "clone") -> LabConfig:
    """A lab of its own, whose names hold this process's number: two sessions of tests do not meet."""
    mark = (os.getpid() + number) % 100
    config = LabConfig.of(tmp / clone, {})
    config.clone.mkdir(parents=True, exist_ok=True)
    return replace(
        config,
        images=LabConfig.of(environ={}).images,
        net=IPv4Network(f"198.18.{100 + mark}.0/24"),
        bridge=f"lt{mark}-br0",
        prefix=f"lt{mark}-",
        owner=Path(f"/run/loadproof-lab-test{mark}.json"),
        boot_s=12.0,
        patience_s=2.0,
    )


@pytest.fixture(scope="session")
def built() -> str:
    """The name of the image, built if need be."""
    config = LabConfig.of(environ={})
    return image.build(config, image.suite_of(config), print)


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, built: str) -> Iterator[LabConfig]:
    """A config whose lab is used by all tests of a module; each test brings it up as it needs it."""
    config = small(tmp_path_factory.mktemp("lab"), 0)
    try:
        yield config
    finally:
        down(purge=True, config=config)
        shutil.rmtree(config.clone)


@pytest.fixture
def own(tmp_path: Path, built: str) -> Iterator[LabConfig]:
    """A config whose lab belongs to one test."""
    config = small(tmp_path, 50)
    try:
        yield config
    finally:
        config.owner.unlink(missing_ok=True) if not (config.state / "state.json").exists() else None
        down(purge=True, config=config)
