"""Builds what is shipped: a tree per recipe, compressed, under <clone>/.cache/trees. Hosts need no package index.

<name>.tar.zst   the archive that travels; deterministic order, owners, times
<name>/          the same, unpacked, where a test asked for it
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import zstandard
from filelock import FileLock

from loadproof.control.wheels import pip_words, requirements
from loadproof.errors import StepFailed
from loadproof.plan.values import Platform, TreeSpec

CACHE = ".cache/trees"
SOURCES = {"app": "app", "load": "loadtests"}  # our own folder in a tree of that kind
LEVEL = 3
BUILD_S = 900.0
DROPPED_FOLDERS = frozenset(("tests", "test", "__pycache__"))
# Debian 12's Python 3.11.2 has no filters yet; later ones ask for one.
EXTRACTING: dict[str, Any] = {"filter": "tar"} if hasattr(tarfile, "tar_filter") else {}
DROPPED_ENDINGS = (".pyi", ".pxd", ".pyx", ".h", ".hpp", ".a")  # for type checkers and compilers only
MAGIC = importlib.util.MAGIC_NUMBER.hex()

DATA_PROGRAM = (
    "import sys; from pathlib import Path; from app.data import write; "
    "write(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))"
)


def archive(spec: TreeSpec, root: Path) -> Path:
    """The archive of a tree, built when it is not there. Raises StepFailed when it cannot be built."""
    path = root / CACHE / f"{spec.name}.tar.zst"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():  # somebody else built it meanwhile
            return path
        clean(path.parent, spec.name)
        build = path.parent / f".build-{spec.name}-{os.getpid()}"
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            fill(build, spec, root)
            pack(build, part)
            part.replace(path)
        finally:
            shutil.rmtree(build, ignore_errors=True)
            part.unlink(missing_ok=True)
    return path


def tree_dir(spec: TreeSpec, root: Path) -> Path:
    """The tree unpacked on this machine, complete; for tests and for running the app by hand."""
    packed = archive(spec, root)
    target = root / CACHE / spec.name
    if (target / ".complete").exists():
        return target
    with FileLock(target.with_suffix(".dir.lock")):
        if (target / ".complete").exists():
            return target
        shutil.rmtree(target, ignore_errors=True)
        part = target.with_name(f".build-{spec.name}-{os.getpid()}")
        shutil.rmtree(part, ignore_errors=True)
        with (
            packed.open("rb") as file,
            zstandard.ZstdDecompressor().stream_reader(file) as stream,
            tarfile.open(fileobj=stream, mode="r|") as tar,
        ):
            tar.extractall(part, **EXTRACTING)
        (part / ".complete").touch()
        part.rename(target)
    return target


def compiled(spec: TreeSpec) -> bool:
    """Whether the archive brings bytecode that the host's Python takes; otherwise the host compiles."""
    return spec.platform is None or spec.platform.magic == MAGIC


def clean(folder: Path, name: str) -> None:
    """Remove what cut builds of this tree left; the caller holds its lock."""
    for left in folder.glob(f".build-{name}-*"):
        shutil.rmtree(left, ignore_errors=True)
    for left in folder.glob(f".{name}.tar.zst.*.part"):
        left.unlink(missing_ok=True)


def fill(build: Path, spec: TreeSpec, root: Path) -> None:
    """Put the content of a tree into an empty folder."""
    build.mkdir(parents=True)
    if spec.kind == "data":
        params = dict(spec.params)
        target = str(build / "items.parquet")
        words = [sys.executable, "-c", DATA_PROGRAM, target, str(params["rows"]), str(params["seed"])]
        step(words, root, spec)
        return
    if spec.platform is None:
        raise ValueError(f"tree {spec.name} has no platform")
    install(build, spec, spec.platform, root)
    source = SOURCES[spec.kind]
    shutil.rmtree(build / source, ignore_errors=True)
    shutil.copytree(root / source, build / source, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    if compiled(spec):
        compile_tree(build, spec, root)


def install(build: Path, spec: TreeSpec, platform: Platform, root: Path) -> None:
    """Install the wheels of the lock for the target, not for us, and drop what never runs."""
    lock = (root / "locks" / f"{spec.kind}.lock").read_text(encoding="utf-8")
    chosen = build.with_name(f"{build.name}.txt")
    chosen.write_text(requirements(lock, platform), encoding="utf-8")
    try:
        step([sys.executable, "-m", "pip", *pip_words(platform, build, chosen)], root, spec)
    finally:
        chosen.unlink(missing_ok=True)
    shutil.rmtree(build / "bin", ignore_errors=True)
    drop(build)


def drop(build: Path) -> None:
    """Remove the packages' own tests, what only compilers read, and caches. A top-level `test` is a package of its own: kept."""
    for folder, names, files in os.walk(build):
        for name in list(names):
            if name == "__pycache__" or (name in DROPPED_FOLDERS and Path(folder) != build):
                shutil.rmtree(Path(folder) / name)
                names.remove(name)
        for name in files:
            if name.endswith(DROPPED_ENDINGS):
                os.unlink(Path(folder) / name)


def compile_tree(build: Path, spec: TreeSpec, root: Path) -> None:
    """Bytecode for every module: valid whatever the time stamps are, and naming the paths of the host."""
    words = [
        sys.executable, "-m", "compileall", "-q", "-j", "0", "--invalidation-mode", "unchecked-hash",
        "-s", str(build), "-p", spec.path, str(build),
    ]  # fmt: skip
    # some packages carry files for other Pythons that do not compile: those are never imported, exit 1 is expected
    step(words, root, spec, ok=(0, 1))


def pack(build: Path, path: Path) -> None:
    """A folder as .tar.zst: sorted, owned by root, without times."""
    with (
        path.open("wb") as file,
        zstandard.ZstdCompressor(level=LEVEL, threads=-1).stream_writer(file) as stream,
        tarfile.open(fileobj=stream, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        for entry in sorted(build.rglob("*")):
            tar.add(entry, arcname=str(entry.relative_to(build)), recursive=False, filter=plain)


def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """A member without anything that depends on who packed it, and when."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0
    entry.mode = 0o755 if entry.isdir() or entry.mode & 0o111 else 0o644
    return entry


def step(words: list[str], root: Path, spec: TreeSpec, ok: tuple[int, ...] = (0,)) -> None:
    """Run one step of a build. Raises StepFailed with its last lines."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    command = " ".join(words[1:4]) + " …"
    try:
        ran = subprocess.run(
            words, cwd=root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, errors="replace", timeout=BUILD_S,
        )  # fmt: skip
        exited, said = ran.returncode, ran.stdout
    except subprocess.TimeoutExpired:
        exited, said = 124, f"not done within {BUILD_S:.0f} s"
    if exited not in ok:
        last = "\n".join(said.strip().splitlines()[-12:])
        raise StepFailed(
            "this machine", command, exited, last,
            what=f"the tree {spec.name} cannot be built: exit {exited} from {command}\n{last}",
            where="this machine, building a tree", kept="nothing was touched on any host", next="inv deploy",
        )  # fmt: skip
