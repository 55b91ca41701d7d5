"""What is written down: the lab's own state.json, and on the machine who owns the lab that stands here."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lab.config import LabConfig, LabHost, user_name
from lab.root import must
from loadproof.errors import LabUnavailable, Refused

FORMAT = 1
LOCK_WAIT_S = 180.0
# Written whole to a name of its own, then linked: of two labs that start at once, one gets the name.
CLAIM = r"""
set -e
umask 022
cat > "$1.$$"
ln "$1.$$" "$1" || { rm -f "$1.$$"; exit 9; }
rm -f "$1.$$"
"""


@dataclass(frozen=True)
class Record:
    """What `up` began: enough to repair it or to end it, whatever happened since."""

    suite: str = ""
    image: str = ""
    bridge: str = ""
    net: str = ""
    hosts: tuple[LabHost, ...] = ()
    inotify_before: int | None = None  # fs.inotify.max_user_instances as it was before we raised it
    inotify_raised: int | None = None
    network_manager: bool = False  # a file of ours tells NetworkManager to leave the bridge alone


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


@contextmanager
def locked(config: LabConfig) -> Iterator[None]:
    """Hold the lab's lock. Raises LabUnavailable when somebody else holds it for minutes."""
    config.lock.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(config.lock, timeout=LOCK_WAIT_S)
    try:
        lock.acquire()
    except Timeout as error:
        raise LabUnavailable(
            f"another lab command of this clone has been at work for {LOCK_WAIT_S:.0f} s",
            where=str(config.lock),
            kept="nothing was touched",
            next="inv lab.status",
        ) from error
    try:
        yield
    finally:
        lock.release()


def write_text(path: Path, text: str) -> None:
    """Write a file whole: a reader sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text)
    os.replace(temporary, path)


def read_record(config: LabConfig) -> Record:
    """The record of this lab; an empty one when there is none, or none that can be read."""
    values = read_json(config.record)
    if not values or values.get("format") != FORMAT:
        return Record()
    hosts = tuple(LabHost(**host) for host in values["hosts"])
    return Record(**{**{key: values[key] for key in values if key != "format"}, "hosts": hosts})


def write_record(config: LabConfig, record: Record) -> None:
    """Write the record, if it says anything new."""
    if read_record(config) != record:
        write_text(config.record, json.dumps({"format": FORMAT, **asdict(record)}, indent=1) + "\n")


def without(record: Record, name: str) -> Record:
    """The record less one host."""
    return replace(record, hosts=tuple(host for host in record.hosts if host.name != name))


def read_json(path: Path) -> dict[str, Any] | None:
    """The object in a JSON file; None when there is none."""
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) else None


def read_owner(config: LabConfig) -> Owner | None:
    """Whose lab stands on this machine, under this lab's bridge and owner file."""
    values = read_json(config.owner)
    if values is None:
        return None
    fields = {key: values.get(key, "") for key in ("clone", "user", "bridge", "since")}
    return Owner(uid=int(values.get("uid", -1)), **fields)


def is_ours(config: LabConfig, owner: Owner) -> bool:
    """Whether an owner is this clone and this user."""
    return owner.clone == str(config.clone) and owner.uid == os.geteuid()


def refuse_foreign(config: LabConfig) -> None:
    """Raises Refused when the lab of this machine, or its bridge, is somebody else's. It is never touched."""
    owner = read_owner(config)
    if owner is not None and not is_ours(config, owner):
        raise foreign(config, owner)
    bridged = Path(f"/sys/class/net/{config.bridge}").exists()
    if owner is None and bridged and read_record(config).bridge != config.bridge:
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
        next=f"as {owner.user}: cd {owner.clone} && ./inv lab.down",
    )


def claim(config: LabConfig) -> bool:
    """Write this clone and user down as owner of the machine's lab; False when they are already.

    Raises Refused when another came first.
    """
    if read_owner(config) is not None:
        refuse_foreign(config)
        return False
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
    return True


def disown(config: LabConfig) -> None:
    """Take our record off the machine."""
    owner = read_owner(config)
    if owner is not None and is_ours(config, owner):
        must(["rm", "-f", str(config.owner)], what="the owner's record could not be removed", root=True)
