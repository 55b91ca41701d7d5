"""install.py: whole files, complete trees, and the first failure ends it."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tests.hostside.conftest import HOSTSIDE, load_program, run

ME = "root" if os.geteuid() == 0 else os.environ.get("USER", "root")


def install(*steps: dict[str, Any], env: dict[str, str] | None = None) -> Any:
    """Do the steps."""
    said = run("install", stdin=json.dumps(list(steps)), env=env)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def file_step(path: Path, data: bytes, mode: int = 0o644) -> dict[str, Any]:
    encoded = base64.b64encode(data).decode()
    return {"do": "file", "path": str(path), "mode": mode, "owner": ME, "base64": encoded}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder that counts as ours."""
    made = tmp_path / "loadproof"
    made.mkdir()
    return made


def archive(path: Path, members: dict[str, bytes | str], kind: str = "zst") -> Path:
    """A tree as it is shipped: bytes are files, text is the target of a link."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type, info.linkname = tarfile.SYMTYPE, content
            else:
                info.size = len(content)
            tar.addfile(info, io.BytesIO(content) if isinstance(content, bytes) else None)
    packer = {"zst": ["zstd", "-q", "-c"], "gz": ["gzip", "-c"], "tar": ["cat"]}[kind]
    path.write_bytes(subprocess.run(packer, input=plain.getvalue(), capture_output=True, check=True).stdout)
    return path


def test_a_file_is_written_once_with_mode_and_owner(root: Path) -> None:
    path = root / "etc" / "file"
    left = root / "etc" / f".file.1.{'loadproof-new'}"
    left.parent.mkdir()
    left.write_text("left by a killed install")
    assert install(file_step(path, b"one", 0o640)) == {
        "done": [{"do": "file", "what": str(path), "changed": True}],
        "failed": None,
    }
    assert path.read_bytes() == b"one" and path.stat().st_mode & 0o7777 == 0o640
    assert os.listdir(path.parent) == ["file"]
    assert install(file_step(path, b"one", 0o640))["done"][0]["changed"] is False
    assert install(file_step(path, b"one", 0o600))["done"][0]["changed"] is True
    assert install(file_step(path, b"two", 0o600))["done"][0]["changed"] is True
    assert path.read_bytes() == b"two"


def test_a_file_that_cannot_be_written_leaves_nothing(root: Path) -> None:
    step = file_step(root / "file", b"x") | {"owner": "no-such-user"}
    answer = install(step)
    assert (
        "no-such-user" in answer["failed"]["last_lines"] and answer["failed"]["what"] == f"file {root}/file"
    )
    assert os.listdir(root) == []


def test_the_first_failure_ends_it(root: Path) -> None:
    answer = install(
        {"do": "folder", "path": str(root / "a"), "mode": 0o750, "owner": ME},
        {"do": "folder", "path": str(root / "a" / ".." / "b"), "mode": 0o755, "owner": ME},
        {"do": "folder", "path": str(root / "c"), "mode": 0o755, "owner": ME},
    )
    assert [done["changed"] for done in answer["done"]] == [True]
    assert answer["failed"]["exit"] == 64
    assert os.listdir(root) == ["a"] and (root / "a").stat().st_mode & 0o7777 == 0o750


def test_an_unknown_step_is_a_failure() -> None:
    assert "KeyError" in install({"do": "dance"})["failed"]["last_lines"]


def test_remove_takes_only_what_is_ours(root: Path, tmp_path: Path) -> None:
    (root / "folder" / "deep").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    theirs = tmp_path / "theirs"
    theirs.touch()
    answer = install(*({"do": "remove", "path": str(root / name)} for name in ("folder", "link", "none")))
    assert [done["changed"] for done in answer["done"]] == [True, True, False]
    assert tmp_path.is_dir() and os.listdir(root) == []
    assert install({"do": "remove", "path": "/etc/hostname"})["failed"]["exit"] == 64


@pytest.mark.parametrize("kind", ["zst", "gz", "tar"])
def test_a_tree_is_unpacked_compiled_and_marked(root: Path, kind: str) -> None:
    sent = archive(
        root / f"t.tar.{kind}", {"pkg/mod.py": b"x = 1\n", "pkg/bad.py": b"x = = 1\n", "a": "pkg"}, kind
    )
    path = root / "trees" / "app-1"
    (root / "trees" / "app-1.partial-7").mkdir(parents=True)
    (path / "half").mkdir(parents=True)
    step = {"do": "tree", "path": str(path), "archive": str(sent), "compile": True}
    assert install(step)["failed"] is None
    assert sorted(os.listdir(path)) == [".complete", "a", "pkg"]
    tag = sys.implementation.cache_tag
    assert (path / "pkg" / "__pycache__" / f"mod.{tag}.pyc").exists()
    assert os.listdir(root / "trees") == ["app-1"] and not sent.exists()
    assert install(step)["done"][0]["changed"] is False
    asked = {"trees": [str(path)]}
    assert load_program("facts").facts(asked)["trees"] == {str(path): True}, "with the bytecode made here"


def test_a_tree_that_somebody_changed_is_replaced_when_it_is_asked_for(root: Path) -> None:
    members: dict[str, bytes | str] = {"pkg/mod.py": b"x = 1\n"}
    path = root / "trees" / "app-1"
    step = {"do": "tree", "path": str(path), "archive": str(root / "t.tar.zst"), "compile": False}
    archive(root / "t.tar.zst", members)
    install(step)
    (path / "pkg" / "mod.py").write_text("x = 2\n")
    (path / "pkg" / "more.py").touch()
    archive(root / "t.tar.zst", members)
    assert install(step)["done"][0]["changed"] is False
    assert (path / "pkg" / "mod.py").read_text() == "x = 2\n", "what is not said to be wrong is left alone"
    archive(root / "t.tar.zst", members).write_bytes(b"no archive")
    assert install(step | {"again": True})["failed"]
    assert (path / ".complete").exists(), "it is there until the new one is"
    archive(root / "t.tar.zst", members)
    assert install(step | {"again": True})["done"][0]["changed"] is True
    assert (path / "pkg" / "mod.py").read_text() == "x = 1\n"
    assert sorted(os.listdir(path / "pkg")) == ["mod.py"]


def test_older_trees_go_but_for_one_of_each_kind(root: Path) -> None:
    """Kept: those that are wanted, the newest other one of each kind, and whatever is no tree of ours."""
    trees = root / "trees"
    ages = {"app-1": 1, "app-2": 2, "app-3": 3, "app-4": 4, "data-1": 1, "load-1": 1, "load-2": 2}
    others = ["app-9.partial-7", "their-1", "app-5"]
    for name, age in (ages | dict.fromkeys(others, 0)).items():
        (trees / name / "deep").mkdir(parents=True)
        (trees / name / ".complete").touch()
        os.utime(trees / name / ".complete", (age, age))
    (trees / "app-5" / ".complete").unlink()  # just being removed or unpacked
    module = load_program("install")
    module.LOCK = str(root / "lock.json")
    step = {"do": "prune", "path": str(trees), "keep": ["app-1", "data-2"]}
    Path(module.LOCK).touch()
    assert module.install([step])["done"][0]["changed"] is False
    assert len(os.listdir(trees)) == len(ages) + len(others)
    Path(module.LOCK).unlink()
    assert module.install([step])["done"][0]["changed"] is True
    assert sorted(os.listdir(trees)) == sorted([*others, "app-1", "app-4", "data-1", "load-2"])
    assert module.install([step])["done"][0]["changed"] is False


@pytest.mark.parametrize(
    "members",
    [
        {"../out": b"x"},
        {"way": "/etc", "way/out": b"x"},
        {"up": "../.."},
        {"inside": "deeper", "deeper/up": "../../../.."},
    ],
)
def test_a_tree_that_leads_out_is_refused(root: Path, members: dict[str, bytes | str]) -> None:
    sent = archive(root / "t.tar.zst", members)
    step = {"do": "tree", "path": str(root / "trees" / "app-1"), "archive": str(sent), "compile": False}
    assert install(step)["failed"] is not None
    assert os.listdir(root / "trees") == [] and not (root / "out").exists()


def test_a_cut_archive_is_no_tree(root: Path) -> None:
    sent = archive(root / "t.tar.zst", {"file": os.urandom(100_000)})
    sent.write_bytes(sent.read_bytes()[:5000])
    answer = install(
        {"do": "tree", "path": str(root / "trees" / "t"), "archive": str(sent), "compile": False}
    )
    assert "unpack" in answer["failed"]["what"]
    assert os.listdir(root / "trees") == []


def test_a_missing_unpacker_is_named(root: Path, tmp_path: Path) -> None:
    module = load_program("install")
    module.PATH = str(tmp_path)
    sent = archive(root / "t.tar.zst", {"file": b"x"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        answer = module.install([{"do": "tree", "path": str(root / "t"), "archive": str(sent)}])
    assert answer["failed"]["exit"] == 127 and "zstd" in answer["failed"]["last_lines"]


def test_a_package_that_is_there_is_left_alone() -> None:
    answer = install({"do": "package", "program": "sh", "package": "no-such-package"})
    assert answer["done"][0]["changed"] is False


def test_a_host_without_a_known_package_manager_says_so(tmp_path: Path) -> None:
    module = load_program("install")
    module.PATH = str(tmp_path)
    failed = module.install([{"do": "package", "program": "nginx", "package": "nginx-light"}])["failed"]
    assert "apt-get, dnf, zypper, apk" in failed["last_lines"]


SIMULATED = """\
NOTE: This is only a simulation!
Inst libnginx-mod (1.22.1-9 Debian:12/stable [amd64])
Inst openssl [3.0.11-1] (3.0.15-1 Debian-Security:12/stable [amd64])
Inst nginx-light (1.22.1-9 Debian:12/stable [amd64])
Conf libnginx-mod (1.22.1-9 Debian:12/stable [amd64])
"""


def test_what_apt_would_bring_and_what_it_would_upgrade() -> None:
    assert load_program("install").planned(SIMULATED) == (["libnginx-mod", "nginx-light"], ["openssl"])


APT = """#!/bin/sh
echo "$DEBIAN_FRONTEND $NEEDRESTART_MODE $*" >> "$FAKES/apt"
case "$*" in
    *update*) touch "$FAKES/updated"; exit 0;;
    *purge*--simulate*) echo "Purg nginx-light [1.22]"; [ "$FAKES_OTHER" ] && echo "Remv $FAKES_OTHER [2.0]"; exit 0;;
    *--simulate*) [ -e "$FAKES/updated" ] || { echo "E: Unable to locate package nginx-light"; exit 100; }
        echo "Inst nginx-light (1.22 x)"; exit 0;;
esac
[ "$FAKES_FAIL" ] && { echo "E: no room"; exit 100; }
printf '#!/bin/sh\\n' > "$FAKES/bin/nginx"; chmod +x "$FAKES/bin/nginx"
"""


def apt_module(tmp_path: Path, patch: pytest.MonkeyPatch) -> Any:
    """install.py as a module on a host whose only program is an apt-get of ours."""
    module = load_program("install")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "apt-get").write_text(
        APT.replace("touch", "/usr/bin/touch").replace("chmod +x", "/bin/chmod +x")
    )
    (tmp_path / "bin" / "apt-get").chmod(0o755)
    module.PATH, module.PACKAGES = str(tmp_path / "bin"), str(tmp_path / "loadproof" / "packages.json")
    patch.setenv("PATH", str(tmp_path / "bin"))
    patch.setenv("FAKES", str(tmp_path))
    return module


def test_a_package_is_installed_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = apt_module(tmp_path, monkeypatch)
    answer = module.install([{"do": "package", "program": "nginx", "package": "nginx-light"}])
    assert answer["failed"] is None and answer["done"][0]["changed"] is True
    packages = json.loads(Path(module.PACKAGES).read_text())["packages"]
    assert [entry["name"] for entry in packages] == ["nginx-light"]
    calls = (tmp_path / "apt").read_text().splitlines()
    assert all(call.startswith("noninteractive l ") and "DPkg::Lock::Timeout=120" in call for call in calls)
    assert "--no-upgrade" in calls[-1] and "--simulate" not in calls[-1]
    assert module.install([{"do": "unpackage"}])["done"][0]["changed"] is True
    assert "purge" in (tmp_path / "apt").read_text().splitlines()[-1]
    assert not Path(module.PACKAGES).exists()


def test_packages_that_others_need_by_now_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody installed since would go as well: it is named, and nothing is removed or forgotten."""
    module = apt_module(tmp_path, monkeypatch)
    module.install([{"do": "package", "program": "nginx", "package": "nginx-light"}])
    monkeypatch.setenv("FAKES_OTHER", "their-site:amd64")
    failed = module.install([{"do": "unpackage"}])["failed"]
    assert failed["what"] == "remove packages" and "their-site" in failed["last_lines"]
    purges = [call for call in (tmp_path / "apt").read_text().splitlines() if "purge" in call]
    assert len(purges) == 1 and "--simulate" in purges[0]
    assert Path(module.PACKAGES).exists()
    monkeypatch.delenv("FAKES_OTHER")
    assert module.install([{"do": "unpackage"}])["done"][0]["changed"] is True


RPM = """#!/bin/sh
case "$1 $2" in
    "-q gone") exit 1;;
    "-e --test") echo "error: nginx is needed by (installed) their-site"; [ "$*" = "-e --test nginx" ] && exit 1; exit 9;;
esac
"""


def test_packages_that_others_need_by_now_stay_with_rpm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = load_program("install")
    (tmp_path / "bin").mkdir()
    (tmp_path / "loadproof").mkdir()
    for name, text in (("rpm", RPM), ("dnf", "#!/bin/sh\nexit 1\n")):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    module.PATH, module.PACKAGES = str(tmp_path / "bin"), str(tmp_path / "loadproof" / "packages.json")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    Path(module.PACKAGES).write_text(json.dumps({"packages": [{"name": "nginx"}, {"name": "gone"}]}))
    failed = module.install([{"do": "unpackage"}])["failed"]
    assert failed["exit"] == 1 and "needed by (installed) their-site" in failed["last_lines"]
    assert Path(module.PACKAGES).exists()


def test_a_failed_package_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = apt_module(tmp_path, monkeypatch)
    monkeypatch.setenv("FAKES_FAIL", "1")
    failed = module.install([{"do": "package", "program": "nginx", "package": "nginx-light"}])["failed"]
    assert failed == {"what": "package nginx-light", "exit": 100, "last_lines": "E: no room"}
    assert json.loads(Path(module.PACKAGES).read_text())["packages"] == []


NGINX = """#!/bin/sh
[ "$1 $2 $3" = "-t -c /etc/loadproof/nginx.conf" ] || exit 9
[ -d "$FAKES/nginx" ] && [ -e "$FAKES/out" ] || exit 8
[ -e "$FAKES/good" ] && exit 0
echo "nginx: [emerg] host not found in upstream \\"web1:8000\\" in /etc/loadproof/nginx.conf:44" >&2
exit 1
"""


def test_nginx_is_asked_about_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own words, with file and line, are the failure; what the configuration names is there before."""
    module = load_program("install")
    (tmp_path / "bin").mkdir()
    systemctl = '#!/bin/sh\n[ "$*" = "start loadproof-out.service" ] && : > "$FAKES/out"\n'
    for name, text in (("nginx", NGINX), ("systemctl", systemctl)):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    module.PATH, module.NGINX_STATE = str(tmp_path / "bin"), str(tmp_path / "nginx")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("FAKES", str(tmp_path))
    steps = [{"do": "nginx", "path": "/etc/loadproof/nginx.conf"}, {"do": "dance"}]
    failed = module.install(steps)["failed"]
    assert (failed["what"], failed["exit"]) == ("nginx -t -c /etc/loadproof/nginx.conf", 1)
    assert "nginx.conf:44" in failed["last_lines"]
    (tmp_path / "good").touch()
    assert module.install(steps[:1]) == {
        "done": [{"do": "nginx", "what": "/etc/loadproof/nginx.conf", "changed": False}],
        "failed": None,
    }


def test_the_plan_may_be_an_object_too() -> None:
    said = subprocess.run(
        [sys.executable, "-I", "-S", str(HOSTSIDE / "install.py")],
        input='{"steps":[]}',
        capture_output=True,
        text=True,
    )
    assert json.loads(said.stdout) == {"done": [], "failed": None}
