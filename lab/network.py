"""The lab's bridge: an own net without any route out of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from ipaddress import IPv4Network
from pathlib import Path

from lab.config import LabConfig, LabHost
from lab.root import must, run
from loadproof.errors import LabUnavailable

NET_FOLDER = Path("/sys/class/net")
MANAGER = Path("/run/NetworkManager")
MAKE = r"""
set -e
ip link show dev "$1" >/dev/null 2>&1 || ip link add name "$1" type bridge forward_delay 0 stp_state 0
ip link set dev "$1" addrgenmode none
ip -4 addr replace "$2" dev "$1"
ip link set dev "$1" up
"""
MANAGER_FILE = r"""
set -e
umask 022
mkdir -p "$(dirname "$1")"
cat > "$1"
nmcli general reload conf 2>/dev/null || true
"""
FORWARD_CHAIN = re.compile(r"chain (\S+) \{([^{}]*hook forward[^{}]*)\}", re.DOTALL)
TABLE = re.compile(r"^table (\S+ \S+) \{(.*?)^\}", re.DOTALL | re.MULTILINE)


def exists(name: str) -> bool:
    """Whether an interface is there."""
    return (NET_FOLDER / name).exists()


def cables(bridge: str) -> bool:
    """Whether anything is plugged into a bridge."""
    folder = NET_FOLDER / bridge / "brif"
    return folder.is_dir() and any(folder.iterdir())


def cable(config: LabConfig, host: LabHost) -> str:
    """The machine's end of a host's cable, as nspawn names it."""
    return f"vb-{config.prefix}{host.name}"


def plugged(config: LabConfig, host: LabHost) -> bool:
    """Whether a host's cable is in our bridge and switched on."""
    end = NET_FOLDER / cable(config, host)
    try:
        flags = int((end / "flags").read_text(), 16)
        return (end / "master").resolve(strict=True).name == config.bridge and bool(flags & 1)
    except OSError:
        return False


def standing(config: LabConfig) -> bool:
    """Whether the bridge is there, up, with our address."""
    if not exists(config.bridge):
        return False
    answer = run(["ip", "-j", "-4", "addr", "show", "dev", config.bridge]).stdout
    links = json.loads(answer or "[]")
    return any(
        "UP" in link.get("flags", ()) and address.get("local") == config.gateway
        for link in links
        for address in link.get("addr_info", ())
    )


def make(config: LabConfig) -> None:
    """Make the bridge, or put right what is there of it."""
    address = f"{config.gateway}/{config.net.prefixlen}"
    must(["sh", "-c", MAKE, "sh", config.bridge, address], what=f"no bridge {config.bridge}", root=True)


def plug(config: LabConfig, hosts: Iterable[LabHost]) -> None:
    """Put cables of running hosts back into the bridge."""
    for host in hosts:
        must(
            ["ip", "link", "set", "dev", cable(config, host), "master", config.bridge, "up"],
            what=f"{host.name} could not be plugged into {config.bridge}",
            root=True,
        )


def remove(config: LabConfig) -> None:
    """Take the bridge away."""
    if exists(config.bridge):
        must(
            ["ip", "link", "del", "dev", config.bridge],
            what=f"{config.bridge} could not be removed",
            root=True,
        )


def manager_file(config: LabConfig) -> Path:
    """The file that keeps NetworkManager's hands off."""
    return MANAGER / "conf.d" / f"loadproof-{config.bridge}.conf"


def keep_manager_off(config: LabConfig) -> bool:
    """Where NetworkManager runs, tell it to leave bridge and cables alone; gives whether it runs."""
    if not MANAGER.is_dir():
        return False
    text = f"[keyfile]\nunmanaged-devices=interface-name:{config.bridge};interface-name:vb-{config.prefix}*\n"
    path = manager_file(config)
    if not path.is_file() or path.read_text() != text:
        must(
            ["sh", "-c", MANAGER_FILE, "sh", str(path)], what="NetworkManager", root=True, stdin=text.encode()
        )
    return True


def forget_manager(config: LabConfig) -> None:
    """Take back what NetworkManager was told."""
    path = manager_file(config)
    if path.exists():
        must(["rm", "-f", str(path)], what="NetworkManager", root=True)
        run(["nmcli", "general", "reload", "conf"], root=True)


def check_route(config: LabConfig) -> None:
    """Raises LabUnavailable when the machine already reaches (part of) the lab's net by another device."""
    answer = run(["ip", "-j", "-4", "route", "show", "table", "all"]).stdout
    taken = route_in_the_way(json.loads(answer or "[]"), config.net, config.bridge)
    if taken:
        raise LabUnavailable(
            f"the net {config.net} is in use here: {taken}",
            where="this machine's routing table",
            kept="nothing was touched",
            next="LOADPROOF_LAB_NET=198.19.77.0/24 inv lab.up, or another net that is free here",
        )


def route_in_the_way(routes: Iterable[dict[str, object]], net: IPv4Network, bridge: str) -> str:
    """The route of `ip -j route` that overlaps `net` by another device than our bridge; "" when none does."""
    for route in routes:
        target, device = str(route.get("dst", "default")), str(route.get("dev", ""))
        if target == "default" or device == bridge or route.get("type") in ("broadcast", "multicast"):
            continue
        try:
            overlaps = IPv4Network(target, strict=False).overlaps(net)
        except ValueError:
            continue
        if overlaps and IPv4Network(target, strict=False).prefixlen > 0:
            return f"{target} by {device or route.get('type', 'another route')}"
    return ""


def blocking() -> str:
    """Which rule of this machine keeps bridged hosts apart, as far as the rules tell; "" when none is found."""
    found = forward_drops(run(["nft", "list", "ruleset"], root=True).stdout)
    if not found:
        legacy = run(["iptables", "-S", "FORWARD"], root=True).stdout
        found = [
            f"iptables: {line}"
            for line in legacy.splitlines()
            if line == "-P FORWARD DROP" or "-j DROP" in line
        ]
    if found and bridge_filtered():
        found.append("net.bridge.bridge-nf-call-iptables=1, so it holds for bridges too (Docker sets both)")
    return "; ".join(found)


def bridge_filtered() -> bool:
    """Whether the kernel sends bridged packets through iptables."""
    try:
        return Path("/proc/sys/net/bridge/bridge-nf-call-iptables").read_text().strip() == "1"
    except OSError:
        return False


def forward_drops(ruleset: str) -> list[str]:
    """Chains of `nft list ruleset` on the forward hook that drop: "table ip filter, chain FORWARD: policy drop"."""
    found = []
    for table in TABLE.finditer(ruleset):
        for chain in FORWARD_CHAIN.finditer(table[2]):
            lines = [line.strip() for line in chain[2].splitlines()]
            drops = [line for line in lines if re.search(r"(policy|^|\s)\s?drop\b|\breject\b", line)]
            found += [f"table {table[1]}, chain {chain[1]}: {line}" for line in drops]
    return found
