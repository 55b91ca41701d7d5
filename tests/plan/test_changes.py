"""Actual against desired: which changes, in which order, and what forbids them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loadproof.plan import changes as room
from loadproof.plan import desired
from loadproof.plan.blockers import holder
from loadproof.plan.values import FileSpec, HostDesired, Serving, TreeSpec
from tests.plan.inventories import ROOT, inventory, platforms

Facts = dict[str, Any]
APP, PROXY, LOAD = "loadproof-app.service", "loadproof-proxy.service", "loadproof-load@.service"
LIMIT, SAMPLE = "loadproof-limit.service", "loadproof-sample.service"


@pytest.fixture
def hosts(tmp_path: Path) -> Callable[[str], HostDesired]:
    known = inventory(tmp_path)
    return desired.desired(known, Serving(rows=100), ("app1", "app2"), 1, platforms(known), ROOT).host


def unit(active: str = "inactive", **more: Any) -> dict[str, Any]:
    return {
        "active": active,
        "sub": "",
        "pid": 0,
        "enabled": "static",
        "unit_file": True,
        "needs_reload": False,
    } | more


def machine() -> Facts:
    """What every host answers, ours or not."""
    return {
        "host": "x", "python": "3.11", "python_exe": "/usr/bin/python3", "magic": "a70d0d0a", "machine": "x86_64",
        "glibc": [2, 36], "uid": 0, "boot_id": "b", "pid1_start": 5, "realtime_us": 1000, "lock": None, "trial": None,
        "current": None, "disk": {"/opt/loadproof": {"free_kb": 9_000_000, "total_kb": 9_000_000},
                                  "/var/lib/loadproof": {"free_kb": 9_000_000, "total_kb": 9_000_000}},
    }  # fmt: skip


def bare(host: HostDesired) -> Facts:
    """A host that never heard of us."""
    asked = room.question(host)
    return machine() | {
        "files": dict.fromkeys(asked["files"]),
        "trees": dict.fromkeys(asked["trees"], False),
        "programs": dict.fromkeys(asked["programs"]),
        "units": {name: unit(unit_file=False, enabled="") for name in asked["units"]},
        "ports": {str(port): None for port in asked["ports"]},
        "health": {str(item["port"]): None for item in asked["health"]},
        "config": {str(item["port"]): None for item in asked["config"]},
        "folders": dict.fromkeys(asked["folders"]),
        "user": False,
    }


def done(host: HostDesired) -> Facts:
    """The same host as desired."""
    running = {spec.name for spec in host.units if spec.state == "running"}
    owners = {path: {"mode": mode, "owner": owner} for path, (mode, owner) in room.FOLDERS.items()}
    found = bare(host)
    for promise in host.promises:
        answer = {"deploy_id": promise.expected, "variant": promise.variant, "pid": 7, "in_flight": 0}
        found[promise.kind][str(promise.port)] = answer if promise.kind == "health" else promise.expected
    return found | {
        "files": {
            file.path: {"sha256": file.sha256, "mode": file.mode, "owner": file.owner} for file in host.files
        }
        | dict.fromkeys(host.absent),
        "trees": {tree.path: True for tree in host.trees},
        "programs": {program: f"/usr/bin/{program}" for program, _ in host.packages},
        "units": {name: unit("active" if name in running else "inactive") for name in found["units"]},
        "ports": {port: {"pid": 7, "name": "ours", "unit": "loadproof-x.service"} for port in found["ports"]},
        "folders": owners,
        "user": True,
    }


def said(facts: Facts, host: HostDesired) -> list[tuple[str, str]]:
    return [(change.kind, change.what) for change in room.changes(facts, host)]


@pytest.mark.parametrize("name", ["app1", "app3", "proxy1", "load1"])
def test_a_host_as_desired_has_no_change(hosts: Callable[[str], HostDesired], name: str) -> None:
    assert room.changes(done(hosts(name)), hosts(name)) == ()
    assert room.blockers(done(hosts(name)), hosts(name), "") == []


@pytest.mark.parametrize(("name", "last"), [("app1", ("start", APP)), ("app3", ("reload", "systemd")),
                                            ("proxy1", ("start", PROXY)), ("load1", ("reload", "systemd"))])  # fmt: skip
def test_a_bare_host_gets_everything_in_order(
    hosts: Callable[[str], HostDesired], name: str, last: tuple[str, str]
) -> None:
    host = hosts(name)
    found = said(bare(host), host)
    kinds = list(dict.fromkeys(kind for kind, _ in found))
    order = ["package", "user", "folder", "stop", "remove", "file", "tree", "reload", "start", "restart"]
    assert kinds == [kind for kind in order if kind in kinds]
    assert found[-1] == last
    assert [what for kind, what in found if kind == "file"] == [file.path for file in host.files]
    assert [what for kind, what in found if kind == "tree"] == [tree.path for tree in host.trees]
    assert [what for kind, what in found if kind == "package"] == [package for _, package in host.packages]
    assert [what for kind, what in found if kind == "folder"] == list(room.FOLDERS)
    assert room.blockers(bare(host), host, "") == []


def set_file(path: str, value: Any) -> Callable[[Facts], None]:
    return lambda facts: facts["files"].update({path: value})


def edit(*keys: str, value: Any) -> Callable[[Facts], None]:
    def change(facts: Facts) -> None:
        for key in keys[:-1]:
            facts = facts[key]
        facts[keys[-1]] = value

    return change


ENV, UNITS = "/etc/loadproof/app.env", "/etc/systemd/system"
OTHER = {"sha256": "0" * 64, "mode": 0o644, "owner": "root"}


@pytest.mark.parametrize(
    ("name", "edits", "expected"),
    [
        ("app1", [set_file(ENV, OTHER)], [("file", ENV), ("restart", APP)]),
        ("app1", [set_file(ENV, None)], [("file", ENV), ("restart", APP)]),
        ("app1", [set_file(f"{UNITS}/{APP}", OTHER)], [("file", f"{UNITS}/{APP}"), ("reload", "systemd"), ("restart", APP)]),
        ("app1", [set_file(f"{UNITS}/{LIMIT}", OTHER)], [("file", f"{UNITS}/{LIMIT}"), ("reload", "systemd")]),
        ("app1", [set_file("/opt/loadproof/hostside/seal.py", OTHER)], [("file", "/opt/loadproof/hostside/seal.py")]),
        ("app1", [edit("units", APP, value=unit("failed"))], [("start", APP)]),
        ("app1", [edit("units", APP, value=unit("activating"))], []),
        ("app1", [edit("units", APP, "needs_reload", value=True)], [("reload", "systemd")]),
        ("app1", [edit("health", "8000", value=None)], [("restart", APP)]),
        ("app1", [edit("health", "8000", "deploy_id", value="old")], [("restart", APP)]),
        ("app1", [edit("health", "8000", "variant", value="local")], [("restart", APP)]),
        ("app1", [edit("units", LIMIT, value=unit("active")), edit("units", SAMPLE, value=unit("active"))],
         [("stop", LIMIT), ("stop", SAMPLE)]),
        ("app3", [edit("units", APP, value=unit("active"))], [("stop", APP)]),
        ("app3", [edit("units", APP, value=unit("activating"))], [("stop", APP)]),
        ("app3", [set_file(ENV, OTHER)], [("file", ENV)]),
        ("proxy1", [edit("config", "8079", value="other")], [("restart", PROXY)]),
        ("proxy1", [set_file("/etc/loadproof/nginx.conf", OTHER)], [("file", "/etc/loadproof/nginx.conf"), ("restart", PROXY)]),
        ("proxy1", [edit("programs", "nginx", value=None)], [("package", "nginx")]),
        # A host that was an app host before: its unit is stopped before its files go.
        ("load1", [set_file(ENV, OTHER), set_file(f"{UNITS}/{APP}", OTHER), edit("units", APP, value=unit("active"))],
         [("stop", APP), ("remove", ENV), ("remove", f"{UNITS}/{APP}"), ("reload", "systemd")]),
        ("load1", [edit("units", LOAD, value=unit("active"))], [("stop", "loadproof-load@*.service")]),
        ("app1", [edit("dropins", value=[f"{UNITS}/{APP}.d/x.conf", f"/etc/systemd/system.control/{APP}.d/50-CPUQuota.conf"])],
         [("remove", f"{UNITS}/{APP}.d/x.conf"), ("remove", f"/etc/systemd/system.control/{APP}.d/50-CPUQuota.conf"),
          ("reload", "systemd"), ("restart", APP)]),
        ("app1", [edit("dropins", value=[f"{UNITS}/loadproof-.service.d/x.conf"])],
         [("remove", f"{UNITS}/loadproof-.service.d/x.conf"), ("reload", "systemd"), ("restart", APP)]),
        ("app1", [edit("dropins", value=[f"{UNITS}/{LIMIT}.d/x.conf"])],
         [("remove", f"{UNITS}/{LIMIT}.d/x.conf"), ("reload", "systemd")]),
        ("load1", [edit("dropins", value=[f"{UNITS}/{LOAD}.d/x.conf"])],
         [("remove", f"{UNITS}/{LOAD}.d/x.conf"), ("reload", "systemd")]),
        ("load1", [edit("user", value=False)], [("user", "loadproof")]),
        ("load1", [edit("folders", "/var/lib/loadproof/idle", value={"mode": 0o755, "owner": "root"})],
         [("folder", "/var/lib/loadproof/idle")]),
    ],
)  # fmt: skip
def test_only_what_differs(
    hosts: Callable[[str], HostDesired],
    name: str,
    edits: list[Callable[[Facts], None]],
    expected: list[tuple[str, str]],
) -> None:
    facts = copy.deepcopy(done(hosts(name)))
    for change in edits:
        change(facts)
    assert said(facts, hosts(name)) == expected


def test_a_new_tree_restarts_what_depends_on_it(hosts: Callable[[str], HostDesired]) -> None:
    host = hosts("app1")
    for tree in host.trees:
        facts = copy.deepcopy(done(host))
        facts["trees"][tree.path] = False
        assert said(facts, host) == [("tree", tree.path), ("restart", APP)]


@pytest.mark.parametrize(
    ("number", "why"), [(1, "app/data.py was changed"), (7, "app/data.py and 6 more were changed")]
)
def test_a_tree_that_was_changed_says_why_it_travels(
    hosts: Callable[[str], HostDesired], number: int, why: str
) -> None:
    host, facts = hosts("app1"), copy.deepcopy(done(hosts("app1")))
    path = host.trees[0].path
    facts["trees"][path] = False
    facts["altered"] = {path: {"first": "app/data.py", "number": number}}
    assert said(facts, host) == [("tree", path), ("restart", APP)]
    assert room.changes(facts, host)[0].detail == f"shipped whole again: {why} on the host"


def test_changes_say_what_and_carry_what_they_came_from(hosts: Callable[[str], HostDesired]) -> None:
    host = hosts("app1")
    facts = copy.deepcopy(done(host))
    facts["files"][ENV] = {"sha256": "0" * 64, "mode": 0o600, "owner": "www-data"}
    facts["files"]["/etc/loadproof/deploy.json"] = None
    facts["trees"][host.trees[0].path] = False
    found = {change.what: change for change in room.changes(facts, host)}
    assert found[ENV].detail == "content differs, mode 0600 -> 0644, owner www-data -> root"
    assert found[ENV].before is None
    assert "LOADPROOF_VARIANT=plain" in (found[ENV].after or "")
    assert (found["/etc/loadproof/deploy.json"].before, found["/etc/loadproof/deploy.json"].detail) == (
        "",
        "new",
    )
    assert isinstance(found[ENV].data, FileSpec)
    assert isinstance(found[host.trees[0].path].data, TreeSpec)
    assert "app.env" in found[APP].detail


def test_a_secret_file_is_never_shown() -> None:
    host = HostDesired("x", files=(FileSpec("/etc/loadproof/secret.env", b"password", 0o600, secret=True),))
    facts = machine() | {"files": {}, "user": True, "folders": done(HostDesired("x"))["folders"]}
    (change,) = room.changes(facts, host)
    assert (change.after, change.before) == (None, "")
    assert "password" not in change.detail


def test_the_question_asks_for_all_that_is_compared(hosts: Callable[[str], HostDesired]) -> None:
    asked = room.question(hosts("load1"))
    assert ENV in asked["files"]
    assert set(asked["units"]) == {APP, PROXY, LIMIT, SAMPLE, LOAD}
    assert room.question(hosts("app1"))["health"] == [{"port": 8000}]
    assert room.question(hosts("proxy1"))["config"] == [{"port": 8079}]
    assert room.question(hosts("app3"))["health"] == []


@pytest.mark.parametrize(
    ("name", "edits", "problem"),
    [
        ("app1", [edit("python", value="3.9"), edit("python_exe", value="/usr/bin/python3.9")],
         "/usr/bin/python3.9 is Python 3.9, 3.11 or newer is needed: set loadproof_python"),
        ("app1", [edit("python", value="3.13")],
         "the host has Python 3.13 on x86_64; its app was planned for cp311-x86_64 (as found before planning)"),
        ("load1", [edit("machine", value="aarch64")],
         "the host has Python 3.11 on aarch64; its load was planned for cp311-x86_64 (as found before planning)"),
        ("app1", [edit("glibc", value=[2, 31])],
         "the host has glibc 2.31, older than 2.36; its app was planned for cp311-x86_64 (as found before planning)"),
        ("app1", [edit("glibc", value=None)],
         "the host's C library is not glibc; its app was planned for cp311-x86_64 (as found before planning)"),
        ("app1", [edit("ports", "8000", value={"pid": 41, "name": "gunicorn", "unit": "web.service"})],
         "port 8000 is taken by gunicorn (pid 41, unit web.service)"),
        ("proxy1", [edit("ports", "8080", value={"pid": 42, "name": "java", "unit": ""})], "port 8080 is taken by java (pid 42)"),
        ("app1", [edit("disk", "/var/lib/loadproof", value={"free_kb": 1024, "total_kb": 102400})],
         "/var/lib/loadproof has 1 MB free, 64 MB are needed"),
        ("app1", [edit("uid", value=1000)],
         "commands run as user 1000, not as root: log in as root or with passwordless sudo"),
        ("load1", [edit("units", LOAD, value=unit("active")), edit("trial", value="RUN/01")],
         "a load runs here (trial RUN/01): wait, or ./inv attach, or ./inv stop"),
        ("app1", [edit("lock", value={"owner": "me@x", "run": "RUN", "until_us": 2000, "boot_id": "b", "pid1_start": 5})],
         "the host is held by me@x for run RUN: wait, or ./inv stop"),
    ],
)  # fmt: skip
def test_what_forbids_to_touch_a_host(
    hosts: Callable[[str], HostDesired], name: str, edits: list[Callable[[Facts], None]], problem: str
) -> None:
    facts = copy.deepcopy(done(hosts(name)))
    for change in edits:
        change(facts)
    expected = [f"host {name}: {problem}"]
    found = [str(each) for each in room.blockers(facts, hosts(name), "")]
    assert found[:1] == expected
    assert (
        len(found) == 1 or "planned for" in problem
    )  # the data tree has no platform, a second program tree would


def test_a_missing_tree_needs_room(hosts: Callable[[str], HostDesired]) -> None:
    facts = bare(hosts("app1"))
    facts["disk"] = {path: {"free_kb": 100 * 1024, "total_kb": 200 * 1024} for path in facts["disk"]}
    found = [problem.message for problem in room.blockers(facts, hosts("app1"))]
    assert found == [
        "/opt/loadproof has 100 MB free, 608 MB are needed",
        "/var/lib/loadproof has 100 MB free, 216 MB are needed",
    ]


@pytest.mark.parametrize(
    ("devices", "free_mb", "problems"),
    [
        ((1, 1), 700, ["/opt/loadproof and /var/lib/loadproof together have 700 MB free, 824 MB are needed"]),
        ((1, 1), 824, []),
        ((1, 2), 700, []),
        ((1, 2), 300, ["/opt/loadproof has 300 MB free, 608 MB are needed"]),
    ],
)
def test_paths_on_one_device_share_its_room(
    hosts: Callable[[str], HostDesired], devices: tuple[int, int], free_mb: int, problems: list[str]
) -> None:
    facts = bare(hosts("app1"))
    free = {"free_kb": free_mb * 1024, "total_kb": 1 << 30}
    facts["disk"] = {
        path: free | {"device": device} for path, device in zip(facts["disk"], devices, strict=True)
    }
    assert [problem.message for problem in room.blockers(facts, hosts("app1"))] == problems


@pytest.mark.parametrize(
    ("lock", "run", "blocked"),
    [
        ({"run": "RUN", "until_us": 2000, "boot_id": "b", "pid1_start": 5}, "RUN", False),
        ({"run": "RUN", "until_us": 2000, "boot_id": "b", "pid1_start": 5}, "OTHER", True),
        ({"run": "RUN", "until_us": 2000, "boot_id": "b", "pid1_start": 5}, None, False),
        ({"run": "RUN", "until_us": 999, "boot_id": "b", "pid1_start": 5}, "", False),
        ({"run": "RUN", "until_us": 2000, "boot_id": "before", "pid1_start": 5}, "", False),
        ({"run": "RUN", "until_us": 2000, "boot_id": "b", "pid1_start": 4}, "", False),
    ],
)
def test_whose_lock_counts(
    hosts: Callable[[str], HostDesired], lock: dict[str, Any], run: str | None, blocked: bool
) -> None:
    facts = done(hosts("app1")) | {"lock": lock}
    assert bool(room.blockers(facts, hosts("app1"), run)) is blocked


def test_a_lock_whose_time_has_passed_counts_while_its_load_runs(hosts: Callable[[str], HostDesired]) -> None:
    lock = {"run": "RUN", "until_us": 999, "boot_id": "b", "pid1_start": 5}
    facts = done(hosts("load1")) | {"lock": lock}
    assert holder(facts) is None
    facts["units"][LOAD] = unit("active")
    assert holder(facts) == lock
    assert holder(facts | {"boot_id": "new"}) is None
