"""The pure parts: inventory text, routes, packet filter rules, what is needed, answers of hosts."""

from __future__ import annotations

import io
import json
import shlex
import tarfile
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from lab import image, listing, machine
from lab.answer import neighbours, read_answer
from lab.config import LabConfig, host_of, wanted
from lab.down import Gone, down
from lab.machine import missing
from lab.network import forward_drops, route_in_the_way
from lab.record import Record, read_record, write_record
from lab.up import Needs, needed

DATA = Path(__file__).parent.parent / "data" / "lab"
NET = IPv4Network("198.18.77.0/24")


@pytest.fixture
def config(tmp_path: Path) -> LabConfig:
    return replace(LabConfig.of(tmp_path, {}), owner=tmp_path / "owner.json", bridge="lt-none", prefix="lt-")


def test_the_inventory_is_ansible_yaml_with_the_three_groups(tmp_path: Path) -> None:
    config = LabConfig.of(tmp_path / "a clone", {})
    tree = YAML(typ="safe").load(listing.text(config, wanted((), None, None, NET)))
    groups = tree["all"]["children"]
    assert {group: list(groups[group]["hosts"]) for group in groups} == {
        "app": ["app1", "app2"], "proxy": ["proxy"], "load": ["load1"],
    }  # fmt: skip
    assert groups["app"]["hosts"]["app2"] == {
        "ansible_host": "198.18.77.12",
        "loadproof_address": "198.18.77.12",
    }
    words = shlex.split(tree["all"]["vars"]["ansible_ssh_common_args"])
    assert f'UserKnownHostsFile="{config.known_hosts}"' in words and "IdentitiesOnly=yes" in words


def test_an_inventory_that_the_lab_did_not_write_is_not_removed(config: LabConfig) -> None:
    config.inventory.parent.mkdir(parents=True)
    config.inventory.write_text("all:\n")
    listing.remove(config)
    assert config.inventory.exists()


@pytest.mark.parametrize(
    ("routes", "expected"),
    [
        ([{"dst": "default", "dev": "eth0"}, {"dst": "192.0.2.0/24", "dev": "eth0"}], ""),
        (
            [
                {"dst": "198.18.77.0/24", "dev": "lp-br0"},
                {"type": "local", "dst": "198.18.77.1", "dev": "lp-br0"},
            ],
            "",
        ),
        ([{"dst": "198.18.0.0/15", "dev": "tun0"}], "198.18.0.0/15 by tun0"),
        ([{"type": "local", "dst": "198.18.77.9", "dev": "eth1"}], "198.18.77.9 by eth1"),
        ([{"type": "blackhole", "dst": "198.18.77.0/25"}], "198.18.77.0/25 by blackhole"),
        (
            [
                {"type": "broadcast", "dst": "198.18.77.255", "dev": "eth1"},
                {"dst": "0.0.0.0/0", "dev": "tun0"},
            ],
            "",
        ),
    ],
)
def test_a_route_in_the_way(routes: list[dict[str, object]], expected: str) -> None:
    assert route_in_the_way(routes, NET, "lp-br0") == expected


def test_rules_that_drop_forwarded_packets_are_named() -> None:
    assert forward_drops((DATA / "docker-ruleset.txt").read_text()) == [
        "table ip filter, chain FORWARD: type filter hook forward priority filter; policy drop;",
        'table bridge lab, chain apart: iifname "vb-lp-app1" oifname "vb-lp-app2" drop',
    ]


def test_missing_programs_become_packages_once_each() -> None:
    absent = {"systemd-nspawn", "ssh", "ssh-keygen"}
    assert missing(lambda program: None if program in absent else f"/usr/bin/{program}") == (
        "systemd-container", "openssh-client",
    )  # fmt: skip


def test_inotify_default_carries_a_usual_lab() -> None:
    assert machine.inotify_needed(4) <= 128 < machine.inotify_needed(27)


def test_needed_lists_everything_before_the_first_change(
    config: LabConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "missing", lambda: ("systemd-container", "mmdebstrap"))
    needs = needed(app=3, config=config)
    assert needs.hosts == ("app1", "app2", "app3", "proxy", "load1")
    lines = "\n".join(needs.lines())
    for word in ("systemd-container", "lt-none", "198.18.77.0/24", "MB", " s", needs.image):
        assert word and word in lines
    assert not config.state.exists(), "needed() has changed something"


def test_nothing_needed_has_no_lines() -> None:
    assert Needs().lines() == ()


def test_record_survives_a_round_trip_and_nonsense(config: LabConfig) -> None:
    record = Record("bookworm", "i", "lt-none", str(NET), wanted((), 1, 1, NET), 128, 300, True)
    write_record(config, record)
    assert read_record(config) == record
    config.record.write_text('{"format": 1, "hos')
    assert read_record(config) == Record()


@pytest.mark.parametrize(
    ("said", "system", "unreached", "failed", "trouble"),
    [
        ("running\n", "running", (), (), ""),
        ("degraded\nfailed app.service\n", "degraded", (), ("app.service",), ""),
        ("running\nunreached 198.18.77.2\n", "running", ("198.18.77.2",), (), "does not reach 198.18.77.2"),
        ("starting\n", "starting", (), (), "systemd is starting"),
        ("", "", (), (), "no answer on ssh: Permission denied"),
    ],
)
def test_answers(said: str, system: str, unreached: tuple[str], failed: tuple[str], trouble: str) -> None:
    answer = read_answer(host_of(NET, "app", 1), said, "Permission denied" if not said else "")
    assert (answer.system, answer.unreached, answer.failed) == (system, unreached, failed)
    assert trouble in answer.trouble and bool(trouble) == bool(answer.trouble)


def test_each_host_tries_the_next_ones_of_the_ring_and_never_itself() -> None:
    ring = wanted((), 20, 2, NET)
    for host in ring:
        peers = neighbours(host, ring)
        assert len(peers) == 4 and host not in peers
    assert {peer for host in ring for peer in neighbours(host, ring)} == set(ring)


def test_image_name_follows_recipe_and_suite(monkeypatch: pytest.MonkeyPatch) -> None:
    first = image.recipe("bookworm")
    assert first == image.recipe("bookworm") != image.recipe("trixie")
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "less"))
    assert image.recipe("bookworm") != first


def test_archives_belong_to_root_and_keep_secrets(tmp_path: Path) -> None:
    data = image.archive(
        {"root/.ssh/key": "x", "etc/link": "->/dev/null"}, {"root/.ssh/key": 0o600, "root/.ssh": 0o700}
    )
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = {member.name: member for member in tar.getmembers()}
    assert all(member.uid == 0 for member in members.values())
    assert (members["root/.ssh/key"].mode, members["root/.ssh"].mode) == (0o600, 0o700)
    assert members["etc/link"].linkname == "/dev/null"


def test_purge_tells_the_packages_that_up_brought_and_the_line_that_removes_them(config: LabConfig) -> None:
    config.state.mkdir(parents=True)
    config.packages.write_text(json.dumps({"installed": ["coreutils", "not-there-any-more"]}))
    gone = down(purge=True, config=config)
    assert gone == Gone((), ("coreutils",)) and gone.words == "sudo apt-get purge coreutils"
    assert not config.state.exists() and not config.lock.exists()


def test_nothing_outside_the_labs_folders_is_ever_removed(config: LabConfig, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        image.remove(config, tmp_path)
