"""The image that all hosts share: built once, named by its recipe, complete or not there at all."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shlex
import shutil
import tarfile
from collections.abc import Callable, Sequence
from pathlib import Path

from lab.config import LabConfig
from lab.root import must, run
from lab.sources import Source, apt_options, derive, read_os_release, suite_for
from loadproof.errors import LabUnavailable

FORMAT = 1
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "openssh-server", "python3", "nginx-light", "cpulimit", "iproute2",
    "procps", "sudo", "zstd", "nftables",
)  # fmt: skip
# nginx never starts by itself; host keys are the lab's; the rest is work at boot or during a trial for nobody's good.
MASKED = (
    "nginx.service", "sshd-keygen.service", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "motd-news.timer", "systemd-pstore.service",
    "systemd-tmpfiles-clean.timer", "systemd-resolved.service", "systemd-timesyncd.service", "ldconfig.service",
    "systemd-journal-catalog-update.service", "systemd-hwdb-update.service", "systemd-firstboot.service",
    "systemd-networkd-wait-online.service", "getty@tty1.service", "console-getty.service",
)  # fmt: skip
SSHD = """HostKey /etc/ssh/ssh_host_ed25519_key
PermitRootLogin prohibit-password
UseDNS no
MaxStartups 200
MaxSessions 100
"""
# OpenSSH 9.8 and later shut out an address whose connections end before login, as every port probe's does.
NO_PENALTIES = "PerSourcePenalties no\n"
SCRUB = r"""
set -e
cd "$1"
rm -rf etc/ssh/ssh_host_* etc/apt/sources.list etc/apt/sources.list.d/* etc/apt/apt.conf.d/99mmdebstrap
rm -f etc/systemd/system/multi-user.target.wants/nginx.service var/lib/dbus/machine-id etc/resolv.conf
: > etc/machine-id
tar -xpf -
if grep -qaF PerSourcePenalties usr/sbin/sshd; then
    printf %s "$2" > etc/ssh/sshd_config.d/20-loadproof-penalties.conf
fi
touch etc/.updated var/.updated
"""
# A cut build may have left something mounted below: nothing is removed before all of that is gone.
REMOVE = r"""
set -e
[ -e "$1" ] || exit 0
for at in $(cut -d' ' -f5 /proc/self/mountinfo | sort -r); do
    at=$(printf %b "$at")
    case "$at" in "$1"|"$1"/*) umount "$at" || umount -l "$at" ;; esac
done
rm -rf --one-file-system -- "$1"
"""
# However a build ends, its processes and mounts end with it.
ISOLATED = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
NEEDED_MB = 900  # at the highest point of a build; the image itself is about 280
TYPICAL_S = 30.0
Bootstrap = Callable[[Path, str, Sequence[Source]], None]


def recipe(suite: str) -> str:
    """The name of the image for a suite: known without building it."""
    text = json.dumps(
        [FORMAT, suite, os.uname().machine, PACKAGES, sorted(baked()), MASKED, SCRUB, SSHD, NO_PENALTIES]
    )
    return f"{suite}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def baked() -> dict[str, str]:
    """Files that every host has; a value that begins with "->" is a symlink."""
    units = "etc/systemd/system"
    return {
        "etc/ssh/sshd_config.d/10-loadproof.conf": SSHD,
        f"{units}/multi-user.target.wants/systemd-networkd.service": "->/lib/systemd/system/systemd-networkd.service",
        f"{units}/sockets.target.wants/systemd-networkd.socket": "->/lib/systemd/system/systemd-networkd.socket",
        **{f"{units}/{unit}": "->/dev/null" for unit in MASKED},
    }


def archive(files: dict[str, str], modes: dict[str, int] | None = None) -> bytes:
    """A tar of small files, all root's; folders on the way are made 0755 unless `modes` says otherwise."""
    modes = modes or {}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        folders = {str(parent) for name in files for parent in Path(name).parents if str(parent) != "."}
        for folder in sorted(folders):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, modes.get(folder, 0o755)
            tar.addfile(entry)
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            if text.startswith("->"):
                entry.type, entry.linkname = tarfile.SYMTYPE, text[2:]
                tar.addfile(entry)
            else:
                data = text.encode()
                entry.size, entry.mode = len(data), modes.get(name, 0o644)
                tar.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()


def suite_of(config: LabConfig) -> str:
    """The suite this lab's hosts run. Raises LabUnavailable, BadInput."""
    return suite_for(read_os_release(Path("/etc/os-release").read_text()), config.suite)


def complete(config: LabConfig, name: str) -> bool:
    """Whether an image is there, whole."""
    return (config.images / name / "complete.json").is_file()


def root_of(config: LabConfig, name: str) -> Path:
    """The root file system of an image."""
    return config.images / name / "root"


def check_disk(config: LabConfig, needed_mb: int) -> None:
    """Raises LabUnavailable when the folder of the images has less free than a build needs."""
    at = next(path for path in (config.images, *config.images.parents) if path.exists())
    free_mb = shutil.disk_usage(at).free // 2**20
    if free_mb < needed_mb:
        raise LabUnavailable(
            f"too little disk for the image: {needed_mb} MB needed, {free_mb} MB free",
            where=str(at),
            kept="nothing was made",
            next=f"df -h {shlex.quote(str(at))}, make room, then inv lab.up",
        )


def build(
    config: LabConfig,
    suite: str,
    say: Callable[[str], None],
    bootstrap: Bootstrap | None = None,
    step: Callable[[str], None] = lambda name: None,
) -> str:
    """Build the image of a suite unless it is there; gives its name. Whatever a cut build left is removed first.

    `step` is told the name of each step before it begins (tests cut the build there). Raises LabUnavailable.
    """
    name = recipe(suite)
    final, partial = config.images / name, config.images / f"{name}.partial"
    if complete(config, name):
        return name
    sources = machine_sources(suite)
    check_disk(config, NEEDED_MB)
    say(f"building image {name}, about {TYPICAL_S:.0f} s")
    steps: list[tuple[str, Callable[[], None]]] = [
        ("clear", lambda: clear(config, final, partial)),
        ("folder", lambda: partial.mkdir(parents=True)),
        ("bootstrap", lambda: (bootstrap or mmdebstrap)(partial / "root", suite, sources)),
        ("scrub", lambda: scrub(partial / "root")),
        ("mark", lambda: mark(partial, suite)),
        ("rename", lambda: os.replace(partial, final)),
    ]
    for title, action in steps:
        step(title)
        action()
    return name


def clear(config: LabConfig, *paths: Path) -> None:
    """Remove what a cut build left."""
    for path in paths:
        remove(config, path)


def machine_sources(suite: str) -> tuple[Source, ...]:
    """The sources for a suite, out of this machine's own files. Raises LabUnavailable."""
    folder = Path("/etc/apt/sources.list.d")
    files = [Path("/etc/apt/sources.list"), *sorted(folder.glob("*.list")), *sorted(folder.glob("*.sources"))]
    texts = [(path.name, path.read_text(errors="replace")) for path in files if path.is_file()]
    return derive(read_os_release(Path("/etc/os-release").read_text()), suite, texts)


def mmdebstrap(target: Path, suite: str, sources: Sequence[Source]) -> None:
    """Make a root file system out of packages."""
    lists = target.parent / "sources.list"
    lists.write_text("".join(f"{source.line()}\n" for source in sources))
    options = [f"--aptopt={option}" for option in apt_options(run(["apt-config", "dump"]).stdout)]
    proxies = {
        key: value
        for key, value in os.environ.items()
        if key.lower() in ("http_proxy", "https_proxy", "no_proxy")
    }
    must(
        [
            *ISOLATED, "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory", "--quiet",
            f"--include={','.join(PACKAGES)}", *options, suite, str(target), str(lists),
        ],
        what=f"the image of {suite} could not be built", root=True, within=900, env=proxies, tethered=True,
    )  # fmt: skip


def scrub(root: Path) -> None:
    """Take out what must not be shared (host keys, machine id, the machine's mirrors), put in what all hosts have."""
    must(
        ["sh", "-c", SCRUB, "sh", str(root), NO_PENALTIES],
        what="the image could not be completed",
        root=True,
        stdin=archive(baked()),
    )


def mark(partial: Path, suite: str) -> None:
    """Write the mark of a whole image, and put all of it on the disk before the rename says so."""
    (partial / "sources.list").unlink(missing_ok=True)
    run(["sync", "-f", str(partial)])
    (partial / "complete.json").write_text(json.dumps({"format": FORMAT, "suite": suite}) + "\n")


def remove(config: LabConfig, path: Path) -> None:
    """Remove a folder of the lab, and whatever is mounted in it first; other paths are our own fault."""
    if not any(path == room or room in path.parents for room in (config.state, config.images)):
        raise AssertionError(f"{path} is not the lab's")
    if path.exists():
        must(["sh", "-c", REMOVE, "sh", str(path)], what=f"{path} could not be removed", root=True)


def partial(config: LabConfig) -> tuple[str, ...]:
    """Names of cut builds."""
    if not config.images.is_dir():
        return ()
    return tuple(sorted(path.name for path in config.images.iterdir() if path.name.endswith(".partial")))
