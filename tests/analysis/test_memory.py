"""Arrow keeps its memory: the setting is made before pyarrow is loaded, or it would be for nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
SETTING = "MIMALLOC_PURGE_DELAY"


@pytest.mark.parametrize(
    "module", ["analysis.results", "analysis.report", "loadproof.campaign.collect", "timings.analysis"]
)
def test_what_is_freed_is_kept(module: str) -> None:
    """The allocator itself says by which options it goes, on standard error."""
    assert "option 'purge_delay': -1" in _said(f"import {module}, pyarrow")


def test_a_person_may_say_otherwise() -> None:
    assert "option 'purge_delay': 20" in _said("import analysis.results", {SETTING: "20"})


def _said(code: str, more: dict[str, str] | None = None) -> str:
    given = {name: value for name, value in os.environ.items() if name != SETTING}
    given |= {"MIMALLOC_VERBOSE": "1", **(more or {})}
    words = [sys.executable, "-c", code]
    return subprocess.run(words, cwd=ROOT, env=given, capture_output=True, text=True, check=True).stderr
