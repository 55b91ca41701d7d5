"""What the lab is told, and what it says of itself: frozen values, names and addresses. No effects."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal

from loadproof.errors import BadInput, Problem, Refused

LabRole = Literal["app", "proxy", "load"]

NET = "198.18.77.0/24"  # RFC 2544 sets 198.18.0.0/15 aside for benchmark networks
ANOTHER_NET = f"set LOADPROOF_LAB_NET to a network like {NET}, or leave it out"
BRIDGE = "lp-br0"
PREFIX = "lp-"
OWNER = "/run/loadproof-lab.json"
INTERFACE_NAME = 15  # the kernel's limit; nspawn's end of a host's cable is "vb-<prefix><name>"
MOST_APP = 89  # .11 to .99
MOST_LOAD = 99  # .101 to .199
DEFAULT_APP = 2
DEFAULT_LOAD = 1


@dataclass(frozen=True)
class LabConfig:
    """Where a lab lives and what its things are called: two labs whose values all differ run side by side."""

    clone: Path
    state: Path  # <clone>/.cache/lab
    images: Path  # <state>/image; may be shared between labs
    inventory: Path  # <clone>/inventory/lab.yml
    net: IPv4Network = IPv4Network(NET)
    bridge: str = BRIDGE
    prefix: str = PREFIX  # of machine names: lp-app1
    owner: Path = Path(OWNER)
    suite: str | None = None  # None: the machine's own
    boot_s: float = 60.0  # a host that has not answered by then has not booted
    patience_s: float = (
        10.0  # silence after which a host that has booted is started again; load makes hosts slow
    )

    @classmethod
    def of(cls, clone: Path | None = None, environ: Mapping[str, str] | None = None) -> LabConfig:
        """The lab of a clone (default: this one), with LOADPROOF_LAB_NET and LOADPROOF_LAB_SUITE. Raises BadInput."""
        clone = (clone or Path(__file__).resolve().parent.parent).resolve()
        environ = os.environ if environ is None else environ
        state = state_of_clone(clone)
        config = cls(
            clone=clone,
            state=state,
            images=state / "image",
            inventory=clone / "inventory" / "lab.yml",
            net=parse_net(environ.get("LOADPROOF_LAB_NET") or NET),
            suite=environ.get("LOADPROOF_LAB_SUITE") or None,
        )
        config.check()
        return config

    def check(self) -> None:
        """Raises BadInput with everything in these values that cannot work."""
        problems = []
        if len(self.bridge) > INTERFACE_NAME:
            problems.append(
                Problem(f"bridge name {self.bridge!r} is longer than {INTERFACE_NAME} characters")
            )
        if len(f"vb-{self.prefix}load{MOST_LOAD}") > INTERFACE_NAME:
            problems.append(Problem(f"prefix {self.prefix!r} is too long: interface names are cut at 15"))
        for word in (self.bridge, self.prefix):
            if not re.fullmatch(r"[a-z][a-z0-9-]*", word):
                problems.append(Problem(f"{word!r}: lower-case letters, digits and '-' only"))
        if self.suite is not None and not re.fullmatch(r"[a-z]+", self.suite):
            problems.append(
                Problem(f"{self.suite!r} is not the name of a suite", where="LOADPROOF_LAB_SUITE")
            )
        if "," in str(self.state) or ":" in str(self.state):
            problems.append(
                Problem("a path with ',' or ':' cannot be a layer of an overlay", str(self.state))
            )
        if problems:
            raise BadInput(problems, next="name another one, or leave it out; a clone may be moved")

    @property
    def hosts(self) -> Path:
        """Folder with one folder per host."""
        return self.state / "hosts"

    @property
    def key(self) -> Path:
        """The lab's own private key."""
        return self.state / "ssh" / "id_ed25519"

    @property
    def known_hosts(self) -> Path:
        """The lab's own known_hosts."""
        return self.state / "ssh" / "known_hosts"

    @property
    def record(self) -> Path:
        """state.json: what was begun, so that it can be ended."""
        return self.state / "state.json"

    @property
    def packages(self) -> Path:
        """packages.json: what `up` installed on the machine; outlives `down`, told by `down --purge`."""
        return self.state / "packages.json"

    @property
    def lock(self) -> Path:
        """One lock for all that changes this lab; beside the state folder, which `--purge` removes."""
        return self.state.with_name(self.state.name + ".lock")

    @property
    def gateway(self) -> str:
        """The machine's own address on the bridge."""
        return str(self.net.network_address + 1)


@dataclass(frozen=True)
class LabHost:
    """A host as it is meant to be."""

    name: str
    role: LabRole
    address: str


@dataclass(frozen=True)
class HostState:
    """A host as it was found. `system` is systemd's word ("running", "degraded", ...), "" when ssh gave none."""

    host: LabHost
    pid: int | None
    system: str
    trouble: str = ""  # what is wrong, for a person; "" when it answers


@dataclass(frozen=True)
class LabState:
    """The lab as it was found. `up` only when every host answers and inventory/lab.yml says so."""

    up: bool
    hosts: tuple[HostState, ...]
    suite: str
    image: str
    bridge: str
    net: str
    inventory: Path
    owner: str  # "" when nobody's lab is on this machine, else "user NAME, clone PATH"
    changed: tuple[str, ...] = ()  # what this call made, started or repaired

    def count(self, role: LabRole) -> int:
        """How many hosts of a role it has."""
        return sum(1 for state in self.hosts if state.host.role == role)


def state_of_clone(clone: Path) -> Path:
    """Where a clone keeps its lab."""
    return clone / ".cache" / "lab"


def parse_net(text: str) -> IPv4Network:
    """An IPv4 network of at least 256 addresses. Raises BadInput."""
    try:
        net = IPv4Network(text)
    except ValueError as error:
        problem = Problem(f"not a network: {error}", where="LOADPROOF_LAB_NET")
        raise BadInput([problem], next=ANOTHER_NET) from error
    if net.prefixlen > 24:
        problem = Problem(f"{net} is too small: at least a /24", where="LOADPROOF_LAB_NET")
        raise BadInput([problem], next=ANOTHER_NET)
    return net


def host_of(net: IPv4Network, role: LabRole, number: int) -> LabHost:
    """Name and address of the host `number` (from 1) of a role: always the same for the same net."""
    offset = {"proxy": 1, "app": 10, "load": 100}[role] + number
    name = "proxy" if role == "proxy" else f"{role}{number}"
    return LabHost(name, role, str(net.network_address + offset))


def wanted(
    existing: tuple[LabHost, ...], app: int | None, load: int | None, net: IPv4Network
) -> tuple[LabHost, ...]:
    """The hosts the lab shall have: what exists and what is asked on top, proxy in the middle.

    Raises BadInput for numbers that cannot be, Refused when fewer are asked than exist.
    """
    have: dict[LabRole, tuple[LabHost, ...]] = {
        role: tuple(host for host in existing if host.role == role) for role in ("app", "proxy", "load")
    }
    asked: dict[LabRole, int | None] = {"app": app, "proxy": 1, "load": load}
    defaults: dict[LabRole, int] = {"app": DEFAULT_APP, "proxy": 1, "load": DEFAULT_LOAD}
    counts = {
        role: number if number is not None else (len(have[role]) or defaults[role])
        for role, number in asked.items()
    }
    refuse_counts(counts, have)
    return tuple(host for role in counts for host in filled(have[role], role, counts[role], net))


def refuse_counts(counts: Mapping[LabRole, int], have: Mapping[LabRole, tuple[LabHost, ...]]) -> None:
    """Raises BadInput or Refused for a number of hosts that cannot be given."""
    limits: dict[LabRole, int] = {"app": MOST_APP, "proxy": 1, "load": MOST_LOAD}
    problems = [
        Problem(f"{count} {role} hosts: from 1 to {limits[role]}", where=f"--{role}")
        for role, count in counts.items()
        if not 1 <= count <= limits[role]
    ]
    if problems:
        raise BadInput(problems, next=f"inv lab.up --app {DEFAULT_APP} --load {DEFAULT_LOAD}, for example")
    for role, count in counts.items():
        if count < len(have[role]):
            last = have[role][-1].name
            raise Refused(
                f"{len(have[role])} {role} hosts exist, {count} asked: lab.up takes none away",
                where="lab",
                kept="all hosts",
                next=f"inv lab.down --host {last}",
            )


def filled(have: tuple[LabHost, ...], role: LabRole, count: int, net: IPv4Network) -> tuple[LabHost, ...]:
    """`have`, and on top of it hosts with the lowest free numbers until there are `count`."""
    names = {host.name for host in have}
    candidates = (host_of(net, role, number) for number in range(1, count + len(have) + 1))
    fresh = [host for host in candidates if host.name not in names][: count - len(have)]
    return tuple(sorted((*have, *fresh), key=lambda host: int(host.address.rsplit(".", 1)[1])))


def user_name() -> str:
    """The caller's name, for messages."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.geteuid())
