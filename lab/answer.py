"""Asking the hosts themselves: does ssh answer, is systemd running, do they reach each other."""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lab.config import LabConfig, LabHost
from lab.hosts import side_by_side
from lab.listing import ssh_options
from lab.root import run
from loadproof.plan.shell import quote, ssh_path

PEERS = 4  # each host tries the next ones of the ring: all of them in a small lab, never all of 99
BANNER_POLL_S = 0.02

# Prints systemd's word, then a line "unreached ADDRESS" per host it cannot reach, then "failed UNIT" lines.
ASK = r"""
within=$1; patience=$2; shift 2
timeout "$within" systemctl is-system-running --wait
end=$(($(date +%s) + patience))
for peer in "$@"; do
    until timeout 1 bash -c ": </dev/tcp/$peer/22" 2>/dev/null; do
        [ "$(date +%s)" -lt "$end" ] || { echo "unreached $peer"; break; }
        sleep 0.1
    done
done
systemctl --failed --plain --no-legend | while read -r unit rest; do echo "failed $unit"; done
"""


@dataclass(frozen=True)
class Answer:
    """What a host said. `system` is "" when ssh gave nothing."""

    host: LabHost
    system: str
    unreached: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    error: str = ""

    @property
    def trouble(self) -> str:
        """What is wrong, in words; "" when the host answers and reaches the others."""
        if not self.system:
            return f"no answer on ssh: {self.error or 'silent'}"
        if self.unreached:
            return f"reached from here, but it does not reach {', '.join(self.unreached)}"
        if self.system not in ("running", "degraded"):
            return f"systemd is {self.system}"
        return ""


def ask_all(
    config: LabConfig, hosts: Sequence[LabHost], within: float, peers: Sequence[LabHost] | None = None
) -> list[Answer]:
    """Ask hosts side by side; each gets `within` seconds to answer, boot and reach its neighbours among `peers`."""
    ring = tuple(hosts if peers is None else peers)
    return side_by_side(lambda host: ask(config, host, neighbours(host, ring), within), hosts)


def neighbours(host: LabHost, ring: Sequence[LabHost]) -> tuple[LabHost, ...]:
    """The next hosts of the ring after `host`, at most PEERS."""
    if host not in ring:
        return tuple(ring[:PEERS])
    at = ring.index(host)
    return tuple((*ring[at + 1 :], *ring[:at])[:PEERS])


def ask(config: LabConfig, host: LabHost, peers: Sequence[LabHost], within: float) -> Answer:
    """Ask one host."""
    until = time.monotonic() + within
    banner = wait_for_banner(host.address, until)
    if banner:
        return Answer(host, "", error=banner)
    left = max(2, round(until - time.monotonic()))
    # Neighbours boot at the same time: once this host has booted they need a part of that time at most.
    words = [
        "sh",
        "-c",
        ASK,
        "sh",
        str(left),
        str(max(3, round(within / 3))),
        *(peer.address for peer in peers),
    ]
    done = run(ssh_words(config, host, words), within=2 * within + 10)
    return read_answer(host, done.stdout, done.stderr)


def ssh_words(config: LabConfig, host: LabHost, words: Sequence[str]) -> list[str]:
    """The words that run a command on a host as root, with the lab's key."""
    return [
        "ssh", "-F", "none", "-o", f"IdentityFile={ssh_path(str(config.key))}", *ssh_options(config),
        "-o", "BatchMode=yes", "-o", "ConnectTimeout=5", "-o", "LogLevel=ERROR", f"root@{host.address}", quote(*words),
    ]  # fmt: skip


def read_answer(host: LabHost, stdout: str, stderr: str) -> Answer:
    """What a host's lines mean."""
    lines = stdout.split("\n")
    values = {
        word: tuple(line.split(" ", 1)[1] for line in lines if line.startswith(f"{word} "))
        for word in ("unreached", "failed")
    }
    return Answer(host, lines[0].strip(), values["unreached"], values["failed"], stderr.strip()[-300:])


def wait_for_banner(address: str, until: float) -> str:
    """Wait until an ssh server greets at an address; gives what was seen last, or "" when it greeted."""
    seen = "silent"
    while True:
        try:
            with socket.create_connection(
                (address, 22), timeout=max(0.2, min(1.0, until - time.monotonic()))
            ) as link:
                if link.recv(4) == b"SSH-":
                    return ""
                seen = "something that is not ssh answers on port 22"
        except OSError as error:
            seen = str(error)
        if time.monotonic() >= until:
            return seen
        time.sleep(BANNER_POLL_S)
