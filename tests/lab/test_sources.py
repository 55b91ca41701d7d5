"""The image's package sources, out of recorded os-release and sources files of four systems."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.sources import TOO_OLD, apt_options, derive, read_os_release, suite_for
from loadproof.errors import BadInput, LabUnavailable

DATA = Path(__file__).parent.parent / "data" / "lab"
DEBIAN_KEY = "[signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
UBUNTU_KEY = "[signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg]"


def texts(system: str, *files: str) -> list[tuple[str, str]]:
    return [(name, (DATA / system / name).read_text()) for name in files]


def debian(key: str, suite: str, slash: str = "") -> list[str]:
    head = f"deb {key} " if key else "deb "
    return [
        f"{head}http://mirror.example/debian{slash} {suite} main",
        f"{head}http://mirror.example/debian{slash} {suite}-updates main",
        f"{head}http://mirror.example/debian-security {suite}-security main",
    ]


def ubuntu(key: str, suite: str) -> list[str]:
    head = f"deb {key} " if key else "deb "
    return [
        f"{head}http://mirror.example/ubuntu/ {suite} main universe",
        f"{head}http://mirror.example/ubuntu/ {suite}-updates main universe",
        f"{head}http://security.example/ubuntu/ {suite}-security main universe",
    ]


CASES = [
    ("debian12", ("debian.sources",), None, debian(DEBIAN_KEY, "bookworm")),
    ("debian12", ("vendor.list", "debian.sources"), "trixie", debian(DEBIAN_KEY, "trixie")),
    ("debian13", ("sources.list",), None, debian("", "trixie", "/")),
    ("debian13", ("sources.list",), "bookworm", debian("", "bookworm", "/")),
    ("ubuntu2204", ("sources.list",), "noble", ubuntu("", "noble")),
    ("ubuntu2404", ("ubuntu.sources",), None, ubuntu(UBUNTU_KEY, "noble")),
]


@pytest.mark.parametrize(("system", "files", "asked", "expected"), CASES)
def test_sources_of_a_suite(
    system: str, files: tuple[str, ...], asked: str | None, expected: list[str]
) -> None:
    machine = read_os_release((DATA / system / "os-release").read_text())
    found = derive(machine, suite_for(machine, asked), texts(system, *files))
    assert sorted(source.line() for source in found) == sorted(expected)


def test_a_mirror_signed_with_an_own_key_is_taken_when_it_is_the_only_one() -> None:
    machine = read_os_release((DATA / "debian12" / "os-release").read_text())
    found = derive(machine, "bookworm", texts("debian12", "vendor.list"))
    assert [source.uri for source in found] == ["https://packages.example/apt"]


def test_stable_in_the_sources_means_the_machines_own_codename() -> None:
    machine = read_os_release((DATA / "debian12" / "os-release").read_text())
    found = derive(machine, "bookworm", [("sources.list", "deb http://mirror.example/debian stable main\n")])
    assert [source.suite for source in found] == ["bookworm"]


def test_a_mirror_list_keeps_its_address() -> None:
    machine = read_os_release((DATA / "debian12" / "os-release").read_text())
    text = (
        "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\nComponents: main\n"
    )
    (found,) = derive(machine, "trixie", [("debian.sources", text)])
    assert found.line() == "deb mirror+file:///etc/apt/mirrors/debian.list trixie main"


def test_no_source_of_the_distribution_is_said_so() -> None:
    machine = read_os_release((DATA / "debian12" / "os-release").read_text())
    with pytest.raises(LabUnavailable, match="bookworm main"):
        derive(machine, "bookworm", [("x.list", "deb https://packages.example/tools cloud-tools main\n")])


def test_another_distribution_is_refused_by_name() -> None:
    with pytest.raises(LabUnavailable, match="Fedora Linux 41") as caught:
        read_os_release('ID=fedora\nPRETTY_NAME="Fedora Linux 41"\nVERSION_ID=41\n')
    assert caught.value.next


def test_an_unknown_suite_is_refused_with_the_known_ones() -> None:
    machine = read_os_release((DATA / "debian12" / "os-release").read_text())
    with pytest.raises(BadInput, match="bookworm or trixie"):
        suite_for(machine, "jammy")


@pytest.mark.parametrize("asked", [None, "jammy"])
def test_a_suite_whose_python_is_too_old_is_refused_with_the_one_that_can_be_had(asked: str | None) -> None:
    machine = read_os_release((DATA / "ubuntu2204" / "os-release").read_text())
    with pytest.raises(LabUnavailable, match=r"Ubuntu 22\.04.* 3\.11") as caught:
        suite_for(machine, asked)
    assert caught.value.next.startswith("LOADPROOF_LAB_SUITE=noble ") and "hosts.yml" in caught.value.next
    assert caught.value.kept == "nothing was touched" and caught.value.where


def test_debian_11_is_too_old_and_its_sources_give_a_newer_one() -> None:
    machine = read_os_release('ID=debian\nVERSION_CODENAME=bullseye\nPRETTY_NAME="Debian GNU/Linux 11"\n')
    with pytest.raises(LabUnavailable) as caught:
        suite_for(machine, None)
    assert "LOADPROOF_LAB_SUITE=bookworm" in caught.value.next
    (found,) = derive(
        machine, suite_for(machine, "bookworm"), [("a.list", "deb http://m.example/d bullseye main")]
    )
    assert found.line() == "deb http://m.example/d bookworm main"


@pytest.mark.parametrize("machine_is", ["debian12", "ubuntu2404"])
def test_a_suite_that_is_too_old_cannot_be_asked_from_a_newer_machine(machine_is: str) -> None:
    machine = read_os_release((DATA / machine_is / "os-release").read_text())
    for suite in TOO_OLD[machine.id]:
        with pytest.raises(BadInput):
            suite_for(machine, suite)


def test_only_what_the_images_apt_needs_is_taken_from_the_machines_apt() -> None:
    assert apt_options((DATA / "apt-config-dump.txt").read_text()) == (
        'Acquire::http::Proxy "http://proxy.example:3142";',
        'Acquire::https::Proxy::mirror.example "DIRECT";',
        'Acquire::Check-Valid-Until "false";',
        'Acquire::https::CaInfo "/etc/ssl/own.pem";',
    )
