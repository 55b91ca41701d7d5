"""Whose lab stands on this machine. There is one at a time; another's is never touched while it lives."""

from __future__ import annotations

import fcntl
import json
import os
import shlex
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab import machine, network, processes
from lab.config import LabConfig, state_of_clone, user_name
from lab.record import read_json, read_record
from lab.root import must
from loadproof.errors import LabUnavailable, Refused
from loadproof.plan.values import Inventory

# Written whole to a name of its own, then linked: of two labs that start at once, one gets the name.
CLAIM = r"""
set -e
umask 022
cat > "$1.$$"
ln "$1.$$" "$1" || { rm -f "$1.$$"; exit 9; }
rm -f "$1.$$"
"""


@dataclass(frozen=True)
class Owner:
    """Whose lab stands on this machine."""

    clone: str
    uid: int
    user: str
    bridge: str
    since: str

    def __str__(self) -> str:
        return f"user {self.user} (uid {self.uid}), clone {self.clone}, since {self.since}"


def read_owner(config: LabConfig) -> Owner | None:
    """Whose lab stands on this machine, under this lab's bridge and owner file."""
    values = read_json(config.owner)
    if values is None:
        return None
    fields = {key: values.get(key, "") for key in ("clone", "user", "bridge", "since")}
    return Owner(uid=int(values.get("uid", -1)), **fields)


def is_ours(config: LabConfig, owner: Owner | None) -> bool:
    """Whether an owner is this clone and this user."""
    return owner is not None and owner.clone == str(config.clone) and owner.uid == os.geteuid()


def is_lab(config: LabConfig, inventory: Inventory) -> bool:
    """Whether every host of an inventory is one of the lab's that stands on this machine, whosever that is."""
    owner = read_owner(config)
    if owner is None:
        return False
    addresses = {host.address for host in read_record(lab_of(config, owner)).hosts}
    reached = {host.ssh_host if host.connection == "ssh" else "" for host in inventory.hosts}
    return bool(reached) and reached <= addresses


def left_behind(config: LabConfig) -> Owner | None:
    """The owner of another clone's lab of which nothing lives any more; None when there is none."""
    owner = read_owner(config)
    if owner is None or owner.clone == str(config.clone):
        return None
    theirs = lab_of(config, owner)
    living = network.cables(config.bridge) or processes.strays(theirs) or at_work(theirs.lock)
    return None if living else owner


def lab_of(config: LabConfig, owner: Owner) -> LabConfig:
    """Where another clone keeps the lab that goes by this lab's names."""
    return replace(config, state=state_of_clone(Path(owner.clone)))


def at_work(lock: Path) -> bool:
    """Whether a lab command holds this lock; a lock that may not be read is taken for held."""
    try:
        descriptor = os.open(lock, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def refuse_foreign(config: LabConfig) -> None:
    """Raises Refused when a living lab of this machine, or its bridge, is somebody else's."""
    owner = read_owner(config)
    if owner is not None and not is_ours(config, owner) and not left_behind(config):
        raise foreign(config, owner)
    if owner is None and network.exists(config.bridge) and read_record(config).bridge != config.bridge:
        raise Refused(
            f"a bridge {config.bridge} is here already, and no record says whose it is",
            where=str(config.owner),
            kept="nothing was touched",
            next=f"ip -d link show {config.bridge}",
        )


def foreign(config: LabConfig, owner: Owner) -> Refused:
    """The error that names the owner of the lab on this machine."""
    return Refused(
        f"the lab on this machine is another's: {owner}",
        where=f"bridge {owner.bridge}, {config.owner}",
        kept="nothing was touched",
        next=f"as {owner.user}: cd {shlex.quote(owner.clone)} && ./inv lab.down",
    )


def claim(config: LabConfig) -> tuple[str, ...]:
    """Write this clone and user down as owner of the machine's lab; gives what was done for it, in words.

    Raises Refused when another came first.
    """
    if is_ours(config, read_owner(config)):
        return ()
    refuse_foreign(config)
    gone = clear(config)
    owner = Owner(
        str(config.clone),
        os.geteuid(),
        user_name(),
        config.bridge,
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    )
    try:
        must(
            ["sh", "-c", CLAIM, "sh", str(config.owner)],
            what="the owner's record could not be written",
            root=True,
            stdin=json.dumps(asdict(owner)).encode() + b"\n",
        )
    except LabUnavailable:
        refuse_foreign(config)
        raise
    return (*gone, f"wrote {config.owner}")


def clear(config: LabConfig) -> tuple[str, ...]:
    """Take what a lab without a living host left on the machine; its clone's own files stay. Gives it in words."""
    owner = left_behind(config)
    if owner is None:
        return ()
    network.remove(config)
    network.forget_manager(config)
    machine.restore_inotify(read_record(lab_of(config, owner)))
    must(["rm", "-f", str(config.owner)], what="the owner's record could not be removed", root=True)
    return (f"cleared the bridge {config.bridge} of a lab none of whose hosts runs ({owner})",)


def disown(config: LabConfig) -> None:
    """Take our record off the machine."""
    if is_ours(config, read_owner(config)):
        must(["rm", "-f", str(config.owner)], what="the owner's record could not be removed", root=True)
