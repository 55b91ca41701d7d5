"""What the lab needs of the machine itself: programs, and enough inotify instances. Each change can be taken back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lab.config import LabConfig
from lab.record import Record, read_json, write_text
from lab.root import Done, must, run
from loadproof.errors import LabUnavailable

# Program that must be found, package that brings it; the same names on Debian and Ubuntu (there mmdebstrap: universe).
PROGRAMS: Mapping[str, str] = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "ip": "iproute2",
    "taskset": "util-linux",
    "unshare": "util-linux",
    "setsid": "util-linux",
    "mountpoint": "util-linux",
    "mount": "mount",
    "tar": "tar",
    "gpgv": "gpgv",
}
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # not on the PATH of ordinary users, but on sudo's
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_PER_HOST = 5  # at the kernel's default of 128 about 27 hosts boot fully
INOTIFY_SPARE = 32
APT = ("apt-get", "-o", "DPkg::Lock::Timeout=120", "-q", "-y")
APT_ENV = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
WORD_TO_REMOVE = "sudo apt-get purge "


def missing(find: Callable[[str], str | None] | None = None) -> tuple[str, ...]:
    """Packages whose programs are not on this machine, in the order they are needed."""
    find = find or found
    return tuple(dict.fromkeys(package for program, package in PROGRAMS.items() if find(program) is None))


def found(program: str) -> str | None:
    """Where a program is, also where only root looks."""
    return shutil.which(program) or shutil.which(program, path=SBIN)


def install(config: LabConfig, packages: Sequence[str]) -> tuple[str, ...]:
    """Install packages with apt, upgrading nothing; gives all that came with them and remembers it for `down --purge`."""
    if not packages:
        return ()
    if found("apt-get") is None:
        raise LabUnavailable(
            f"this machine has no apt-get to install {', '.join(packages)} with",
            where="this machine",
            kept="nothing was touched",
            next=f"install {' '.join(packages)}, then inv lab.up",
        )
    before = installed()
    done = apt_install(packages)
    if done.exited != 0:
        run([*APT, "update"], root=True, within=300, env=APT_ENV)
        done = apt_install(packages)
    new = tuple(sorted(installed() - before))
    if new:
        known = (read_json(config.packages) or {}).get("installed", [])
        write_text(config.packages, json.dumps({"installed": sorted({*known, *new})}) + "\n")
    if done.exited != 0:
        raise LabUnavailable(
            f"{', '.join(packages)} could not be installed: exit {done.exited} from apt-get\n{done.last_lines}",
            where="this machine",
            kept="nothing else was touched",
            next=f"sudo apt-get install {' '.join(packages)}",
        )
    return new


def apt_install(packages: Sequence[str]) -> Done:
    """One try at installing."""
    words = [*APT, "install", "--no-install-recommends", "--no-upgrade", *packages]
    return run(words, root=True, within=600, env=APT_ENV)


def installed() -> set[str]:
    """Names of the packages on this machine."""
    said = must(["dpkg-query", "-W", "-f", "${db:Status-Abbrev}${Package}\n"], what="dpkg cannot be asked")
    return {line[3:] for line in said.splitlines() if line.startswith("ii")}


def brought(config: LabConfig) -> tuple[str, ...]:
    """Packages that earlier calls of `up` installed here, and nobody has removed since."""
    known = (read_json(config.packages) or {}).get("installed", [])
    return tuple(sorted(set(known) & installed())) if known else ()


def inotify_needed(hosts: int) -> int:
    """How many inotify instances root may need with that many hosts."""
    return INOTIFY_PER_HOST * hosts + INOTIFY_SPARE


def raise_inotify(record: Record, hosts: int) -> Record:
    """Raise fs.inotify.max_user_instances where that many hosts would not boot with it; the record keeps the old value."""
    now = int(INOTIFY.read_text())
    if now >= inotify_needed(hosts):
        return record
    target = 2 * inotify_needed(hosts)
    set_inotify(target)
    before = record.inotify_before if record.inotify_before is not None else now
    return replace(record, inotify_before=before, inotify_raised=target)


def restore_inotify(record: Record) -> None:
    """Put the old value back, unless somebody has changed it since."""
    if record.inotify_before is not None and int(INOTIFY.read_text()) == record.inotify_raised:
        set_inotify(record.inotify_before)


def set_inotify(value: int) -> None:
    """Set the kernel's limit."""
    must(
        ["sh", "-c", f'echo "$1" >{INOTIFY}', "sh", str(value)],
        what="fs.inotify.max_user_instances",
        root=True,
    )
