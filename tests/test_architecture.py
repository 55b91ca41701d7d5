"""Holds the table of design.md: which room may import which, and where effects may live."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

# room -> rooms it may import. The longest prefix that fits a module names its room.
ROOMS: dict[str, set[str]] = {
    "tasks": {"*"},
    "words": {"*"},
    "loadproof.errors": set(),
    "loadproof": set(),
    "loadproof.plan": {"loadproof.errors", "loadtests.profiles"},
    "loadproof.runfolder": {"loadproof.errors", "loadproof.plan"},
    "loadproof.control": {"loadproof.errors", "loadproof.plan", "loadproof.runfolder"},
    "loadproof.campaign": {
        "loadproof",
        "loadproof.errors",
        "loadproof.plan",
        "loadproof.control",
        "loadproof.runfolder",
        "analysis",
    },
    "loadproof.console": {"loadproof.errors", "loadproof.plan", "loadproof.runfolder"},
    "analysis": {"loadproof.errors", "loadproof.runfolder", "loadproof.plan"},
    "lab": {"loadproof.errors", "loadproof.plan", "loadproof.control"},
    "app": set(),
    "loadtests": set(),
    "loadtests.profiles": set(),
    "hostside": set(),
}
SHIPPED = ("app", "loadtests", "hostside")
EFFECTS = {"subprocess", "socket", "fabric", "paramiko"}
EFFECT_ROOMS = {"loadproof.control", "lab"}


def modules() -> Iterator[tuple[str, Path]]:
    """(dotted name, path) of every source file that the table speaks of."""
    yield "tasks", ROOT / "tasks.py"
    for top in ("words", "loadproof", "analysis", "lab", "app", "loadtests", "hostside"):
        for path in sorted((ROOT / top).rglob("*.py")):
            words = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(word for word in words if word != "__init__"), path


def room_of(module: str) -> str | None:
    """The room a dotted name belongs to; None for the rest of the world."""
    words = module.split(".")
    for length in range(len(words), 0, -1):
        name = ".".join(words[:length])
        if name in ROOMS:
            return name
    return None


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of each import in a file, also those inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                # `from loadproof import errors` names a module, `from x import name` a name in one
                yield node.lineno, f"{node.module}.{alias.name}" if room_of(node.module) else node.module


def violations(module: str, path: Path) -> list[str]:
    """Every import of a file that the table forbids."""
    mine = room_of(module)
    assert mine is not None
    allowed = ROOMS[mine] | {mine}
    wrong = []
    for line, name in imports(path):
        place, top = f"{path.relative_to(ROOT)}:{line}", name.split(".")[0]
        theirs = room_of(name)
        if mine in SHIPPED or mine.startswith("loadtests"):
            if theirs and theirs.split(".")[0] != mine.split(".")[0]:
                wrong.append(f"{place}: {mine} is shipped and imports {name}")
            continue
        if theirs and theirs not in allowed and "*" not in allowed and theirs != "loadproof":
            wrong.append(f"{place}: {mine} may not import {name}")
        if top in EFFECTS and mine not in EFFECT_ROOMS:
            wrong.append(f"{place}: {top} only under control/ and lab/")
        if top == "locust":
            wrong.append(f"{place}: locust only under loadtests/")
    return wrong


@pytest.mark.parametrize(("module", "path"), list(modules()), ids=[name for name, _ in modules()])
def test_imports_follow_the_table(module: str, path: Path) -> None:
    assert violations(module, path) == []


@pytest.mark.parametrize(
    ("module", "text", "count"),
    [
        ("loadproof.plan.x", "import subprocess", 1),
        ("loadproof.plan.x", "from loadproof.control import remote", 1),
        ("analysis.x", "def f():\n    import loadproof.campaign.bench", 1),
        ("app.x", "from loadproof.plan import values", 1),
        ("hostside.x", "import subprocess, socket", 0),
        ("loadproof.control.x", "import fabric\nfrom loadproof.plan.values import Host", 0),
        ("words.x", "from lab import up", 0),
        ("words.x", "import locust", 1),
        ("words.x", "import subprocess", 1),
    ],
)
def test_the_table_finds_planted_imports(module: str, text: str, count: int, tmp_path: Path) -> None:
    path = ROOT / "tests" / f"planted-{tmp_path.name}.py"
    path.write_text(text, encoding="utf-8")
    try:
        assert len(violations(module, path)) == count
    finally:
        path.unlink()


def test_print_only_where_words_talk() -> None:
    wrong = []
    for module, path in modules():
        if module == "words.talk" or module.split(".")[0] in SHIPPED:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                wrong.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert wrong == []


@pytest.mark.parametrize("path", sorted((ROOT / "hostside").glob("[a-z]*.py")), ids=lambda path: path.name)
def test_hostside_needs_only_the_standard_library(path: Path) -> None:
    known = set(sys.stdlib_module_names)
    assert [name for _, name in imports(path) if name.split(".")[0] not in known] == []
