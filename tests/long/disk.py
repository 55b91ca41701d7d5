"""A disk for a virtual machine: Debian with a kernel of its own and what a newcomer has to have, nothing of ours made.

Inside, /srv/handed holds what would come from the net: this repository, the wheels of its lock, the lab's image and the
archives of the trees, the last two by the recipes of the commit that is handed over.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab import image, machine
from lab.config import LabConfig
from lab.root import must, run
from lab.sources import apt_options, read_os_release

REPO = Path(__file__).resolve().parents[2]
# Program that must be found on this machine, package that brings it.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "mkfs.ext4": "e2fsprogs",
    "mmdebstrap": "mmdebstrap",
    "git": "git",
    "ssh-keygen": "openssh-client",
}
KERNELS = {"debian": "linux-image-cloud-amd64", "ubuntu": "linux-image-virtual"}
# git and python3 are what the README asks for. Without package sources inside, the rest is what `inv` and `lab.up`
# would install with apt, and a network.
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "udev", "kmod", "initramfs-tools", "openssh-server", "openssh-client",
    "iproute2", "procps", "sudo", "zstd", "ca-certificates", "gpgv", "nftables", "python3", "git",
    "python3-venv", "systemd-container", "mmdebstrap",
)  # fmt: skip
MASKED = (
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "e2scrub_all.timer",
    "fstrim.timer",
    "getty@tty1.service",
)
USER = "newcomer"
SIZE_GB = 12  # sparse
HANDED = "srv/handed"
NETWORK = (
    "[Match]\nName=en* eth*\n\n[Network]\nAddress=10.0.2.15/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
)
COMPLETE = r"""
set -e
cd "$1"
tar -xpf -
rm -f var/lib/dbus/machine-id
chroot . useradd --create-home --shell /bin/bash "$2"
mkdir -m 700 "home/$2/.ssh"
mv etc/key.pub "home/$2/.ssh/authorized_keys"
chroot . chown -R "$2:$2" "/home/$2" /srv/handed
mkdir -p "srv/handed/image/$4"
cp "$3/$4/complete.json" "srv/handed/image/$4/"
cp -a --reflink=auto "$3/$4/root" "srv/handed/image/$4/root"
chroot . chown "$2:$2" /srv/handed/image "/srv/handed/image/$4" "/srv/handed/image/$4/complete.json"
"""
FACTS = 'mount -t proc proc "$1/proc" && exec chroot "$1" /usr/bin/python3 -I -S -c "$2" "{}"'
FILESYSTEM = r"""
set -e
truncate -s "$3G" "$2"
mkfs.ext4 -q -F -E lazy_itable_init=1,lazy_journal_init=1 -d "$1" "$2"
chown "$4" "$2"
"""


@dataclass(frozen=True)
class Disk:
    """What QEMU starts, and how to get in."""

    image: Path
    kernel: Path
    initrd: Path
    key: Path
    host_key: str
    commit: str


def install_missing() -> None:
    """Install what this machine lacks, as the lab does. Fails with the line to type."""
    missing = sorted({package for program, package in PROGRAMS.items() if machine.found(program) is None})
    if not missing:
        return
    print(f"installing {' '.join(missing)}")
    machine.install(LabConfig.of(), missing)


def make(place: Path) -> Disk:
    """The whole disk, in a folder that the caller removes with `remove`."""
    root, key = place / "root", place / "key"
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "tests.long", "-f", str(key)]
    subprocess.run(words, check=True)
    print("disk: packages (about a minute)", flush=True)
    bootstrap(root)
    print("disk: repository, wheels, the lab's image, trees", flush=True)
    commit, name = hand_over(place, root)
    print("disk: file system", flush=True)
    finish(place, root, name, key.with_suffix(".pub").read_text())
    kernels = sorted((root / "boot").glob("vmlinuz-*"))
    assert len(kernels) == 1, kernels
    for path in ("boot/initrd.img-" + kernels[0].name.partition("-")[2], f"boot/{kernels[0].name}"):
        must(["install", "-m", "644", str(root / path), str(place)], what="no kernel", root=True)
    public = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()
    owner = f"{os.getuid()}:{os.getgid()}"
    must(
        ["sh", "-c", FILESYSTEM, "sh", str(root), str(place / "disk"), str(SIZE_GB), owner],
        what="no file system", root=True, within=600,
    )  # fmt: skip
    remove(root)
    return Disk(
        place / "disk",
        place / kernels[0].name,
        next(place.glob("initrd.img-*")),
        key,
        " ".join(public[:2]),
        commit,
    )


def remove(path: Path) -> None:
    """Remove a folder with files of root, and whatever a cut build left mounted in it."""
    must(["sh", "-c", image.REMOVE, "sh", str(path)], what=f"{path} could not be removed", root=True)


def bootstrap(root: Path) -> None:
    """A root file system of this machine's suite, from this machine's own package sources."""
    config = LabConfig.of(environ={})
    suite = image.suite_of(config)
    system = read_os_release(Path("/etc/os-release").read_text()).id
    lists = root.with_name("sources.list")
    lists.write_text("".join(f"{source.line()}\n" for source in image.machine_sources(suite)))
    options = [f"--aptopt={option}" for option in apt_options(run(["apt-config", "dump"]).stdout)]
    packages = ",".join((*PACKAGES, KERNELS[system]))
    must(
        [
            *image.ISOLATED, "nice", "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet",
            f"--include={packages}", *options, suite, str(root), str(lists),
        ],
        what="no disk", root=True, within=1200,
    )  # fmt: skip


def hand_over(place: Path, root: Path) -> tuple[str, str]:
    """Put into /srv/handed what the fresh clone will want. Gives the commit and the name of the lab's image."""
    handed, clone = place / "handed", place / "clone"
    (handed / "trees").mkdir(parents=True)
    git(REPO, "bundle", "create", "-q", str(handed / "repository"), "HEAD")
    git(place, "clone", "-q", str(handed / "repository"), str(clone))
    # trees are named by their recipe: what this clone has already built need not be built again
    (REPO / ".cache/trees").mkdir(parents=True, exist_ok=True)
    (clone / ".cache").mkdir()
    (clone / ".cache/trees").symlink_to(REPO / ".cache/trees")
    facts = must(
        ["unshare", "--mount", "sh", "-c", FACTS, "sh", str(root), (REPO / "hostside/facts.py").read_text()],
        what="no facts", root=True,
    )  # fmt: skip
    images = LabConfig.of(environ={}).images
    made = program(
        [sys.executable, "-m", "tests.long.handover", str(images), facts], cwd=clone, within=1200
    ).splitlines()[-1]
    names = json.loads(made)
    for tree in names["trees"]:
        shutil.copy(REPO / ".cache/trees" / tree, handed / "trees" / tree)
    wheels(clone / "locks/control.lock", handed / "wheels")
    must(["cp", "-r", str(handed), str(root / HANDED)], what="nothing handed over", root=True)
    return git(clone, "rev-parse", "HEAD").strip(), names["image"]


def wheels(lock: Path, into: Path) -> None:
    """The wheels of a lock for this machine's Python, which is the suite's."""
    cache = REPO / ".cache/test-wheels"
    words = ["download", "-q", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    program(
        [sys.executable, "-m", "pip", *words, "-r", str(lock), "-d", str(cache)], cwd=cache.parent, within=900
    )
    # other locks' wheels in the cache do no harm: inside, hashes decide as well
    shutil.copytree(cache, into)


def finish(place: Path, root: Path, name: str, key: str) -> None:
    """Network, user, sudo, ssh, pip without an index; and the lab's image, owners and all."""
    units = "etc/systemd/system"
    files = {
        "etc/hostname": "fresh\n",
        "etc/hosts": "127.0.0.1 localhost\n127.0.1.1 fresh\n",
        "etc/machine-id": "",
        "etc/systemd/network/10-wire.network": NETWORK,
        f"{units}/multi-user.target.wants/systemd-networkd.service": "->/lib/systemd/system/systemd-networkd.service",
        "etc/ssh/sshd_config.d/10-test.conf": "UseDNS no\n",
        "etc/sudoers.d/10-test": f"{USER} ALL=(ALL) NOPASSWD: ALL\n",
        "etc/pip.conf": f"[global]\nno-index = true\nfind-links = /{HANDED}/wheels\n",
        "etc/key.pub": key,
        **{f"{units}/{unit}": "->/dev/null" for unit in MASKED},
    }
    script = ["sh", "-c", COMPLETE, "sh", str(root), USER, str(LabConfig.of(environ={}).images), name]
    tar = image.archive(files, {"etc/sudoers.d/10-test": 0o440})
    must(script, what="the disk could not be completed", root=True, stdin=tar, within=300)


def git(where: Path, *words: str) -> str:
    """Standard output of git."""
    return program(["git", "-C", str(where), *words], cwd=where, within=120)


def program(words: Sequence[str], cwd: Path, within: float) -> str:
    """Standard output of a program that has to work, run as a good neighbour."""
    done = subprocess.run(["nice", *words], cwd=cwd, capture_output=True, text=True, timeout=within)
    assert done.returncode == 0, f"{' '.join(words)[:200]}: exit {done.returncode}\n{done.stderr[-2000:]}"
    return done.stdout
