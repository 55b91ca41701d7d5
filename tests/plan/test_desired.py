"""The desired state: roles, determinism, what enters the deploy id and what does not."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from jinja2 import UndefinedError

from loadproof.errors import BadInput
from loadproof.plan import desired as room
from loadproof.plan.render import environment, render
from loadproof.plan.values import Desired, Platform, Promise, Serving, UnitSpec
from tests.plan.inventories import FOUR, PLATFORM, ROOT, inventory, platforms


def make(folder: Path, servers: int = 2, seed: int = 1, text: str = FOUR, platform: Platform = PLATFORM,
         root: Path = ROOT, **serving: Any) -> Desired:  # fmt: skip
    hosts = inventory(folder, text)
    apps = [host.name for host in hosts.group("app")][:servers]
    served = replace(Serving(rows=100), **serving)
    return room.desired(hosts, served, apps, seed, dict.fromkeys(platforms(hosts), platform), root)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of all that a desired state is made from."""
    root = tmp_path / "clone"
    for name in ("app", "loadtests", "hostside", "templates", "locks"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def test_each_role_has_its_parts(tmp_path: Path) -> None:
    state = make(tmp_path)
    app, idle, proxy, load = (state.host(name) for name in ("app1", "app3", "proxy1", "load1"))
    assert [program for program, _ in app.packages] == ["zstd", "cpulimit"]
    assert [program for program, _ in proxy.packages] == ["nginx"]
    assert [program for program, _ in load.packages] == ["zstd"]
    assert (proxy.masked, app.masked) == (("nginx.service",), ())
    assert [tree.kind for tree in app.trees] == ["app", "data"]
    assert [tree.kind for tree in load.trees] == ["load"]
    assert proxy.trees == ()
    assert (app.ports, idle.ports, proxy.ports, load.ports) == ((8000,), (), (8080, 8079), (5557,))
    assert app.promises == (Promise("health", 8000, state.deploy_id, "plain"),)
    assert [promise.kind for promise in proxy.promises] == ["config"]
    assert (idle.promises, load.promises) == ((), ())
    assert state.apps == ("app1", "app2")
    for host in state.hosts:
        paths = [file.path for file in host.files]
        assert len(set(paths)) == len(paths)
        assert not set(paths) & set(host.absent)
        units = {file.path.rpartition("/")[2] for file in host.files if file.path.startswith("/etc/systemd")}
        assert units == {unit.name for unit in host.units} | {"loadproof-out.service"}
        assert {
            f"/opt/loadproof/hostside/{name}.py" for name in ("facts", "install", "seal", "sample", "lock")
        } < set(paths)


def test_a_host_without_trees_needs_nothing_to_unpack_them(tmp_path: Path) -> None:
    text = FOUR.replace(
        "  children:\n", "    db1: {ansible_host: 10.0.0.30}\n  children:\n    watch: {hosts: {db1: }}\n"
    )
    watch = make(tmp_path, text=text).host("db1")
    assert (watch.trees, watch.packages) == ((), ())


def test_app_hosts_outside_the_arm_are_desired_stopped(tmp_path: Path) -> None:
    def app_unit(state: Desired, host: str) -> UnitSpec:
        return next(unit for unit in state.host(host).units if unit.name == "loadproof-app.service")

    one = make(tmp_path, servers=1)
    assert [app_unit(one, host).state for host in ("app1", "app2", "app3")] == [
        "running",
        "stopped",
        "stopped",
    ]
    assert {app_unit(make(tmp_path, servers=3), host).state for host in ("app1", "app2", "app3")} == {
        "running"
    }
    everywhere = {
        unit.name: unit.state
        for host in one.hosts
        for unit in host.units
        if unit.name != "loadproof-app.service"
    }
    assert everywhere == {
        "loadproof-limit.service": "stopped",
        "loadproof-sample.service": "stopped",
        "loadproof-proxy.service": "running",
        "loadproof-load@.service": "stopped",
    }


def test_the_app_depends_on_all_it_is_made_of(tmp_path: Path) -> None:
    app = make(tmp_path).host("app1")
    unit = next(unit for unit in app.units if unit.name == "loadproof-app.service")
    assert set(unit.restart_on) == {
        "/etc/systemd/system/loadproof-app.service", "/etc/loadproof/app.env", *(tree.name for tree in app.trees),
    }  # fmt: skip
    env = next(file.data.decode() for file in app.files if file.path.endswith("app.env"))
    data = next(tree for tree in app.trees if tree.kind == "data")
    assert f"LOADPROOF_DATA={data.path}/items.parquet\n" in env
    assert "LOADPROOF_VARIANT=plain\n" in env
    assert env.endswith("\n")


def test_same_input_same_id(tmp_path: Path) -> None:
    assert make(tmp_path) == make(tmp_path)
    # How bytecode is numbered changes what a tree's archive brings, not what the host is.
    assert make(tmp_path, platform=replace(PLATFORM, magic="00")).deploy_id == make(tmp_path).deploy_id


def test_everything_that_is_deployed_is_in_the_id(tmp_path: Path, clone: Path) -> None:
    first = make(tmp_path, root=clone)
    ids = {
        "first": first.deploy_id,
        "servers": make(tmp_path, root=clone, servers=1).deploy_id,
        "variant": make(tmp_path, root=clone, variant="local").deploy_id,
        "rows": make(tmp_path, root=clone, rows=101).deploy_id,
        "balance": make(tmp_path, root=clone, balance="least_conn").deploy_id,
        "keepalive": make(tmp_path, root=clone, keepalive=True).deploy_id,
        "failover": make(tmp_path, root=clone, failover=True).deploy_id,
        "app": make(tmp_path, root=clone, app=(("SIZE", "3"),)).deploy_id,
        "seed": make(tmp_path, root=clone, seed=2).deploy_id,
        "python": make(tmp_path, root=clone, platform=replace(PLATFORM, python="3.13")).deploy_id,
        "machine": make(tmp_path, root=clone, platform=replace(PLATFORM, machine="aarch64")).deploy_id,
        "address": make(tmp_path, root=clone, text=FOUR.replace("10.0.0.2}", "10.0.0.9}")).deploy_id,
    }
    for path in ("app/serve.py", "app/data.py", "loadtests/start.py", "hostside/seal.py", "templates/nginx.conf.j2",
                 "templates/loadproof-limit.service.j2", "locks/app.lock", "locks/load.lock"):  # fmt: skip
        original = (clone / path).read_bytes()
        (clone / path).write_bytes(original + b"\n# changed\n")
        ids[path] = make(tmp_path, root=clone).deploy_id
        (clone / path).write_bytes(original)
    assert len(set(ids.values())) == len(ids)
    (clone / "app" / "__pycache__").mkdir()
    (clone / "app" / "__pycache__" / "x.cpython-311.pyc").write_bytes(b"x")
    assert make(tmp_path, root=clone) == first


def test_trees_change_only_with_their_own_recipe(tmp_path: Path, clone: Path) -> None:
    def names(**change: int) -> dict[str, str]:
        state = make(tmp_path, root=clone, **change)
        return {tree.kind: tree.name for host in state.hosts for tree in host.trees}

    before = names()
    assert {kind for kind, name in names(rows=5).items() if name != before[kind]} == {"data"}
    (clone / "loadtests" / "start.py").write_text("")
    assert {kind for kind, name in names().items() if name != before[kind]} == {"load"}


def test_no_run_id_no_time_and_no_blank_id(tmp_path: Path) -> None:
    state = make(tmp_path)
    files = {file.path: file.data.decode() for file in state.host("app1").files}
    assert json.loads(files["/etc/loadproof/deploy.json"]) == {
        "deploy_id": state.deploy_id,
        "variant": "plain",
        "host": "app1",
    }
    assert f"LOADPROOF_DEPLOY_ID={state.deploy_id}\n" in files["/etc/loadproof/app.env"]
    assert len(state.deploy_id) == 16


def test_the_hosts_own_python_is_used(tmp_path: Path) -> None:
    text = FOUR.replace("10.0.0.1}", "10.0.0.1, loadproof_python: /opt/py/bin/python3.12}")
    files = {file.path: file.data.decode() for file in make(tmp_path, text=text).host("app1").files}
    for unit in ("app", "limit", "sample"):
        assert "ExecStart=/opt/py/bin/python3.12 " in files[f"/etc/systemd/system/loadproof-{unit}.service"]


@pytest.mark.parametrize(("port", "given"), [(80, True), (1023, True), (1024, False), (8000, False)])
def test_only_a_low_port_needs_a_capability(tmp_path: Path, port: int, given: bool) -> None:
    text = FOUR.replace("10.0.0.1}", f"10.0.0.1, loadproof_port: {port}}}")
    files = {file.path: file.data.decode() for file in make(tmp_path, text=text).host("app1").files}
    unit = files["/etc/systemd/system/loadproof-app.service"]
    assert ("\nAmbientCapabilities=CAP_NET_BIND_SERVICE\n" in unit) is given
    assert "User=loadproof\n" in unit and "NoNewPrivileges=yes\n" in unit


def test_several_load_hosts_keep_the_master_to_themselves(tmp_path: Path) -> None:
    text = FOUR.replace(
        "load: {hosts: {load1: }}", "load: {hosts: {load1: , load2: {ansible_host: 10.0.0.21}}}"
    )
    state = make(tmp_path, text=text)
    for name in ("load1", "load2"):
        host = state.host(name)
        files = {file.path: file.data.decode() for file in host.files}
        assert "ip saddr != { 10.0.0.20, 10.0.0.21 } reject" in files["/etc/loadproof/load.nft"]
        assert (
            "ExecStartPre=+nft -f /etc/loadproof/load.nft\n"
            in files["/etc/systemd/system/loadproof-load@.service"]
        )
        assert ("nft", "nftables") in host.packages
    assert (state.host("load1").ports, state.host("load2").ports) == ((5557,), ())
    alone = {file.path: file.data.decode() for file in make(tmp_path).host("load1").files}
    assert "/etc/loadproof/load.nft" not in alone
    assert "nft" not in alone["/etc/systemd/system/loadproof-load@.service"]


def test_a_host_with_two_roles_has_both(tmp_path: Path) -> None:
    text = "app: {hosts: {a: }}\nproxy: {hosts: {a: }}\nload: {hosts: {l: }}\n"
    host = make(tmp_path, servers=1, text=text).host("a")
    assert {promise.kind for promise in host.promises} == {"health", "config"}
    assert host.ports == (8000, 8080, 8079)
    assert host.absent == ("/etc/loadproof/load.nft", "/etc/systemd/system/loadproof-load@.service")


def test_what_cannot_be_deployed(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        make(tmp_path, variant="globl")
    assert [str(problem) for problem in caught.value.problems] == [
        "--variant: there is no variant 'globl'; did you mean global?",
    ]


def test_settings_of_the_app_reach_its_environment(tmp_path: Path) -> None:
    app = make(tmp_path, app=(("POOL", "3"), ("SIZE", "a,b"), ("URL", "x@y:1/z=="))).host("app1")
    env = next(file.data.decode() for file in app.files if file.path.endswith("app.env"))
    assert env.endswith("\nPOOL=3\nSIZE=a,b\nURL=x@y:1/z==\n")


@pytest.mark.parametrize("value", ["a;b", "a b{", "$x", "%h", "a\nb", "'", '"', "#", "\\", "`"])
def test_no_template_prints_what_could_end_a_word(tmp_path: Path, value: str) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "x.j2").write_text("{{ value }}\n")
    with pytest.raises(ValueError, match="no plain word"):
        render(environment(tmp_path), "x", value=value)
    with pytest.raises(UndefinedError):
        render(environment(tmp_path), "x")
    assert render(environment(tmp_path), "x", value="a.b-c:1/d") == b"a.b-c:1/d\n"


def test_units_follow_the_contract(tmp_path: Path) -> None:
    units = {
        file.path.rpartition("/")[2]: file.data.decode()
        for host in make(tmp_path).hosts for file in host.files if file.path.startswith("/etc/systemd/system/")
    }  # fmt: skip
    assert len(units) == 6
    for name, text in units.items():
        head, _, service = text.partition("\n[Service]\n")
        assert head.startswith("[Unit]\nDescription=loadproof: ")
        assert "StartLimitIntervalSec=0" in head
        assert "%" not in text.replace("%i", "")
        if name != "loadproof-out.service":
            assert "TimeoutStopSec=5\n" in service
            assert "LimitNOFILE=65536\n" in service
            assert "loadproof-out.service" in head
        # Nothing of ours is bound to the app: an app that is killed must find its limit again.
        assert "BindsTo" not in text
        assert "[Install]" not in text
    for name in ("loadproof-app.service", "loadproof-load@.service"):
        assert "User=loadproof\n" in units[name]
        assert "-P -m " in units[name]
    assert "Restart=always\nRestartSec=100ms\n" in units["loadproof-app.service"]
    assert "limit.py lift\n" in units["loadproof-limit.service"]
    assert "\nRestart=" not in units["loadproof-load@.service"]
