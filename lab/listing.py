"""inventory/lab.yml: the lab as any other inventory. Pure but for writing and removing the file."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable
from pathlib import Path

from lab.config import LabConfig, LabHost
from lab.record import write_text
from loadproof.plan.shell import ssh_path

HEAD = "# Written by inv lab.up when every host answered, removed by inv lab.down. Not for editing."


def ssh_options(config: LabConfig) -> list[str]:
    """Words for ssh that trust the lab's known_hosts and offer the lab's key, and nothing else."""
    return [
        "-o",
        f"UserKnownHostsFile={ssh_path(str(config.known_hosts))}",
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "IdentitiesOnly=yes",
    ]


def text(config: LabConfig, hosts: Iterable[LabHost]) -> str:
    """The inventory of these hosts, as YAML."""
    hosts = tuple(hosts)
    lines = [HEAD, "all:", "  vars:"]
    variables = {
        "ansible_user": "root",
        "ansible_ssh_private_key_file": str(config.key),
        "ansible_ssh_common_args": shlex.join(ssh_options(config)),
        "ansible_python_interpreter": "/usr/bin/python3",
    }
    lines += [f"    {key}: {json.dumps(value)}" for key, value in variables.items()]
    lines.append("  children:")
    for role in ("app", "proxy", "load"):
        lines += [f"    {role}:", "      hosts:"]
        for host in hosts:
            if host.role == role:
                lines += [
                    f"        {host.name}:",
                    f"          ansible_host: {host.address}",
                    f"          loadproof_address: {host.address}",
                ]
    return "\n".join(lines) + "\n"


def matches(config: LabConfig, hosts: Iterable[LabHost]) -> bool:
    """Whether the file says exactly this."""
    try:
        return config.inventory.read_text() == text(config, hosts)
    except OSError:
        return False


def write(config: LabConfig, hosts: Iterable[LabHost]) -> None:
    """Write the inventory."""
    write_text(config.inventory, text(config, hosts))


def remove(config: LabConfig) -> None:
    """Remove the inventory, if the lab wrote it."""
    if written_by_lab(config.inventory):
        config.inventory.unlink()


def written_by_lab(path: Path) -> bool:
    """Whether a file begins as ours do."""
    try:
        return path.read_text().startswith(HEAD)
    except OSError:
        return False
