"""One look at every host: can it do its part? Findings are values; nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loadproof.control import probe
from loadproof.control.fleet import Fleet
from loadproof.control.remote import Remote
from loadproof.errors import HostUnreachable, LoadproofError
from loadproof.plan.values import STATUS_PORT, Host

DISK_KB = 2 << 20  # a tree is 300 MB unpacked, an hour of raw files about as much
MEMORY_KB = 400 << 10
NEEDED: dict[str, tuple[tuple[str, str], ...]] = {  # role -> (program, package)
    "app": (("cpulimit", "cpulimit"), ("zstd", "zstd")),
    "proxy": (("nginx", "nginx-light"),),
    "load": (("zstd", "zstd"),),
    "watch": (),
}


@dataclass(frozen=True)
class Finding:
    """One question about a host, and its answer."""

    host: str
    asked: str
    ok: bool
    said: str
    remedy: str = ""


def examine(fleet: Fleet) -> tuple[Finding, ...]:
    """All findings of all hosts, in inventory order, in one round trip per host (two where sudo is needed)."""
    answers = fleet.each(look)
    rows: list[Finding] = []
    for host in fleet.hosts():
        answer = answers[host.name]
        if isinstance(answer, LoadproofError):
            asked = "reachable" if isinstance(answer, HostUnreachable) else "login and sudo"
            remedy = answer.next and f"try: {answer.next}"
            rows.append(Finding(host.name, asked, False, answer.what, remedy))
        else:
            rows += judge(host, answer)
    return tuple(rows)


def look(remote: Remote) -> dict[str, Any]:
    """The facts that the judgement needs."""
    host = remote.host
    programs = {program for role in host.roles for program, _ in NEEDED[role]}
    return probe.facts(
        remote,
        {
            "programs": sorted(programs),
            "ports": ports(host),
            "disk": ["/opt", "/var/lib"],
            "units": [],
        },
    )


def ports(host: Host) -> list[int]:
    """The ports that our programs will take on a host."""
    taken = [port for role, port in host.ports if role in host.roles]
    return taken + ([STATUS_PORT] if "proxy" in host.roles else [])


def judge(host: Host, found: Mapping[str, Any]) -> Iterator[Finding]:
    """What the facts of one host mean."""
    name = host.name
    login = "root" if not found["uid"] else f"uid {found['uid']}"
    yield Finding(
        name, "login and sudo", not found["uid"], login, "log in as root, or allow sudo without password"
    )
    yield Finding(name, "Python", True, f"{found['python']} ({found['python_exe']})")
    yield platform(host, found)
    for port, holder in found.get("ports", {}).items():
        yield port_finding(name, port, holder)
    for path, room in found.get("disk", {}).items():
        enough = bool(room) and room["free_kb"] >= DISK_KB
        said = f"{room['free_kb'] / 1048576:.1f} GB free" if room else "no such folder"
        yield Finding(
            name, f"disk {path}", enough, said, f"make room: {DISK_KB >> 20} GB are wanted under {path}"
        )
    memory = found.get("memory_kb", 0)
    yield Finding(name, "memory", memory >= MEMORY_KB, f"{memory >> 10} MB", "the app needs about 300 MB")
    packages = {program: package for role in host.roles for program, package in NEEDED[role]}
    for program, where in found.get("programs", {}).items():
        said = where or f"not there; deploy installs {packages.get(program, program)}"
        yield Finding(name, program, True, said)


def platform(host: Host, found: Mapping[str, Any]) -> Finding:
    """Whether trees can be made for the host, and the platform is the declared one."""
    try:
        tag = probe.platform_of(found, host.name).tag
    except LoadproofError as error:
        return Finding(host.name, "platform", False, error.what, "use a host with glibc")
    declared = host.platform.partition("-glibc")[0] if host.platform else tag
    remedy = f"loadproof_platform says {declared}: put {tag} there, or leave it out"
    return Finding(host.name, "platform", declared == tag, tag, remedy)


def port_finding(name: str, port: str, holder: Mapping[str, Any] | None) -> Finding:
    """Whether a port is free, or ours."""
    if holder is None:
        return Finding(name, f"port {port}", True, "free")
    ours = str(holder.get("unit", "")).startswith("loadproof-")
    said = f"{holder.get('name', '?')} (pid {holder.get('pid', '?')}) {holder.get('unit', '')}".strip()
    return Finding(name, f"port {port}", ours, said, "stop it, or set loadproof_port in the inventory")
