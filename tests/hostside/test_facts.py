"""What facts.py says of this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.hostside.conftest import load_program, run


def facts(question: dict[str, Any], env: dict[str, str] | None = None) -> Any:
    """The answer to a question."""
    said = run("facts", json.dumps(question), env=env)
    assert said.returncode == 0, said.stderr
    return json.loads(said.stdout)


def test_describes_this_machine() -> None:
    answer = facts({})
    assert answer["magic"] == importlib.util.MAGIC_NUMBER.hex()
    assert answer["python"] == ".".join(platform.python_version_tuple()[:2])
    assert answer["machine"] == platform.machine() and answer["host"] == socket.gethostname()
    assert ".".join(map(str, answer["glibc"])) == platform.libc_ver()[1]
    assert answer["uid"] == os.geteuid() and answer["memory_kb"] > 0 and answer["pid1_start"] >= 0
    assert abs(answer["realtime_us"] - time.time_ns() // 1000) < 60_000_000
    assert {"os", "boot_id", "kernel", "user", "lock", "current", "trial", "cpus"} <= answer.keys()


def test_files_trees_folders(tmp_path: Path) -> None:
    file, link, tree = tmp_path / "file", tmp_path / "link", tmp_path / "tree"
    file.write_bytes(b"content")
    file.chmod(0o640)
    link.symlink_to(file)
    tree.mkdir(mode=0o750)
    paths = [str(file), str(link), str(tmp_path / "none")]
    question = {"files": paths, "trees": [str(tree)], "folders": [str(tree), str(file)]}
    answer = facts(question)
    assert answer["files"][str(file)]["sha256"] == hashlib.sha256(b"content").hexdigest()
    assert answer["files"][str(file)]["mode"] == 0o640
    assert answer["files"][str(link)]["sha256"] == ""
    assert answer["files"][str(tmp_path / "none")] is None
    assert answer["trees"] == {str(tree): False}
    assert answer["folders"][str(tree)]["mode"] == 0o750 and answer["folders"][str(file)] is None
    (tree / ".complete").touch()
    assert facts(question)["trees"] == {str(tree): True}


def test_all_that_is_in_a_folder(tmp_path: Path) -> None:
    """What is deployed is asked for by folder: a file that somebody adds shows too."""
    (tmp_path / "a.conf").write_text("a")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / ".complete").touch()
    every = [f"{tmp_path}/*", f"{tmp_path}/none/*"]
    answer = facts({"files": every, "trees": every})
    assert set(answer["files"]) == {f"{tmp_path}/a.conf"} and answer["trees"] == {f"{tmp_path}/tree": True}
    (tmp_path / "b.conf").write_text("b")
    assert set(facts({"files": every})["files"]) == {f"{tmp_path}/a.conf", f"{tmp_path}/b.conf"}


ALTERATIONS: dict[str, tuple[Callable[[Path], object], str, int]] = {
    "nothing": (lambda tree: None, "", 0),
    "read": (lambda tree: (tree / "pkg" / "mod.py").read_text(), "", 0),
    "a file written": (lambda tree: (tree / "pkg" / "mod.py").write_text("x = 2"), "pkg/mod.py", 1),
    "a file of the same size": (lambda tree: (tree / "pkg" / "mod.py").write_text("x = 3\n"), "pkg/mod.py", 1),
    "a file more": (lambda tree: (tree / "pkg" / "more.py").touch(), "pkg/more.py", 2),
    "a file less": (lambda tree: (tree / "pkg" / "mod.py").unlink(), "pkg", 1),
    "a folder less": (lambda tree: (tree / "pkg" / "deep").rmdir(), "pkg", 1),
    "a folder more": (lambda tree: (tree / "pkg" / "new").mkdir(), "pkg", 2),
    "as editors do": (
        lambda tree: (tree / "pkg" / ".mod.swp").touch() or (tree / "pkg" / ".mod.swp").rename(tree / "pkg" / "mod.py"),
        "pkg/mod.py", 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", ALTERATIONS)
def test_a_tree_that_was_changed_is_none_of_ours(tmp_path: Path, what: str) -> None:
    alter, first, number = ALTERATIONS[what]
    tree = tmp_path / "tree"
    (tree / "pkg" / "deep").mkdir(parents=True)
    (tree / "pkg" / "mod.py").write_text("x = 1\n")
    (tree / "link").symlink_to("pkg")
    load_program("install").timeless(str(tree))
    (tree / ".complete").touch()
    alter(tree)
    answer = facts({"trees": [str(tree)]})
    assert answer["trees"] == {str(tree): not number}
    assert answer["altered"] == ({str(tree): {"first": first, "number": number}} if number else {})


def test_ports_name_who_listens() -> None:
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family) as server:
            server.bind((address, 0))
            port = server.getsockname()[1]
            # Bound and not yet listening: nobody can be reached there.
            assert facts({"ports": [port]})["ports"] == {str(port): None}
            server.listen()
            found = facts({"ports": [port]})["ports"][str(port)]
            assert found["pid"] == os.getpid()
            assert found["name"] == Path("/proc/self/comm").read_text().strip()


class Answers(BaseHTTPRequestHandler):
    """An app and an nginx status server in one."""

    def do_GET(self) -> None:
        bodies = {"/healthz": b'{"deploy_id":"d1","variant":"plain"}', "/config": b"abc123\n"}
        assert self.headers["X-Loadproof-Id"] == "fff1000000000000"
        self.send_response(200)
        self.end_headers()
        self.wfile.write(bodies[self.path])

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_health_and_config() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server, socket.socket() as closed:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        closed.bind(("127.0.0.1", 0))
        port, nobody = server.server_address[1], closed.getsockname()[1]
        question = {
            "health": [{"port": port}, {"port": nobody}],
            "config": [{"port": port}, {"port": nobody}],
        }
        answer = facts(question)
        server.shutdown()
    assert answer["health"] == {str(port): {"deploy_id": "d1", "variant": "plain"}, str(nobody): None}
    assert answer["config"] == {str(port): "abc123", str(nobody): None}


def test_a_silent_port_is_not_waited_for_long() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        begun = time.monotonic()
        port = silent.getsockname()[1]
        assert facts({"health": [{"port": port}]})["health"] == {str(port): None}
        assert time.monotonic() - begun < 6


def test_programs_and_versions(tmp_path: Path) -> None:
    program = tmp_path / "cpulimit"
    program.write_text("#!/bin/sh\necho; echo CPUlimit version 9.9 $1; exit 1\n")
    program.chmod(0o755)
    answer = facts({"programs": ["cpulimit", "no-such-program"]}, env={"PATH": str(tmp_path)})
    assert answer["programs"] == {"cpulimit": str(program), "no-such-program": None}
    assert answer["versions"] == {"cpulimit": "CPUlimit version 9.9 -h"}


SHOWN = """#!/bin/sh
cat <<END
Id=loadproof-app.service
ActiveState=active
SubState=running
MainPID=42
UnitFileState=disabled
NeedDaemonReload=yes
FragmentPath=/etc/systemd/system/loadproof-app.service
NRestarts=3
Result=signal

Id=loadproof-load@1.service
ActiveState=inactive
SubState=dead
MainPID=0

Id=loadproof-load@2.service
ActiveState=active
SubState=running
MainPID=43

Id=nginx.service
ActiveState=inactive
SubState=dead
MainPID=0
UnitFileState=
NeedDaemonReload=no
FragmentPath=
END
"""


def test_units(tmp_path: Path) -> None:
    (tmp_path / "systemctl").write_text(SHOWN)
    (tmp_path / "systemctl").chmod(0o755)
    names = ["loadproof-app.service", "loadproof-load@.service", "nginx.service"]
    # The program that is started is found on the PATH of facts.py itself.
    units = facts({"units": names}, env={"PATH": f"{tmp_path}:/usr/bin:/bin"})["units"]
    assert units["loadproof-app.service"] == {
        "active": "active", "sub": "running", "pid": 42, "enabled": "disabled", "unit_file": True, "needs_reload": True,
        "restarts": 3, "result": "signal",
    }  # fmt: skip
    load = units["loadproof-load@.service"]
    assert (load["active"], load["instances"]) == ("active", ["loadproof-load@2.service"])
    assert units["nginx.service"]["unit_file"] is False and units["nginx.service"]["active"] == "inactive"


def test_disk_of_a_path_that_is_not_there_yet(tmp_path: Path) -> None:
    path = str(tmp_path / "not" / "there")
    room = facts({"disk": [path]})["disk"][path]
    assert 0 < room["free_kb"] <= room["total_kb"]
    assert room["device"] == tmp_path.stat().st_dev


@pytest.mark.parametrize("question", [{"units": ["loadproof-app.service"]}])
def test_a_host_without_systemd_still_answers(question: dict[str, Any], tmp_path: Path) -> None:
    answer = facts(question, env={"PATH": str(tmp_path)})
    assert answer["units"]["loadproof-app.service"]["unit_file"] is False


def test_a_sealed_trial_is_not_the_current_one() -> None:
    trial = {"run": "R", "trial": "01", "out": "/var/lib/loadproof/trials/R/01"}
    program = load_program("facts")
    assert program.open_trial(trial, trial["out"]) == "R/01"
    assert program.open_trial(trial, "/var/lib/loadproof/idle") is None
    assert program.open_trial(trial, None) is None
    assert program.open_trial(None, trial["out"]) is None


def test_files_that_add_to_our_units(tmp_path: Path) -> None:
    """Wherever systemd looks; not those of a trial, nor what is another unit's."""
    module = load_program("facts")
    etc, run, control = (str(tmp_path / name) for name in ("etc", "run", "control"))
    module.UNIT_FOLDERS = (etc, run, control, str(tmp_path / "none"))
    module.TRIALS = {run: "trial.conf", control: "50-CPUQuota.conf"}
    ours = [
        f"{etc}/loadproof-.service.d/all.conf", f"{etc}/loadproof-app.service.d/x.conf", f"{etc}/loadproof-load@.service.d/x.conf",
        f"{run}/loadproof-limit.service.d/x.conf", f"{control}/loadproof-app.service.d/50-MemoryMax.conf",
    ]  # fmt: skip
    others = [
        f"{run}/loadproof-limit.service.d/trial.conf", f"{control}/loadproof-app.service.d/50-CPUQuota.conf",
        f"{etc}/loadproof-app.service.d/note.txt", f"{etc}/nginx.service.d/x.conf", f"{etc}/loadproof-app.service",
    ]  # fmt: skip
    for path in map(Path, ours + others):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert module.dropins() == ours


def test_a_port_has_its_owner_also_while_files_come_and_go() -> None:
    """An app under load opens and closes connections while its files are listed."""
    program = load_program("facts")
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            for one in [socket.socket() for _ in range(50)]:
                one.close()

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        thread = threading.Thread(target=churn)
        thread.start()
        try:
            found = [program.port_facts([port])[str(port)]["pid"] for _ in range(60)]
        finally:
            over.set()
            thread.join()
    assert set(found) == {os.getpid()}
