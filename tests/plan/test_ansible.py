"""`ansible-inventory --list` reads the same file the same way. Ansible lives in an environment of its own."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from loadproof.plan import ansible, hosts
from loadproof.plan.ranges import expand, split
from loadproof.plan.values import ROLES
from tests.plan.inventories import ROOT

LOCK = ROOT / "locks" / "ansible.lock"

NESTED = """\
---
all:
  vars: {ansible_user: everybody, depth: all}
  hosts:
    outsider: {ansible_host: 192.0.2.1}
    app02: {ansible_ssh_private_key_file: /keys/app02}
  children:
    servers:
      vars: {depth: servers, ansible_port: 2200}
      children:
        app:
          vars: &shared {depth: app, loadproof_port: 9000}
          hosts:
            app[01:03]: {ansible_user: ranged}
            app[a:c]: {}
            app[10:20:5].example: {}
        aaa_same_depth_as_app:
          vars: {loadproof_port: 9001, beaten: true}
          hosts: {app01: , app02: {loadproof_address: 10.0.0.2}}
    backends:
      children: {servers: }
    front:
      vars: {<<: *shared, depth: front}
      children:
        proxy:
          hosts: {"edge:2222": {ansible_host: 192.0.2.9, loadproof_port: 8081}}
    urgent:
      vars: {ansible_group_priority: 10, ansible_user: urgent}
      hosts: {load2: }
    zzz:
      vars: {ansible_user: late}
      hosts: {load2: }
load:
  hosts:
    load1: {loadproof_python: /usr/bin/python3.12, ansible_host: 192.0.2.11}
    load2: {ansible_host: 192.0.2.12}
  vars: {ansible_ssh_common_args: -o ServerAliveInterval=5}
watch:
  children: {databases: }
databases:
  hosts: db1
routers:
  hosts: {"[fe80::5]:2222": , "[fe80::[8:9]]:2222": , fe80::a: , "r[1:2]h[a:b]:2222": , "10.1.0.[1:3]:2222": {}}
"""
LAYERS = """\
all: {vars: {ansible_user: from_all}}
app: {hosts: {a1: , a2: {ansible_user: own}, a3: }, vars: {ansible_user: from_app, ansible_port: 1}}
first: {hosts: {p: }, vars: {ansible_port: 2, ansible_group_priority: -1}}
proxy: {hosts: {p: }, vars: {ansible_port: 3, ansible_group_priority: 0}}
load: {hosts: {l: }}
"""
BESIDE = {
    "group_vars/all.yml": "ansible_user: group_vars_all\nloadproof_port: 8001\n",
    "group_vars/app": "ansible_user: group_vars_app\n",
    "group_vars/load/one.yml": "ansible_port: 11\n",
    "group_vars/load/two.yaml": "ansible_port: 22\n",
    "host_vars/a3.yaml": "ansible_user: host_vars\nansible_port: 33\n",
    "group_vars/app.yml": "hidden: by the file app\n",
    "group_vars/load.yml": "hidden: by the folder load\n",
    "group_vars/load/deeper/still/more.json": '{"deeper": 1}',
    **{
        f"{folder}/{name}": "passed_over: true\n"
        for folder in ("group_vars/load", "host_vars/a1")
        for name in (
            ".git/config",
            "old.bak/main.yml",
            "a~/main.yml",
            "b.yml/main.yml",
            "one~",
            "one.yml~",
            ".x.yml",
            "x.txt",
        )
    },
    "host_vars/a1/main.yml": "ansible_port: 44\n",
    "host_vars/a1.yaml": "hidden: by the folder a1\n",
}


@pytest.fixture(scope="session")
def ansible_inventory() -> Path:
    """The program, in an environment named by the hash of its lock and this Python, made once."""
    key = hashlib.sha256(LOCK.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = ROOT / ".cache" / "test-envs" / f"ansible-{key}"
    program, complete = home / "bin" / "ansible-inventory", home / ".complete"
    home.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{home}.lock"):
        if not complete.exists():
            subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True, timeout=120)
            words = ["install", "--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "-r", LOCK]
            subprocess.run([home / "bin" / "python", "-m", "pip", *words], check=True, timeout=240)
            complete.touch()
    return program


def listing(program: Path, path: Path) -> str:
    """What the program says of a file."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(path.parent), "LC_ALL": "C.UTF-8"}
    words = [program, "-i", path, "--list"]
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=path.parent, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("case", ["nested", "layers", "example"])
def test_both_readers_agree(tmp_path: Path, ansible_inventory: Path, case: str) -> None:
    path = tmp_path / "hosts.yml"
    example = (ROOT / "inventory" / "example.yml").read_text()
    path.write_text({"nested": NESTED, "layers": LAYERS, "example": example}[case])
    for name, text in BESIDE.items() if case == "layers" else ():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    said = listing(ansible_inventory, path)
    ours, theirs = ansible.read_yaml(path, []), ansible.read_listing(said, str(path), [])
    for role in ROLES:
        assert ours.groups.get(role, ()) == theirs.groups.get(role, ())
    assert set(ours.variables) == set(theirs.variables)
    for host, variables in theirs.variables.items():
        mine = {name: setting.text for name, setting in ours.variables[host].items()}
        assert mine == {name: setting.text for name, setting in variables.items()}, host
    ours_read, theirs_read = hosts.read(path), hosts.from_listing(said, path)
    for role in ROLES:
        assert ours_read.group(role) == theirs_read.group(role)
    assert len(ours_read.hosts) >= 3


def test_servers_come_in_the_order_of_list_hosts(tmp_path: Path, ansible_inventory: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(
        """\
app:
  children:
    old: {children: {oldest: {hosts: {h5: , h1: }}, new: }, hosts: {h2: }}
    new: {hosts: {h3: , h2: }}
  hosts: {h4: }
"""
    )
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    words = [ansible_inventory.with_name("ansible"), "-i", path, "app", "--list-hosts"]
    ran = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=120)
    theirs = ran.stdout.split()[2:]  # "hosts (5):" stands first
    assert list(ansible.read_yaml(path, []).groups["app"]) == theirs == ["h4", "h2", "h3", "h5", "h1"]


def test_ini_is_read_through_ansible(tmp_path: Path, ansible_inventory: Path) -> None:
    path = tmp_path / "hosts"
    path.write_text(
        "[app]\na[1:2] ansible_user=u ansible_port=2222\n[proxy]\np\n[load]\nl\n[app:vars]\nloadproof_port=9000\n"
    )
    assert not hosts.is_yaml(path)
    found = hosts.from_listing(listing(ansible_inventory, path), path)
    assert [(h.name, h.ssh_user, h.ssh_port, h.port("app")) for h in found.group("app")] == [
        ("a1", "u", 2222, 9000),
        ("a2", "u", 2222, 9000),
    ]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a", ["a"]),
        ("a[1:3]", ["a1", "a2", "a3"]),
        ("a[01:03]b", ["a01b", "a02b", "a03b"]),
        ("a[:2]", ["a0", "a1", "a2"]),
        ("a[0:10:5]", ["a0", "a5", "a10"]),
        ("[a:c]1", ["a1", "b1", "c1"]),
        ("r[1:2]h[a:b]", ["r1ha", "r1hb", "r2ha", "r2hb"]),
    ],
)
def test_ranges(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names


@pytest.mark.parametrize(
    ("key", "pattern", "port"),
    [
        ("a", "a", None),
        ("a:22", "a", "22"),
        ("10.0.0.[1:3]", "10.0.0.[1:3]", None),
        ("10.0.0.[1:3]:2222", "10.0.0.[1:3]", "2222"),
        ("[a:c]1:22", "[a:c]1", "22"),
        ("fe80::5", "fe80::5", None),
        ("[fe80::5]:2222", "fe80::5", "2222"),
        ("[fe80::[5:9]]:2222", "fe80::[5:9]", "2222"),
        ("[fe80::5]", "[fe80::5]", None),
        ("a:b", "a:b", None),
    ],
)
def test_keys_with_ports(key: str, pattern: str, port: str | None) -> None:
    assert split(key) == (pattern, port)


@pytest.mark.parametrize(
    "pattern",
    ["a[", "a]", "a[]", "a[1]", "a[3:1]", "a[1:3:0]", "a[01:003]", "a[a:3]", "a[1:2:3:4]", "a[1:x]"],
)
def test_ranges_that_are_none(pattern: str) -> None:
    with pytest.raises(ValueError, match="range|digits"):
        expand(pattern)
