"""Wheels for another machine: a table of targets."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from loadproof.control import trees
from loadproof.control.wheels import pip_words, platform_tags, requirements
from loadproof.plan.values import Platform, TreeSpec

ROOT = Path(__file__).resolve().parents[2]
LOCK = """\
# a comment
numpy==2.4.6 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:ab
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:ba
    # via pandas
colorama==0.4.6 ; sys_platform == 'win32' \\
    --hash=sha256:ca
six==1.17.0 \\
    --hash=sha256:da
greenlet==3.5.6 ; platform_python_implementation == 'CPython' and platform_machine == 'aarch64' \\
    --hash=sha256:ea
"""


def target(python: str, machine: str = "x86_64", glibc: tuple[int, int] = (2, 36)) -> Platform:
    return Platform(python, machine, glibc, "")


@pytest.mark.parametrize(
    ("python", "machine", "names"),
    [
        ("3.11", "x86_64", ["numpy==2.4.6", "six==1.17.0"]),
        ("3.12", "x86_64", ["numpy==2.5.5", "six==1.17.0"]),
        ("3.13", "aarch64", ["numpy==2.5.5", "six==1.17.0", "greenlet==3.5.6"]),
    ],
)
def test_markers_are_those_of_the_target(python: str, machine: str, names: list[str]) -> None:
    lines = requirements(LOCK, target(python, machine)).splitlines()
    assert [line.rstrip(" \\") for line in lines if not line.startswith(" ")] == names
    assert ";" not in "".join(lines)
    assert all(not line.lstrip().startswith("#") for line in lines)
    hashes = [line.strip(" \\") for line in lines if line.startswith(" ")]
    assert ("--hash=sha256:ab" in hashes) == (python == "3.11")


@pytest.mark.parametrize("kind", ["app", "load"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_our_locks_choose_each_package_once(kind: str, python: str) -> None:
    text = requirements((ROOT / "locks" / f"{kind}.lock").read_text(), target(python))
    names = [Requirement(line.rstrip(" \\")).name for line in text.splitlines() if not line.startswith(" ")]
    assert len(names) == len(set(names)) > 5
    assert "colorama" not in names


def test_every_older_manylinux_is_allowed_newest_first() -> None:
    tags = platform_tags(target("3.11"))
    assert tags[0] == "manylinux_2_36_x86_64"
    assert tags.index("manylinux_2_28_x86_64") < tags.index("manylinux_2_17_x86_64")
    assert {"manylinux2014_x86_64", "manylinux1_x86_64"} <= set(tags)
    assert "manylinux_2_37_x86_64" not in tags
    arm = platform_tags(target("3.11", "aarch64", (2, 31)))
    assert "manylinux_2_17_aarch64" in arm
    assert "manylinux_2_16_aarch64" not in arm
    assert "manylinux1_aarch64" not in arm


def test_pip_is_told_the_target() -> None:
    words = pip_words(target("3.12"), Path("/t"), Path("/l"))
    for pair in (
        ("--python-version", "3.12"),
        ("--abi", "cp312"),
        ("--implementation", "cp"),
        ("--target", "/t"),
    ):
        assert words[words.index(pair[0]) + 1] == pair[1]
    assert {"--no-deps", "--require-hashes", "--only-binary=:all:"} <= set(words)


# --- trees, without any index ---


def make_root(tmp_path: Path) -> Path:
    """A clone with an app that needs no package."""
    root = tmp_path / "clone"
    (root / "locks").mkdir(parents=True)
    (root / "locks" / "app.lock").write_text("")
    (root / "app" / "tests").mkdir(parents=True)
    (root / "app" / "__init__.py").write_text("X = 1\n")
    (root / "app" / "data.py").write_text(
        "def write(path, rows, seed):\n    path.write_text(f'{rows} {seed}')\n"
    )
    return root


@pytest.fixture
def no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    """Installs a package with tests and stubs in the place of wheels."""

    def install(build: Path, spec: TreeSpec, platform: Platform, root: Path) -> None:
        package = build / "pkg"
        (package / "tests").mkdir(parents=True)
        (package / "__init__.py").write_text("import sys\n")
        (package / "__init__.pyi").write_text("")
        (package / "x.h").write_text("")
        (package / "tests" / "test_x.py").write_text("")
        (build / "test").mkdir()
        (build / "test" / "__init__.py").write_text("")
        trees.drop(build)

    monkeypatch.setattr(trees, "install", install)


SPEC = TreeSpec("app", "app-0123456789ab", Platform("3.11", "x86_64", (2, 36), trees.MAGIC))


@pytest.mark.usefixtures("no_pip")
def test_a_tree_holds_packages_and_our_folder_compiled(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    folder = trees.tree_dir(SPEC, root)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {".complete", "app/__init__.py", "pkg/__init__.py", "test/__init__.py"} <= names
    assert not [name for name in names if "pkg/tests" in name or name.endswith((".pyi", ".h"))]
    assert [name for name in names if name.startswith("app/__pycache__/__init__")]
    assert all(path.stat().st_mtime == 0 for path in folder.rglob("*.py"))
    code = next((folder / "app" / "__pycache__").glob("__init__*.pyc")).read_bytes()
    assert code[4:8] == b"\x01\x00\x00\x00"  # hash-based, unchecked (PEP 552)
    assert b"/opt/loadproof/trees/app-0123456789ab/app/__init__.py" in code
    assert str(root).encode() not in code


@pytest.mark.usefixtures("no_pip")
def test_packing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    packed = []
    for number in (1, 2):
        root = make_root(tmp_path / str(number))
        packed.append(trees.archive(SPEC, root).read_bytes())
    assert packed[0] == packed[1]


@pytest.mark.usefixtures("no_pip")
def test_another_python_is_compiled_on_the_host(tmp_path: Path) -> None:
    spec = TreeSpec("app", "app-other", Platform("3.13", "x86_64", (2, 41), "ffffffff"))
    folder = trees.tree_dir(spec, make_root(tmp_path))
    assert not trees.compiled(spec)
    assert not list(folder.rglob("*.pyc"))


@pytest.mark.usefixtures("no_pip")
def test_what_a_cut_build_left_is_cleaned(tmp_path: Path) -> None:
    root = make_root(tmp_path)
    cache = root / ".cache" / "trees"
    (cache / ".build-app-0123456789ab-1").mkdir(parents=True)
    (cache / ".app-0123456789ab.tar.zst.1.part").write_text("half")
    (cache / ".build-other-1").mkdir()
    trees.archive(SPEC, root)
    left = sorted(path.name for path in cache.iterdir() if not path.name.endswith(".lock"))
    assert left == [".build-other-1", "app-0123456789ab.tar.zst"]


def test_data_is_made_by_the_app_itself(tmp_path: Path) -> None:
    spec = TreeSpec("data", "data-1", None, (("rows", 10), ("seed", 7)))
    folder = trees.tree_dir(spec, make_root(tmp_path))
    assert (folder / "items.parquet").read_text() == "10 7"
    assert trees.compiled(spec)


def test_a_build_that_fails_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    from loadproof.errors import StepFailed

    root = make_root(tmp_path)
    (root / "app" / "data.py").write_text("raise SystemExit('no data today')\n")
    with pytest.raises(StepFailed, match="no data today"):
        trees.archive(TreeSpec("data", "data-1", None, (("rows", 1), ("seed", 1))), root)
    assert [
        path.name for path in (root / ".cache" / "trees").iterdir() if not path.name.endswith(".lock")
    ] == []
