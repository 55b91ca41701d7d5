"""Reading an inventory from disk: YAML by ourselves, everything else through `ansible-inventory --list`; and looking
up the traffic addresses that it gives as names."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from loadproof.control import sshconfig
from loadproof.errors import BadInput, LoadproofError, Problem
from loadproof.plan import allowed, hosts
from loadproof.plan.shell import quote
from loadproof.plan.values import Host, Inventory

WITHIN_S = 120.0  # a plugin may ask a cloud


def read(path: Path, groups: Mapping[str, str] | None = None, traffic: bool = False) -> Inventory:
    """The hosts of an inventory. Raises BadInput with all problems; nothing is touched.

    `traffic`: for a plan, where every address that traffic goes to must be an IPv4 one; see `addressed`.
    """
    if not path.exists() or hosts.is_yaml(path):
        known = hosts.read(path, groups)
    else:
        known = hosts.from_listing(listing(path), path, groups)
    return addressed(known) if traffic else known


def addressed(known: Inventory) -> Inventory:
    """The same hosts, with an IPv4 address for each name that traffic would go to.

    nginx would make a server of every address of a name, and log addresses: plan, nginx and analysis must speak of the
    same one. Raises BadInput for names that have none here.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    served: dict[tuple[str, int], str] = {}
    found = []
    for host in known.hosts:
        if host.ports and not allowed.is_ipv4(host.address):
            name, address = _name(host), _ipv4(_name(host))
            wrong = "has no IPv4 address here" if not address else ""
            if address.startswith("127.") and len(known.hosts) > 1:
                wrong = f"is {address} here, which is another machine on each host"
            if wrong:
                problems.append(
                    Problem(f"loadproof_address of {host.name} is needed: {name!r} {wrong}", known.path)
                )
            else:
                notes.append(f"{host.name}: traffic goes to {address}, the address of {name}")
                host = replace(host, address=address)
        for _, port in host.ports:
            other = served.setdefault((host.address, port), host.name)
            if other != host.name:
                what = f"{other} and {host.name} both serve {host.address}:{port}: set loadproof_address"
                problems.append(Problem(what, known.path))
        found.append(host)
    if problems:
        raise BadInput(problems, next="set loadproof_address to an IPv4 address, as in inventory/example.yml")
    return replace(known, hosts=tuple(found), notes=(*known.notes, *notes))


def _name(host: Host) -> str:
    """The name to look up: what `ssh -G` makes of an alias, when traffic goes to the ssh address."""
    if host.address != host.ssh_host or host.connection == "local":
        return host.address
    try:
        return sshconfig.resolve(host).hostname
    except LoadproofError:  # said again, with all that belongs to it, when it is connected to
        return host.address


def _ipv4(name: str) -> str:
    """The first IPv4 address of a name, as this machine knows it; "" when there is none."""
    try:
        return str(socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0])
    except (OSError, UnicodeError):
        return ""


def listing(path: Path) -> str:
    """What `ansible-inventory -i PATH --list` prints. Raises BadInput when it is not there, or fails."""
    words = ["ansible-inventory", "-i", str(path), "--list"]
    by_hand = quote(*words)
    try:
        ran = subprocess.run(
            words,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=WITHIN_S,
        )
    except FileNotFoundError:
        problem = Problem(
            "not YAML: INI files, folders and plugins are read through ansible-inventory, which is not installed",
            str(path),
        )
        raise BadInput([problem], next="install ansible-core, or write the inventory as YAML") from None
    except subprocess.TimeoutExpired:
        problem = Problem(f"ansible-inventory gave no answer in {WITHIN_S:.0f} s", str(path))
        raise BadInput([problem], next=by_hand) from None
    # an inventory that cannot be parsed is a warning to Ansible, and an empty answer
    broken = "Unable to parse" in ran.stderr or "No inventory was parsed" in ran.stderr
    if ran.returncode or broken:
        said = ran.stderr.strip() or f"exit {ran.returncode}"
        raise BadInput([Problem(f"ansible-inventory cannot read it: {said}", str(path))], next=by_hand)
    return ran.stdout
