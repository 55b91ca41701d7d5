"""Names of trees: the hash of what they are made of, known without building them."""

from __future__ import annotations

import hashlib
from pathlib import Path

from loadproof.plan.values import Platform, TreeSpec

LOCKS = {"app": "app.lock", "load": "load.lock"}
SOURCES = {"app": "app", "load": "loadtests"}
RECIPE = "1"  # raised when control.trees makes something else of the same inputs


def _hash(parts: list[tuple[str, bytes]]) -> str:
    """Hash of named parts; each part's length is hashed too, so that nothing can move from one to the next."""
    digest = hashlib.sha256()
    for name, data in parts:
        digest.update(f"{name}\0{len(data)}\0".encode())
        digest.update(data)
    return digest.hexdigest()[:12]


def sources(folder: Path) -> list[tuple[str, bytes]]:
    """Our own files under a folder, by relative path, without bytecode."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return [
        (str(path.relative_to(folder.parent)), path.read_bytes())
        for path in files
        if "__pycache__" not in path.parts and path.suffix != ".pyc"
    ]


def program_tree(kind: str, platform: Platform, root: Path) -> TreeSpec:
    """The tree of app or load for a platform: lock, our sources, Python and platform (its C library too, which decides
    which wheels fit)."""
    lock = (root / "locks" / LOCKS[kind]).read_bytes()
    where = f"{platform.tag} glibc {platform.glibc[0]}.{platform.glibc[1]}"
    parts = [
        ("recipe", RECIPE.encode()),
        ("platform", where.encode()),
        ("lock", lock),
        *sources(root / SOURCES[kind]),
    ]
    if kind == "app":
        return TreeSpec("app", f"app-{_hash(parts)}", platform)
    return TreeSpec("load", f"load-{_hash(parts)}", platform)


def data_tree(rows: int, seed: int, root: Path) -> TreeSpec:
    """The tree with the data file: rows, seed, the program that writes it, and the libraries it writes with."""
    lock = (root / "locks" / "control.lock").read_text(encoding="utf-8")
    pins = [line.rstrip(" \\") for line in lock.splitlines() if line.startswith(("pyarrow==", "numpy=="))]
    parts = [
        ("recipe", RECIPE.encode()),
        ("rows", str(rows).encode()),
        ("seed", str(seed).encode()),
        ("program", (root / "app" / "data.py").read_bytes()),
        ("pins", "\n".join(pins).encode()),
    ]
    return TreeSpec("data", f"data-{_hash(parts)}", None, (("rows", rows), ("seed", seed)))
