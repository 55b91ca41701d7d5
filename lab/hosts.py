"""One host: an overlay on the image, and a systemd-nspawn that boots it. Start, find, stop, take away."""

from __future__ import annotations

import os
import re
import tempfile
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from lab import image, network
from lab.config import LabConfig, LabHost
from lab.processes import end, folder, process
from lab.root import must, run
from loadproof.errors import LabUnavailable

START_S = 20.0  # until nspawn has written its pid; booting comes after
MADE = "etc/.loadproof-made"
T = TypeVar("T")
R = TypeVar("R")

# Where the cache itself is on an overlay (inside containers) the kernel refuses: then the layers live in memory.
MOUNT = r"""
set -e
umask 022
cd "$1"
mkdir -p root upper work
if ! mountpoint -q root; then
    if ! mount -t overlay loadproof -o lowerdir=lower,upperdir=upper,workdir=work root 2>mount.err; then
        mkdir -p ram
        mountpoint -q ram || mount -t tmpfs -o mode=755,size=50% loadproof ram
        mkdir -p ram/upper ram/work
        mount -t overlay loadproof -o lowerdir=lower,upperdir=ram/upper,workdir=ram/work root
    fi
fi
if [ -e "root/$2" ]; then echo kept; else tar -xpf - -C root; touch "root/$2"; echo fresh; fi
printf '%s\n' "$3" >root/root/.ssh/authorized_keys
cat root/etc/ssh/ssh_host_ed25519_key.pub
"""
# $2 is a cgroup of the host's own: started from one cgroup, hosts would share "payload" in it, and the systemd of
# one would kill what another's runs. It is empty where pid 1 is systemd, which makes one for the unit.
BOOT = r"""
umask 022
exec >"$1/console.log" 2>&1 </dev/null
set -e
dir=$1 group=$2 cpus=$3
shift 3
if [ -n "$group" ]; then
    grep -E ' - (cgroup2 |cgroup .*name=systemd)' /proc/self/mountinfo | cut -d' ' -f5 | while read -r at; do
        mkdir -p "$at/$group"
        echo $$ >"$at/$group/cgroup.procs"
    done
fi
echo "$$ $(cut -d' ' -f22 /proc/$$/stat)" >"$dir/pid.new"
mv "$dir/pid.new" "$dir/pid"
exec taskset -c "$cpus" "$@"
"""
# A nspawn that was killed leaves the host's own systemd running: all that is left in the host's cgroup goes too.
LEAVE = r"""
groups=$(grep -E ' - (cgroup2 |cgroup .*name=systemd)' /proc/self/mountinfo | cut -d' ' -f5)
for at in $groups; do
    tries=0
    while [ -d "$at/$2" ] && [ "$tries" -lt 100 ]; do
        pids=$(find "$at/$2" -name cgroup.procs -exec cat {} +)
        [ -z "$pids" ] || kill -KILL $pids
        find "$at/$2" -depth -type d -exec rmdir {} + 2>/dev/null && break
        tries=$((tries + 1))
        sleep 0.02
    done
done
cd "$1" 2>/dev/null || exit 0
for at in root ram; do
    if mountpoint -q "$at"; then umount "$at" || umount -l "$at"; fi
done
rm -f pid
exit 0
"""


def unit(config: LabConfig, host: LabHost) -> str:
    """Name of a host's unit where pid 1 is systemd, and of its cgroup where it is not."""
    return f"loadproof-lab-{config.prefix}{host.name}"


def systemd_here() -> bool:
    """Whether pid 1 of this machine is systemd."""
    return Path("/run/systemd/system").is_dir()


def cpus_for(host: LabHost, cpus: Sequence[int]) -> str:
    """The CPUs of a host: the last one is the load hosts' own where there are two or more."""
    if len(cpus) < 2:
        return ",".join(map(str, cpus))
    return str(cpus[-1]) if host.role == "load" else ",".join(map(str, cpus[:-1]))


def prepare(config: LabConfig, host: LabHost, image_name: str) -> tuple[str, bool]:
    """Mount a host's overlay, with files of its own when it is new. Gives its public host key, and whether it is new."""
    at = folder(config, host)
    at.mkdir(parents=True, exist_ok=True)
    lower = at / "lower"
    if not lower.is_symlink():
        lower.symlink_to(image.root_of(config, image_name))
    said = must(
        ["sh", "-c", MOUNT, "sh", str(at), MADE, public_key(config)],
        what=f"{host.name}: no overlay",
        root=True,
        stdin=own_files(config, host),
    )
    state, public = said.split("\n", 1)
    return " ".join(public.split()[:2]), state == "fresh"


def own_files(config: LabConfig, host: LabHost) -> bytes:
    """A tar of what only this host has: name, address, keys, machine id."""
    private, public = host_key(host.name)
    files = {
        "etc/hostname": f"{host.name}\n",
        "etc/hosts": f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n::1 localhost\n",
        "etc/machine-id": f"{uuid.uuid4().hex}\n",
        "etc/systemd/network/10-loadproof-lab.network": (
            "[Match]\nName=host0\n\n[Network]\n"
            f"Address={host.address}/{config.net.prefixlen}\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
        ),
        "etc/ssh/ssh_host_ed25519_key": private,
        "etc/ssh/ssh_host_ed25519_key.pub": public,
        "root/.ssh/authorized_keys": public_key(config) + "\n",
    }
    modes = {"etc/ssh/ssh_host_ed25519_key": 0o600, "root": 0o700, "root/.ssh": 0o700}
    return image.archive(files, modes)


def public_key(config: LabConfig) -> str:
    """The public half of the lab's own key."""
    return config.key.with_suffix(".pub").read_text().strip()


def admit(config: LabConfig, host: LabHost) -> None:
    """Let the lab's own key in at a host that runs."""
    path = folder(config, host) / "root" / "root" / ".ssh" / "authorized_keys"
    text = public_key(config).encode() + b"\n"
    must(["tee", str(path)], what=f"{host.name}: the key cannot be written", root=True, stdin=text)


def host_key(comment: str) -> tuple[str, str]:
    """A fresh pair of ssh keys: private and public text."""
    with tempfile.TemporaryDirectory(prefix="loadproof-") as place:
        path = Path(place) / "key"
        make_key(path, comment)
        return path.read_text(), path.with_suffix(".pub").read_text()


def make_key(path: Path, comment: str) -> None:
    """Make an ssh key pair at `path` and `path`.pub."""
    must(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)], what="no ssh key")


def boot(config: LabConfig, host: LabHost) -> None:
    """Start a prepared host; comes back when its nspawn runs, long before the host has booted."""
    at = folder(config, host)
    old = (at / "pid").read_text() if (at / "pid").exists() else ""
    with_systemd = systemd_here()
    group = "" if with_systemd else unit(config, host)
    cpus = cpus_for(host, sorted(os.sched_getaffinity(0)))
    script = ["sh", "-c", BOOT, "sh", str(at), group, cpus, *nspawn(config, host, with_systemd)]
    # systemd reads "$$" in a unit's words as "$"
    words = [word.replace("$", "$$") for word in script] if with_systemd else script
    launcher = service(config, host) if with_systemd else ["setsid", "--fork"]
    must([*launcher, *words], what=f"{host.name} could not be started", root=True)
    wait_for_pid(config, host, old)


def nspawn(config: LabConfig, host: LabHost, with_systemd: bool) -> list[str]:
    """The words that boot a host."""
    unified = " - cgroup2 " in Path("/proc/self/mountinfo").read_text()
    return [
        *(["env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1"] if unified else []),
        "systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--boot",
        f"--directory={folder(config, host)}/root", f"--machine={config.prefix}{host.name}",
        f"--hostname={host.name}", f"--network-bridge={config.bridge}",
        "--link-journal=no", "--resolv-conf=off", "--timezone=off",
        *(["--notify-ready=yes"] if with_systemd else []),
    ]  # fmt: skip


def service(config: LabConfig, host: LabHost) -> list[str]:
    """The words that make a unit of it; without Delegate no CPUQuota inside the host would be in force."""
    return [
        "systemd-run", "--quiet", "--no-block", "--collect", f"--unit={unit(config, host)}",
        f"--description=lab host {host.name} of {config.clone}",
        "--slice=machine.slice", "-p", "Type=notify", "-p", "KillMode=mixed", "-p", "Delegate=yes",
        "-p", "TimeoutStopSec=15", "--",
    ]  # fmt: skip


def wait_for_pid(config: LabConfig, host: LabHost, old: str) -> None:
    """Wait for the pid file of a host just started. Raises LabUnavailable with the end of its console."""
    path = folder(config, host) / "pid"
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if path.exists() and path.read_text() != old:
            return
        time.sleep(0.005)
    raise LabUnavailable(
        f"{host.name} did not start within {START_S:.0f} s\n{console(config, host)}",
        where=str(path.parent / "console.log"),
        kept="the other hosts",
        next="inv lab.up, or inv lab.down",
    )


def console(config: LabConfig, host: LabHost, lines: int = 5) -> str:
    """The last lines of a host's console, without colours."""
    try:
        text = (folder(config, host) / "console.log").read_text(errors="replace")
    except OSError:
        return ""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|[^\x20-\x7e\n]", "", text)
    return "\n".join([line for line in plain.splitlines() if line.strip()][-lines:])


def stop(config: LabConfig, hosts: Iterable[LabHost]) -> None:
    """Power hosts off, side by side, and unmount them; hosts that are off already are only unmounted."""
    hosts = tuple(hosts)
    running = [pid for host in hosts if (pid := process(config, host)) is not None]
    if systemd_here() and hosts:
        # also where nspawn was killed: then its unit is still there, and ends what is left in it
        units = [f"{unit(config, host)}.service" for host in hosts]
        run(["systemctl", "stop", *units], root=True, within=40)
        run(["systemctl", "reset-failed", *units], root=True, within=40)
    end(running)
    side_by_side(lambda host: leave(config, host), hosts)


def leave(config: LabConfig, host: LabHost) -> None:
    """Unmount what a stopped host had mounted and remove its cgroup."""
    must(
        ["sh", "-c", LEAVE, "sh", str(folder(config, host)), unit(config, host)],
        what=f"{host.name} could not be unmounted",
        root=True,
    )


def running_cable(config: LabConfig, host: LabHost) -> bool:
    """Whether the machine's end of a host's cable exists at all."""
    return network.exists(network.cable(config, host))


def side_by_side(function: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Call a function for each item in threads; results in order. The first error is raised after all have ended."""
    items = tuple(items)
    if not items:
        return []
    with ThreadPoolExecutor(max_workers=min(32, len(items))) as pool:
        return [future.result() for future in [pool.submit(function, item) for item in items]]
