"""Inventories: what is read, and what is rejected, with file and line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from loadproof.errors import BadInput
from loadproof.plan import hosts, known
from tests.plan.inventories import FOUR, ROOT, inventory, rejected

REST = "proxy: {hosts: {p: }}\nload: {hosts: {l: }}\n"


def test_the_example_is_accepted() -> None:
    found = hosts.read(ROOT / "inventory" / "example.yml")
    assert [(host.name, host.roles, host.ssh_host, host.address) for host in found.hosts] == [
        ("app1", ("app",), "203.0.113.11", "10.0.0.11"),
        ("proxy1", ("proxy",), "203.0.113.10", "10.0.0.10"),
        ("load1", ("load",), "203.0.113.20", "10.0.0.20"),
    ]
    assert found.host("load1").ssh_port == 2222
    assert {host.ssh_user for host in found.hosts} == {"deploy"}


def test_defaults(tmp_path: Path) -> None:
    found = inventory(tmp_path, "app: {hosts: {a: }}\n" + REST)
    app = found.host("a")
    assert (app.ssh_host, app.address, app.ports, app.python) == (
        "a",
        "a",
        (("app", 8000),),
        "/usr/bin/python3",
    )
    assert (app.ssh_port, app.ssh_user, app.identity_file, app.platform, app.connection) == (
        None,
        None,
        None,
        None,
        "ssh",
    )
    assert found.host("p").port("proxy") == 8080
    assert found.host("l").ports == ()


def test_order_is_that_of_the_groups(tmp_path: Path) -> None:
    text = FOUR.replace("app: {hosts: {app1: , app2: , app3: }}", "app: {hosts: {app3: , app1: }}")
    assert [host.name for host in inventory(tmp_path, text).hosts] == ["app3", "app1", "proxy1", "load1"]


def test_hosts_of_no_group_of_ours_are_left_out_and_never_judged(tmp_path: Path) -> None:
    text = FOUR + "  # \nweb: {hosts: {'bad name; rm': {ansible_port: none}}}\n"
    assert "bad name; rm" not in [host.name for host in inventory(tmp_path, text).hosts]


def test_ranges_nested_groups_and_precedence(tmp_path: Path) -> None:
    text = """\
all:
  vars: {ansible_user: everybody, loadproof_port: 9000}
  children:
    servers:
      vars: {ansible_user: server, ansible_port: 2200}
      children:
        app:
          vars: {ansible_port: 2201}
          hosts:
            app[01:03]: {}
            app10: {ansible_user: own}
    proxy: {hosts: {p: {loadproof_port: 80}}}
    load: {hosts: "l"}
"""
    found = inventory(tmp_path, text)
    assert [(h.name, h.ssh_user, h.ssh_port, h.port("app")) for h in found.group("app")] == [
        ("app01", "server", 2201, 9000),
        ("app02", "server", 2201, 9000),
        ("app03", "server", 2201, 9000),
        ("app10", "own", 2201, 9000),
    ]
    assert found.host("p").port("proxy") == 80
    assert found.host("l").ssh_user == "everybody"


def test_files_beside_the_inventory(tmp_path: Path) -> None:
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars" / "app.yml").write_text("ansible_user: from_group_vars\n")
    (tmp_path / "host_vars" / "app2").mkdir(parents=True)
    (tmp_path / "host_vars" / "app2" / "main.yml").write_text(
        "ansible_user: from_host_vars\nansible_prot: 1\n"
    )
    (tmp_path / "group_vars" / "all").write_text("$ANSIBLE_VAULT;1.1;AES256\n6131\n")
    with pytest.raises(BadInput) as caught:
        inventory(tmp_path)
    assert [str(problem) for problem in caught.value.problems] == [
        f"{tmp_path}/host_vars/app2/main.yml:2: there is no ansible_prot; did you mean ansible_port?"
    ]
    (tmp_path / "host_vars" / "app2" / "main.yml").write_text("ansible_user: from_host_vars\n")
    found = inventory(tmp_path)
    assert [host.ssh_user for host in found.group("app")] == [
        "from_group_vars",
        "from_host_vars",
        "from_group_vars",
    ]
    assert f"{tmp_path}/group_vars/all is encrypted and was not read" in found.notes


def test_foreign_variables_tags_and_merge_keys_are_fine(tmp_path: Path) -> None:
    text = (
        """\
all:
  vars:
    secret: !vault |
      $ANSIBLE_VAULT;1.1
    ansible_become: true
    ansible_winrm_transport: ntlm
    ansible_ruby_interpreter: /usr/bin/ruby
    ansible_distribution: Debian
    ansible_something_of_ours: {a: [1]}
    http_port: "{{ base + 1 }}"
app:
  hosts:
    a: &a {ansible_user: u, x: 1}
    b: {<<: *a, ansible_host: b.example}
"""
        + REST
    )
    found = inventory(tmp_path, text)
    assert (found.host("b").ssh_user, found.host("b").ssh_host) == ("u", "b.example")


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("loadprof_address", "loadproof_address"),
        ("loadprooof_address", "loadproof_address"),
        ("loadproof-port", "loadproof_port"),
        ("loadproofpython", "loadproof_python"),
        ("anisble_port", "ansible_port"),
        ("ansibel_ssh_host", "ansible_ssh_host"),
        ("Ansible_user", "ansible_user"),
        ("nsible_user", "ansible_user"),
        ("ansible-ssh-private-key-file", "ansible_ssh_private_key_file"),
    ],
)
def test_a_key_of_ours_with_a_slip_in_its_beginning(tmp_path: Path, name: str, meant: str) -> None:
    problems = rejected(tmp_path, f"app: {{hosts: {{a: {{{name}: '1'}}}}}}\n{REST}")
    assert problems == [f":1: there is no {name}; did you mean {meant}?"]


FOREIGN = [
    "host", "port", "user", "address", "python", "platform", "connection", "http_port", "app_port", "ssh_port",
    "ssh_user", "ssh_host", "db_user", "listen_address", "bind-address", "my_ansible_user", "real_ansible_host",
    "_ansible_port_", "old_ansible_port", "visible_host", "sensible_port", "loadbalancer_port", "loadproxy_address",
    "loadprofile_port", "load_address", "proof_address", "ansibles", "anisble", "loadproof", "ANSIBLE_USER",
    "ANSIBLE_HOST_KEY_CHECKING",
]  # fmt: skip


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_names_are_nobodys_slip(name: str) -> None:
    assert known.misspelt(name) == ""


def test_what_is_no_group_and_not_ours_is_passed_over(tmp_path: Path) -> None:
    text = "x-note: [1, 2]\ny: text\napp: {hosts: {a: }}\n" + REST
    found = inventory(tmp_path, text)
    assert found.notes == (
        f"{tmp_path}/hosts.yml:1: x-note is no group and was passed over",
        f"{tmp_path}/hosts.yml:2: y is no group and was passed over",
    )
    assert rejected(tmp_path, text, {"watch": "y"}) == [
        ":2: group y is no mapping of vars, hosts, children",
        ": group y has no hosts",
    ]


def test_known_variables_that_we_do_not_use_are_said(tmp_path: Path) -> None:
    found = inventory(tmp_path, "app: {hosts: {a: {ansible_password: x, ansible_become_user: y}}}\n" + REST)
    assert found.notes == (
        "a: ansible_password is not used: login is by key",
        "a: ansible_become_user is not used: root does the work",
    )
    assert "x" not in [word for note in found.notes for word in note.split()]


def test_aliases_connection_and_python(tmp_path: Path) -> None:
    text = (
        """\
app:
  hosts:
    a: {ansible_ssh_host: h, ansible_ssh_port: "2222", ansible_ssh_user: u, ansible_private_key_file: ~/k,
        ansible_ssh_common_args: -J bastion, ansible_ssh_extra_args: -C, ansible_connection: ansible.builtin.ssh,
        ansible_python_interpreter: /opt/py/bin/python3.12, loadproof_platform: cp312-aarch64-glibc2.39}
    b: {ansible_connection: local, ansible_python_interpreter: auto_silent, loadproof_address: 10.0.0.9,
        ansible_ssh_private_key_file: keys/id}
"""
        + REST
    )
    found = inventory(tmp_path, text)
    a, b = found.host("a"), found.host("b")
    assert (a.ssh_host, a.ssh_port, a.ssh_user, a.ssh_common_args) == ("h", 2222, "u", "-J bastion -C")
    assert (a.identity_file, a.python, a.platform) == (
        os.path.expanduser("~/k"),
        "/opt/py/bin/python3.12",
        "cp312-aarch64-glibc2.39",
    )
    assert (b.connection, b.python, b.identity_file) == (
        "local",
        "/usr/bin/python3",
        f"{os.getcwd()}/keys/id",
    )


@pytest.mark.parametrize(
    "written",
    ["python3", "/usr/bin/env python3", "auto", "auto_legacy_silent", "{{ ansible_playbook_python }}"],
)
def test_an_interpreter_that_is_no_path_is_ansibles_affair_and_noted(tmp_path: Path, written: str) -> None:
    text = f"app: {{hosts: {{a: {{ansible_python_interpreter: '{written}'}}}}}}\n{REST}"
    found = inventory(tmp_path, text)
    assert found.host("a").python == "/usr/bin/python3"
    noted = [
        note for note in found.notes if "ansible_python_interpreter" in note and "/usr/bin/python3" in note
    ]
    assert len(noted) == (0 if written.startswith("auto") else 1)


def test_our_own_key_for_python_stays_strict(tmp_path: Path) -> None:
    for written in ("python3", "/usr/bin/env python3", "auto"):
        (problem,) = rejected(tmp_path, f"app: {{hosts: {{a: {{loadproof_python: {written}}}}}}}\n{REST}")
        assert "is no absolute path of a program" in problem


def test_one_load_host_may_have_a_loopback_address(tmp_path: Path) -> None:
    text = REST.replace("load: {hosts: {l: }}", "load: {hosts: {l: {loadproof_address: 127.0.0.1}}}")
    assert inventory(tmp_path, "app: {hosts: {a: }}\n" + text).host("l").name == "l"


def test_groups_are_mapped(tmp_path: Path) -> None:
    text = FOUR.replace("app:", "web:").replace("load:", "gen:")
    found = inventory(tmp_path, text, {"app": "web", "load": "gen"})
    assert [host.name for host in found.group("app")] == ["app1", "app2", "app3"]
    assert rejected(tmp_path, text, {"app": "wep", "lod": "gen", "load": ""}) == [
        "--group: there is no group 'lod' of ours: app, proxy, load, watch; did you mean load?",
        "--group: there is no group 'wep'; did you mean web?",
        "--group: there is no group ''",
    ]


def test_a_host_may_have_two_roles(tmp_path: Path) -> None:
    text = "app: {hosts: {a: }}\nproxy: {hosts: {a: }}\nload: {hosts: {l: }}\nwatch: {hosts: {db: , a: }}\n"
    found = inventory(tmp_path, text)
    assert found.host("a").roles == ("app", "proxy", "watch")
    assert found.host("a").ports == (("app", 8000), ("proxy", 8080))
    assert [host.name for host in found.group("watch")] == ["a", "db"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("app: {hosts: {a: }}\n", [": there is no group proxy; map one of yours: --group proxy=NAME",
                                   ": there is no group load; map one of yours: --group load=NAME"]),
        ("apps: {hosts: {a: }}\n" + REST, [": there is no group app; did you mean apps?"]),
        ("app: {}\n" + REST, [": group app has no hosts"]),
        ("app: {hosts: {a: }}\nproxy: {hosts: {p: , q: }}\nload: {hosts: {l: }}\n",
         [": group proxy has more than one host: p, q"]),
        ("app: {hosts: {a: {}, a: {}}}\n" + REST, [":1: a stands twice, first at :1"]),
        ("app:\n  hosts:\n    a[1:3]: {}\n    a2: {}\n" + REST, [":4: host a2 stands twice in group app (a range covers it)"]),
        ("app:\n  hosts:\n    a: {ansible_port: 22, ansible_port: 23}\n" + REST, [":3: ansible_port stands twice, first at :3"]),
        ("app:\n  hosts: [a, b]\n" + REST, [":2: hosts is a mapping (name: …), not a list or a text", ": group app has no hosts"]),
        ("app:\n  host: {a: }\n" + REST, [":2: group app has vars, hosts and children, not host; did you mean hosts?",
                                          ": group app has no hosts"]),
        ("app:\n  hosts: {a: }\n  children: {b: {children: {app: }}}\n" + REST, [":3: group app contains itself"]),
        ("app: {hosts: {'a[1-3]': }}\n" + REST,
         [":1: 'a[1-3]': a range is written [begin:end] or [begin:end:step]", ": group app has no hosts"]),
        ("app: {hosts: {'a[1:9999999999]': }}\n" + REST,
         [":1: 'a[1:9999999999]' names more than 4096 hosts", ": group app has no hosts"]),
        ("app: {hosts: {a: }\n" + REST, [":2: this is no YAML: expected ',' or '}', but got '<scalar>'"]),
        ("- a\n", [":1: an inventory is a mapping of groups"]),
        ("app: {hosts: {a: {x: " + "[" * 5000 + "]" * 5000 + "}}}\n" + REST, [": this is nested too deeply to be read"]),
        ("app: {hosts: {a: &a {x: 1, <<: [&b {<<: *a}]}}}\n" + REST, [":1: << merges a mapping into itself"]),
        ("app: {hosts: {a: &a {x: 1, <<: *a}, b: *a}}\n" + REST, [":1: << merges a mapping into itself"]),
        ("app: {hosts: {a: }}\nwatch: [db1, db2]\n" + REST, [":2: group watch is no mapping of vars, hosts, children"]),
        ("db: db1\nall: text\napp: {hosts: {a: }, children: {db: }}\n" + REST,
         [":1: group db is no mapping of vars, hosts, children", ":2: group all is no mapping of vars, hosts, children"]),
        ("app:\n  hosts:\n    a: {ansible_hots: x, loadproof_adress: y, loadproof_user: z}\n" + REST,
         [":3: there is no ansible_hots; did you mean ansible_host?",
          ":3: there is no loadproof_adress; did you mean loadproof_address?",
          ":3: there is no loadproof_user; did you mean loadproof_port?"]),
        ("app:\n  vars: {ansible_port: 70000}\n  hosts: {a: , b: }\n" + REST,
         [":2: ansible_port: '70000' is no port: a whole number from 1 to 65535"]),
        ("app:\n  hosts:\n    a:\n      ansible_host: '{{ ip }}'\n      ansible_connection: docker\n      ansible_user: [u]\n" + REST,
         [":4: ansible_host is an expression ('{{ ip }}'), which we do not evaluate: write the value",
          ":6: ansible_user must be a plain value", ":5: ansible_connection: 'docker' is neither ssh nor local"]),
        ("app: {hosts: {a: {loadproof_port: 8001}}}\nproxy: {hosts: {a: }}\nload: {hosts: {l: }}\n",
         [":1: loadproof_port of a is ambiguous: it is in app and in proxy; leave 8000 and 8080, or use two hosts",
          ]),
        ("app: {hosts: {a: {loadproof_port: 8079}}}\n" + REST,
         [":1: loadproof_port: 8079 is taken by us (8079 nginx's status, 5557 Locust's master)"]),
        ("app: {hosts: {a: {ansible_host: h}, b: {ansible_host: h}}}\n" + REST,
         [":1: b and a are one machine: use one name, in two groups",
          ":1: b (app) and a (app) both serve h:8000: set loadproof_address or loadproof_port"]),
        ("app: {hosts: {a: {ansible_host: h, ansible_port: 22, loadproof_address: x}, b: {ansible_host: h}}}\n" + REST,
         [":1: b and a are one machine: use one name, in two groups"]),
        ("app: {hosts: {a: {loadproof_address: 0.0.0.0}, b: {ansible_host: 224.0.0.1, loadproof_address: b}, 255.255.255.255: }}\n"
         + REST,
         [":1: loadproof_address: '0.0.0.0' is not the address of one machine",
          ":1: ansible_host: '224.0.0.1' is not the address of one machine",
          ":1: '255.255.255.255' is not the address of one machine"]),
        ("app: {hosts: {a: {ansible_host: '::', loadproof_address: a}}}\n" + REST,
         [":1: ansible_host: '::' is not the address of one machine"]),
        ("app: {hosts: {a: {ansible_host: 127.0.0.1, ansible_port: 2201}}}\n" + REST,
         [":1: traffic to a would go to 127.0.0.1, which is another machine on each host: set loadproof_address"]),
        ("app: {hosts: {a: {ansible_host: '::1'}, my_alias: }}\n" + REST,
         [":1: traffic would go to the ssh address, but '::1' is an IPv6 address: traffic goes over IPv4 for now, say an "
          "IPv4 address or a name; set loadproof_address",
          ":1: traffic would go to the ssh address, but 'my_alias' is neither a host name (RFC 1123) nor an IPv4 address; "
          "set loadproof_address"]),
        ("app: {hosts: {a: }}\nproxy: {hosts: {p: }}\nload: {hosts: {l: , m: {loadproof_address: 10.0.0.4}}}\n",
         [":3: l: with several load hosts each needs an IPv4 address, not l: set loadproof_address"]),
        ("app: {hosts: {a: }}\nproxy: {hosts: {p: }}\n"
         "load: {hosts: {l: {loadproof_address: 127.0.0.2}, m: {loadproof_address: 10.0.0.4}, n: {ansible_host: localhost}}}\n",
         [":3: traffic to l would go to 127.0.0.2, which is another machine on each host: set loadproof_address",
          ":3: n: with several load hosts each needs an IPv4 address, not localhost: set loadproof_address"]),
    ],
)  # fmt: skip
def test_rejected_all_at_once_with_lines(tmp_path: Path, text: str, problems: list[str]) -> None:
    assert rejected(tmp_path, text) == problems


def test_no_such_inventory(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        hosts.read(tmp_path / "none.yml")
    assert str(caught.value.problems[0]) == f"{tmp_path}/none.yml: there is no such inventory"
    assert "lab.up" in caught.value.next


def test_no_text_at_all(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadInput, match="no UTF-8"):
        hosts.read(path)
    path.write_text("")
    with pytest.raises(BadInput, match="there is no group app"):
        hosts.read(path)


@pytest.mark.parametrize(
    ("name", "text", "yaml"),
    [
        ("hosts.yml", "all: {}", True),
        ("hosts.yml", "all: [", True),
        ("hosts", "all: {}", True),
        ("hosts", "[app]\na1\n", False),
        ("hosts.ini", "app1 ansible_host=1\n", False),
        ("aws_ec2.yml", "plugin: aws_ec2\n", False),
    ],
)
def test_what_ansible_has_to_read(tmp_path: Path, name: str, text: str, yaml: bool) -> None:
    (tmp_path / name).write_text(text)
    assert hosts.is_yaml(tmp_path / name) is yaml


# reliability.md row 25: forty values that must never come near a command, a template or a path.
HOSTILE = [
    ";", "a;reboot", "$(id)", "a$(id)", "`id`", "a`id`b", "a\nb", "a\rb", "a\tb", "a b", "{{7*7}}", "{% raw %}", "${IFS}",
    "-oProxyCommand=touch /tmp/x", "-", "--", "..", "../etc", "a/../b", "/etc/passwd", "a|b", "a&b", "a&&b", "a>b", "a<b",
    "127.0.0.1:1; } server { listen 81; location / { alias /etc/; } }", "10.0.0.1:80 backup", "a'b", 'a"b', "a\\b", "a#b",
    "a%nb", "a*b", "a?b", "~root", "a\x00b", "a\x1b[31m", "a\u202eb", "ä.example", "a" * 300, "a..b", ".a", "a@b", "1.2.3.4.5",
    "999.1.1.1", "[::1", "fe80::1%eth0", "",
]  # fmt: skip
KEYS = ("ansible_host", "ansible_port", "ansible_user", "loadproof_address", "loadproof_port", "loadproof_python",
        "loadproof_platform", "ansible_connection")  # fmt: skip
FINE = {("ansible_user", "a..b"), ("loadproof_python", "/etc/passwd")}  # harmless as what they are


@pytest.mark.parametrize("key", KEYS)
def test_hostile_values_are_rejected_by_name(tmp_path: Path, key: str) -> None:
    for value in HOSTILE:
        if (key, value) in FINE:
            continue
        # As a listing, since YAML itself refuses some of these characters.
        listing = {
            "_meta": {"hostvars": {"a": {key: value}}},
            "app": {"hosts": ["a"]},
            "proxy": {"hosts": ["p"]},
            "load": {"hosts": ["l"]},
        }
        with pytest.raises(BadInput) as caught:
            hosts.from_listing(json.dumps(listing), tmp_path / "x")
        assert any(key in problem.message for problem in caught.value.problems), (key, value)
        assert not any(ord(letter) < 32 or letter == "\x1b" for letter in caught.value.problems[0].message)


def test_hostile_names_are_rejected(tmp_path: Path) -> None:
    for value in HOSTILE:
        listing = {"app": {"hosts": [value]}, "proxy": {"hosts": ["p"]}, "load": {"hosts": ["l"]}}
        with pytest.raises(BadInput, match="no host name"):
            hosts.from_listing(json.dumps(listing), tmp_path / "x")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"app": 1}', '{"a": {"children": ["a"]}}'])
def test_a_listing_that_is_none(tmp_path: Path, text: str) -> None:
    with pytest.raises(BadInput):
        hosts.from_listing(text, tmp_path / "x")
