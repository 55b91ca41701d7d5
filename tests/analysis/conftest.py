"""A made run with two arms, analysed once; tests that change files copy it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from analysis import results
from loadproof.runfolder.paths import RunFolder, TrialPaths
from tests.analysis import small as smalls
from tests.analysis import synthetic


@pytest.fixture(scope="session")
def two_arms(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """Two arms, analysed; not to be changed."""
    folder = synthetic.two_arms(tmp_path_factory.mktemp("runs"))
    results.analyse(folder.path)
    return folder


@pytest.fixture
def copy(two_arms: RunFolder, tmp_path: Path) -> RunFolder:
    """The same run, to be spoiled."""
    return RunFolder(Path(shutil.copytree(two_arms.path, tmp_path / two_arms.id)))


@pytest.fixture
def small(tmp_path: Path) -> TrialPaths:
    """Raw files of a few rows each."""
    return smalls.write(tmp_path)


@pytest.fixture
def former(tmp_path: Path) -> TrialPaths:
    """The same with access.jsonl, as nginx wrote it before."""
    return smalls.write_former(tmp_path)
