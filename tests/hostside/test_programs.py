"""Each host program stands alone: one file, the standard library, any way a host may start it."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hostside.conftest import HOSTSIDE

PROGRAMS = sorted(path.name for path in HOSTSIDE.glob("*.py"))
# A call that does nothing to this machine but shows that the program starts, and the exit code it then has.
HARMLESS = {
    "facts.py": (["{}"], 0),
    "idle.py": (['{"app": 1, "within": 0}'], 3),
    "install.py": ([], 0),
    "limit.py": (["status", "--state", "/nonexistent/limit.json"], 0),
    "lock.py": (["--file", "/nonexistent/lock.json", "show"], 0),
    "rate.py": (['{"out": "/nonexistent", "workers": [1], "within": 0}'], 3),
    "sample.py": (["--every"], 1),
    "seal.py": (['{"out": "/nonexistent"}'], 1),
    "warm.py": (['{"targets": []}'], 0),
}


def start(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run with an empty plan on standard input (install.py reads one)."""
    return subprocess.run(words, input="[]", capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize("name", PROGRAMS)
def test_runs_isolated_as_a_file_and_as_text(name: str) -> None:
    arguments, exited = HARMLESS[name]
    program = HOSTSIDE / name
    as_file = start([sys.executable, "-I", "-S", str(program), *arguments])
    as_text = start([sys.executable, "-I", "-S", "-c", program.read_text(), *arguments])
    assert (as_file.returncode, as_text.returncode) == (exited, exited), as_file.stderr + as_text.stderr
    if exited == 0:
        assert isinstance(json.loads(as_file.stdout), dict)


@pytest.mark.parametrize("name", PROGRAMS)
def test_imports_only_the_standard_library(name: str) -> None:
    for node in ast.walk(ast.parse((HOSTSIDE / name).read_text())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        for one in names:
            assert one.split(".")[0] in sys.stdlib_module_names, f"{name}:{node.lineno} imports {one}"


@pytest.mark.parametrize("name", PROGRAMS)
def test_fits_on_a_command_line(name: str) -> None:
    # Linux takes 128 KB in one word.
    assert os.path.getsize(Path(HOSTSIDE) / name) < 100_000
