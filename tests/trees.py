"""The packages of a shipped tree, as a host has them: installed once, kept in the clone's cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

from filelock import FileLock

REPO = Path(__file__).resolve().parents[1]


def tree(name: Literal["app", "load"]) -> Path:
    """A folder with the packages of locks/<name>.lock: $LOADPROOF_TEST_<NAME>_TREE, or installed into .cache."""
    if given := os.environ.get(f"LOADPROOF_TEST_{name.upper()}_TREE"):
        return Path(given)
    lock = REPO / "locks" / f"{name}.lock"
    recipe = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:16]
    folder = REPO / ".cache" / "test-trees" / f"{name}-{recipe}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not folder.exists():
            install(lock, folder)
    return folder


def install(lock: Path, folder: Path) -> None:
    """Install what a lock names into a folder, which appears whole."""
    building = folder.with_name(f"{folder.name}.building")
    shutil.rmtree(building, ignore_errors=True)
    options = ["--no-deps", "--require-hashes", "--only-binary=:all:", "-qq", "--compile"]
    command = [sys.executable, "-m", "pip", "install", "--target", str(building), *options, "-r", str(lock)]
    subprocess.run(command, check=True, timeout=250)
    building.rename(folder)
