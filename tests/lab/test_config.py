"""Names, addresses, numbers of hosts, and what a config cannot be."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from lab.config import LabConfig, host_of, wanted
from lab.hosts import cpus_for
from lab.network import cable
from loadproof.errors import BadInput, Refused

NET = IPv4Network("198.18.77.0/24")


def names(app: int | None, load: int | None, have: tuple[str, ...] = ()) -> list[str]:
    existing = tuple(
        host_of(NET, "load" if name.startswith("load") else "app", int(name[-1]))
        for name in have
        if name != "proxy"
    )
    proxy = (host_of(NET, "proxy", 1),) if "proxy" in have else ()
    return [host.name for host in wanted((*existing, *proxy), app, load, NET)]


@pytest.mark.parametrize(
    ("app", "load", "have", "expected"),
    [
        (None, None, (), ["app1", "app2", "proxy", "load1"]),
        (1, 2, (), ["app1", "proxy", "load1", "load2"]),
        (None, None, ("app1", "proxy", "load1"), ["app1", "proxy", "load1"]),
        (4, None, ("app1", "app2", "proxy", "load1"), ["app1", "app2", "app3", "app4", "proxy", "load1"]),
        (3, None, ("app1", "app3", "proxy", "load1"), ["app1", "app2", "app3", "proxy", "load1"]),
        (None, 2, ("app1",), ["app1", "proxy", "load1", "load2"]),
    ],
)
def test_hosts_wanted(app: int | None, load: int | None, have: tuple[str, ...], expected: list[str]) -> None:
    assert names(app, load, have) == expected


def test_fewer_than_exist_is_refused_with_the_word_that_removes_one() -> None:
    with pytest.raises(Refused) as caught:
        names(1, None, ("app1", "app2", "proxy", "load1"))
    assert caught.value.next == "inv lab.down --host app2"
    assert caught.value.kept and caught.value.where and caught.value.exit_code == 3


def test_numbers_that_cannot_be_are_said_all_at_once() -> None:
    with pytest.raises(BadInput) as caught:
        names(0, 100)
    assert [problem.where for problem in caught.value.problems] == ["--app", "--load"]
    assert caught.value.next.startswith("inv lab.up --app 2")


def test_addresses_are_all_different_and_inside_the_net() -> None:
    hosts = wanted((), 89, 99, NET)
    addresses = {host.address for host in hosts}
    assert len(addresses) == 189 and "198.18.77.1" not in addresses and "198.18.77.255" not in addresses
    assert wanted((), 1, 1, IPv4Network("198.18.0.0/15"))[0].address == "198.18.0.11"


def test_environment_changes_net_and_suite(tmp_path: Path) -> None:
    config = LabConfig.of(tmp_path, {"LOADPROOF_LAB_NET": "198.19.5.0/24", "LOADPROOF_LAB_SUITE": "trixie"})
    assert (str(config.net), config.suite, config.gateway) == ("198.19.5.0/24", "trixie", "198.19.5.1")
    assert config.state == tmp_path / ".cache" / "lab"


@pytest.mark.parametrize(
    "environ",
    [
        {"LOADPROOF_LAB_NET": "198.18.0.0/28"},
        {"LOADPROOF_LAB_NET": "nowhere"},
        {"LOADPROOF_LAB_SUITE": "../x"},
    ],
)
def test_environment_that_cannot_be(tmp_path: Path, environ: dict[str, str]) -> None:
    with pytest.raises(BadInput, match=next(iter(environ))) as caught:
        LabConfig.of(tmp_path, environ)
    assert "leave it out" in caught.value.next


def test_interface_names_fit_into_fifteen_characters(tmp_path: Path) -> None:
    config = LabConfig.of(tmp_path, {})
    assert len(cable(config, host_of(NET, "load", 99))) <= 15
    with pytest.raises(BadInput, match="15"):
        replace(config, bridge="loadproof-bridge").check()
    with pytest.raises(BadInput, match="cut at 15"):
        replace(config, prefix="loadproof-").check()


@pytest.mark.parametrize(
    ("cpus", "app", "load"), [([0], "0", "0"), ([0, 1], "0", "1"), ([0, 1, 2, 5], "0,1,2", "5")]
)
def test_load_hosts_have_the_last_cpu_for_themselves(cpus: list[int], app: str, load: str) -> None:
    assert cpus_for(host_of(NET, "app", 1), cpus) == app
    assert cpus_for(host_of(NET, "proxy", 1), cpus) == app
    assert cpus_for(host_of(NET, "load", 1), cpus) == load
