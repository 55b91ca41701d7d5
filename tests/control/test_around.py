"""Inventory, provenance, trust, doctor: what surrounds a deploy."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadproof.control import doctor, inventory, provenance, trust
from loadproof.control.fake import FakeRemote, Script
from loadproof.control.fleet import Fleet
from loadproof.control.ssh import SshRemote
from loadproof.errors import BadInput, HostUnreachable, LoadproofError, Refused
from loadproof.plan.values import Host, Inventory
from tests.control.servers import Server, serving

LISTING = {
    "_meta": {
        "hostvars": {name: {"ansible_host": f"10.0.0.{n}"} for n, name in enumerate(("a", "p", "l"), 1)}
    },
    "all": {"children": ["ungrouped", "app", "proxy", "load"]},
    "app": {"hosts": ["a"]},
    "proxy": {"hosts": ["p"]},
    "load": {"hosts": ["l"]},
}


# --- inventory ---


def program(folder: Path, text: str) -> None:
    folder.mkdir()
    (folder / "ansible-inventory").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "ansible-inventory").chmod(0o755)


def test_ini_is_read_through_ansible_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", f"cat <<'END'\n{json.dumps(LISTING)}\nEND")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "hosts.ini").write_text("[app]\na\n")
    found = inventory.read(tmp_path / "hosts.ini")
    assert [host.name for host in found.group("app")] == ["a"]
    assert found.host("p").ssh_host == "10.0.0.2"


@pytest.mark.parametrize(
    "script", ["echo 'ERROR! no' >&2; exit 4", "echo ' [WARNING]: Unable to parse x' >&2; echo '{}'"]
)
def test_ansible_inventory_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program(tmp_path / "bin", script)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    (tmp_path / "hosts.ini").write_text("[app]\n")
    with pytest.raises(BadInput, match="ansible-inventory cannot read it") as caught:
        inventory.read(tmp_path / "hosts.ini")
    assert caught.value.next == f"ansible-inventory -i {tmp_path}/hosts.ini --list"


def test_ansible_inventory_that_never_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "exec sleep 60")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    monkeypatch.setattr(inventory, "WITHIN_S", 0.2)
    (tmp_path / "hosts.ini").write_text("[app]\n")
    with pytest.raises(BadInput, match="no answer in 0 s") as caught:
        inventory.read(tmp_path / "hosts.ini")
    assert caught.value.next == f"ansible-inventory -i {tmp_path}/hosts.ini --list"


def test_no_ansible_inventory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "hosts.ini").write_text("[app]\na\n")
    with pytest.raises(BadInput, match="not installed") as caught:
        inventory.read(tmp_path / "hosts.ini")
    assert caught.value.exit_code == 64


def test_no_such_inventory(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no such inventory"):
        inventory.read(tmp_path / "none.yml")


NAMED = """
app: {hosts: {app1: {ansible_host: web1%s}}}
proxy: {hosts: {p: {ansible_host: 10.0.0.2}}}
load: {hosts: {l: {ansible_host: "no.such.host.invalid"}}}
"""


def named(folder: Path, more: str = "") -> Path:
    (folder / "hosts.yml").write_text(NAMED % more)
    return folder / "hosts.yml"


def test_a_name_that_traffic_goes_to_becomes_the_one_address_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def known(name: str, port: None, family: int, kind: int) -> list[tuple[object, ...]]:
        assert (name, family) == ("web1", socket.AF_INET)
        return [(family, kind, 6, "", ("10.0.0.9", 0)), (family, kind, 6, "", ("10.0.0.8", 0))]

    monkeypatch.setattr(socket, "getaddrinfo", known)
    found = inventory.read(named(tmp_path), traffic=True)
    assert (found.host("app1").address, found.host("app1").ssh_host) == ("10.0.0.9", "web1")
    assert found.host("l").address == "no.such.host.invalid"  # nothing is sent there
    assert found.notes == ("app1: traffic goes to 10.0.0.9, the address of web1",)
    assert (
        inventory.read(named(tmp_path)).host("app1").address == "web1"
    )  # who plans nothing looks up nothing


def test_of_an_ssh_alias_the_real_name_is_looked_up(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("Host web1\n HostName 10.0.0.7\n")
    path = named(tmp_path, f", ansible_ssh_common_args: '-F {tmp_path}/config'")
    assert inventory.read(path, traffic=True).host("app1").address == "10.0.0.7"


@pytest.mark.parametrize(
    ("address", "said"),
    [("", "'web1' has no IPv4 address here"), ("127.0.1.1", "is 127.0.1.1 here"), ("10.0.0.2", "both serve")],
)
def test_a_name_that_is_no_address_for_traffic(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, address: str, said: str
) -> None:
    monkeypatch.setattr(inventory, "_ipv4", lambda name: address)
    path = named(tmp_path, ", loadproof_port: 8080")
    with pytest.raises(BadInput, match=said) as caught:
        inventory.read(path, traffic=True)
    assert "app1" in caught.value.what
    assert all((caught.value.where, caught.value.kept, "loadproof_address" in caught.value.next))


# --- provenance ---


def git(root: Path, *words: str) -> None:
    subprocess.run(
        ["git", "-C", str(root), *words], check=True, capture_output=True, stdin=subprocess.DEVNULL
    )


def test_provenance_with_and_without_git(tmp_path: Path) -> None:
    root = tmp_path / "clone"
    (root / "locks").mkdir(parents=True)
    (root / "locks" / "app.lock").write_text("x")
    found = provenance.collect(root)
    assert (found.commit, found.dirty) == ("", None)
    assert [name for name, _ in found.locks] == ["app.lock"]
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "-c", "user.name=t", "-c", "user.email=t@t", "commit", "-q", "-m", "x")
    found = provenance.collect(root)
    assert (len(found.commit), found.dirty) == (40, False)
    (root / "new").write_text("")
    (root / "locks" / "app.lock").write_text("y")
    found = provenance.collect(root)
    assert found.dirty
    assert set(found.changed) == {"new", "locks/app.lock"}


def test_a_tarball_inside_another_repository_is_not_that_repository(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    (tmp_path / "clone").mkdir()
    assert provenance.collect(tmp_path / "clone").commit == ""


def test_provenance_without_the_program_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git(tmp_path, "init", "-q")
    monkeypatch.setenv("PATH", "/nowhere")
    assert provenance.collect(tmp_path).commit == ""


# --- trust ---


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def test_trust_shows_then_adds_then_knows(shared: Server) -> None:
    known = shared.folder / "known_hosts"
    known.write_text("# no newline at the end")
    hosts = Inventory("x", (shared.host(),))
    with pytest.raises(HostUnreachable):
        SshRemote(shared.host()).run("true", 5)
    ((offered,), _) = trust.collect(hosts)
    assert (offered.host, offered.known, offered.name) == ("h1", "new", f"[127.0.0.1]:{shared.port}")
    listed = subprocess.run(
        ["ssh-keygen", "-lf", str(shared.folder / "host_key.pub")], capture_output=True, text=True
    )
    assert listed.stdout.split()[1] in offered.fingerprint
    assert known.read_text() == "# no newline at the end"
    assert "added to" in trust.remember([offered])[0]
    remote = SshRemote(shared.host())
    assert remote.run("true", 5).ok
    remote.close()
    ((again,), _) = trust.collect(hosts)
    assert again.known == "known"
    before = known.read_text()
    trust.remember([again])
    assert known.read_text() == before
    assert before.startswith("# no newline at the end\n[127.0.0.1]")


def new_key(path: Path, kind: str = "ed25519") -> str:
    """The public key of a key made now."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(path)]
    subprocess.run(command, check=True, capture_output=True)
    return path.with_suffix(".pub").read_text()


def test_trust_never_replaces_a_changed_key_and_remembers_the_others(shared: Server, tmp_path: Path) -> None:
    shared.know(f"[127.0.0.1]:{shared.port} {new_key(tmp_path / 'k')}")
    before = (shared.folder / "known_hosts").read_text()
    other = dataclasses.replace(shared.host(name="h2"), ssh_host="localhost")
    offered, _ = trust.collect(Inventory("x", (shared.host(), other)))
    assert [key.known.partition(":")[0] for key in offered] == ["CHANGED", "new"]
    (error,) = trust.refused(offered).values()
    assert isinstance(error, Refused) and "CHANGED" in error.what
    assert all((error.where == "host h1", error.kept, "ssh-keygen -R" in error.next))
    (said,) = trust.remember(offered)
    assert said.startswith("h2: ")
    text = (shared.folder / "known_hosts").read_text()
    assert text.startswith(before) and text.count("\n") == 2


def test_the_old_line_is_removed_from_the_file_that_has_it(shared: Server, tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.write_text(f"[127.0.0.1]:{shared.port} {new_key(tmp_path / 'k')}")
    shared.know("nothing\n")
    offered, _ = trust.collect(Inventory("x", (shared.host(GlobalKnownHostsFile=str(old)),)))
    (error,) = trust.refused(offered).values()
    assert f"-f {old}" in error.next


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_of_several_keys_the_one_that_is_known_is_asked_for(tmp_path: Path, kind: str) -> None:
    key = new_key(tmp_path / "other", kind)
    with serving(tmp_path, more_keys=(tmp_path / "other",)) as server:
        server.know(f"[127.0.0.1]:{server.port} {key}")
        ((offered,), _) = trust.collect(Inventory("x", (server.host(),)))
        assert (offered.known, offered.key) == ("known", base64.b64decode(key.split()[1]))
        server.know("nothing\n")
        host = server.host(HostKeyAlgorithms=key.split()[0].replace("ssh-rsa", "rsa-sha2-512"))
        ((offered,), _) = trust.collect(Inventory("x", (host,)))
        assert (offered.known, offered.kind) == ("new", key.split()[0])


def test_a_revoked_key_of_one_kind_does_not_hide_a_good_one(tmp_path: Path) -> None:
    key = new_key(tmp_path / "other", "rsa")
    with serving(tmp_path, more_keys=(tmp_path / "other",)) as server:
        name = f"[127.0.0.1]:{server.port}"
        server.know(f"@revoked {name} {(tmp_path / 'host_key.pub').read_text()}\n{name} {key}")
        ((offered,), _) = trust.collect(Inventory("x", (server.host(),)))
        assert offered.known == "known"
        remote = SshRemote(server.host())
        assert remote.run("true", 5).ok
        remote.close()


def test_an_unknown_jump_host_is_trusted_first(shared: Server, tmp_path: Path) -> None:
    shared.know("nothing\n")
    with serving(tmp_path / "behind") as behind:
        config = tmp_path / "config"
        config.write_text(
            f"Host jump\n HostName 127.0.0.1\n Port {shared.port}\n User root\n"
            f" IdentityFile {shared.folder}/client_key\n UserKnownHostsFile {shared.folder}/known_hosts\n"
        )
        args = f"-F {config} -o ProxyJump=jump -o UserKnownHostsFile={behind.folder}/new_hosts"
        host = dataclasses.replace(behind.host(), ssh_common_args=args)
        hosts = Inventory("x", (host, dataclasses.replace(host, name="h2")))
        first, _ = trust.collect(hosts)
        assert {key.name for key in first} == {f"[127.0.0.1]:{shared.port}"}
        assert "inv trust" in trust.remember(first)[-1]
        second, _ = trust.collect(hosts)
        assert [(key.host, key.name) for key in second] == [
            (h, f"[127.0.0.1]:{behind.port}") for h in ("h1", "h2")
        ]
        trust.remember(second)
        assert {key.known for key in trust.collect(hosts)[0]} == {"known"}
        assert (behind.folder / "new_hosts").read_text().count("\n") == 1


def test_trust_makes_the_file_and_its_folder_private(shared: Server, tmp_path: Path) -> None:
    target = tmp_path / "dot-ssh" / "known_hosts"
    offered, _ = trust.collect(Inventory("x", (shared.host(UserKnownHostsFile=str(target)),)))
    trust.remember(offered)
    assert target.stat().st_mode & 0o777 == 0o600
    assert target.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("target", ["/proc/nope/known_hosts", "/dev/null", "/dev/null/x", "/dev", "none"])
def test_a_file_that_takes_no_key_is_named_in_four_parts(shared: Server, target: str) -> None:
    shared.know("nothing\n")
    offered, _ = trust.collect(Inventory("x", (shared.host(UserKnownHostsFile=target),)))
    with pytest.raises(LoadproofError) as caught:
        trust.remember(offered)
    error = caught.value
    path = "/dev/null" if target == "none" else target
    assert error.exit_code == 3 and target in error.what and path in error.where
    assert error.kept and "UserKnownHostsFile" in error.next + error.what and "inv trust" in error.next


def test_a_silent_host_is_one_message(capfd: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        args = "-F none -o ConnectTimeout=1"
        host = Host("h1", ("app",), "127.0.0.1", ssh_port=port, ssh_common_args=args)
        found, errors = trust.collect(Inventory("x", (host,)))
    assert not found
    assert errors["h1"].what == f"no answer from 127.0.0.1:{port} within 1 s"
    assert capfd.readouterr().err == ""


# --- doctor ---

FACTS = {
    "python": "3.11", "python_exe": "/usr/bin/python3", "machine": "x86_64", "glibc": [2, 36], "magic": "x", "uid": 0,
    "memory_kb": 2_000_000, "ports": {"8000": None}, "disk": {"/opt": {"free_kb": 9_000_000, "total_kb": 1}},
    "programs": {"cpulimit": None, "zstd": "/usr/bin/zstd"},
}  # fmt: skip
APP = Host("a", ("app",), "a", ports=(("app", 8000),))


def examined(host: Host, **changes: object) -> dict[str, doctor.Finding]:
    script = Script().on("facts", json.dumps({**FACTS, **changes}))
    with Fleet(Inventory("x", (host,)), lambda known: FakeRemote(known, script)) as fleet:
        rows = doctor.examine(fleet)
    assert len(script.calls) == 1
    return {row.asked: row for row in rows}


def test_a_host_that_can_do_its_part() -> None:
    rows = examined(APP)
    assert all(row.ok for row in rows.values()), rows
    assert "deploy installs cpulimit" in rows["cpulimit"].said


def test_what_stands_in_the_way_is_named() -> None:
    holder = {"pid": 7, "name": "python3", "unit": "other.service"}
    rows = examined(APP, ports={"8000": holder}, disk={"/opt": {"free_kb": 10, "total_kb": 1}})
    assert not rows["port 8000"].ok
    assert rows["port 8000"].said == "python3 (pid 7) other.service"
    assert not rows["disk /opt"].ok
    ours = {"pid": 7, "name": "python3", "unit": "loadproof-app.service"}
    assert examined(APP, ports={"8000": ours})["port 8000"].ok
    declared = Host("a", ("app",), "a", ports=(("app", 8000),), platform="cp312-x86_64")
    assert "cp311-x86_64" in examined(declared)["platform"].remedy


def test_a_host_that_cannot_be_reached_is_a_finding() -> None:
    script = Script(fail_at=0, failure=lambda host: HostUnreachable(host, "gone", next="ssh a true"))
    with Fleet(
        Inventory("x", (APP, Host("b", ("load",), "b"))), lambda host: FakeRemote(host, script)
    ) as fleet:
        script.on("facts", json.dumps(FACTS))
        rows = doctor.examine(fleet)
    assert {row.host for row in rows} == {"a", "b"}
    assert [row for row in rows if not row.ok and row.said == "gone" and "ssh a true" in row.remedy]
