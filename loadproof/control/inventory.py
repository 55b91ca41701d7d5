"""Reading an inventory from disk: YAML by ourselves, everything else through `ansible-inventory --list`."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from loadproof.errors import BadInput, Problem
from loadproof.plan import hosts
from loadproof.plan.values import Inventory

WITHIN_S = 120.0  # a plugin may ask a cloud


def read(path: Path, groups: Mapping[str, str] | None = None) -> Inventory:
    """The hosts of an inventory. Raises BadInput with all problems; nothing is touched."""
    if not path.exists() or hosts.is_yaml(path):
        return hosts.read(path, groups)
    return hosts.from_listing(listing(path), path, groups)


def listing(path: Path) -> str:
    """What `ansible-inventory -i PATH --list` prints. Raises BadInput when it is not there, or fails."""
    try:
        ran = subprocess.run(
            ["ansible-inventory", "-i", str(path), "--list"],
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
        raise BadInput(
            [Problem(f"ansible-inventory gave no answer in {WITHIN_S:.0f} s", str(path))]
        ) from None
    # an inventory that cannot be parsed is a warning to Ansible, and an empty answer
    broken = "Unable to parse" in ran.stderr or "No inventory was parsed" in ran.stderr
    if ran.returncode or broken:
        said = ran.stderr.strip() or f"exit {ran.returncode}"
        raise BadInput([Problem(f"ansible-inventory cannot read it: {said}", str(path))])
    return ran.stdout
