"""One virtual machine without KVM: started, asked over ssh, ended by its own process id."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.long.disk import USER, Disk

BOOT_S = 900.0
MEMORY_MB = 6144


@dataclass
class Machine:
    """A running virtual machine."""

    port: int
    place: Path
    process: subprocess.Popen[bytes]
    key: Path
    begun: float = field(default_factory=time.monotonic)

    @property
    def console(self) -> Path:
        """What its serial console said."""
        return self.place / "console.log"

    def ssh(self, command: str) -> list[str]:
        """The words that run a shell command inside as the user."""
        options = (
            "BatchMode=yes", "StrictHostKeyChecking=yes", f"UserKnownHostsFile={self.place / 'known_hosts'}",
            "IdentitiesOnly=yes", "ConnectTimeout=60", "ServerAliveInterval=60", "LogLevel=ERROR",
        )  # fmt: skip
        words = ["ssh", "-F", "none", "-i", str(self.key), "-p", str(self.port)]
        for option in options:
            words += ["-o", option]
        return [*words, f"{USER}@127.0.0.1", command]

    def run(self, command: str, within: float, quiet: bool = False) -> tuple[int, str]:
        """Run a shell command inside and print its lines as they come; exit code (124: too long) and all it said."""
        if not quiet:
            self.say(f"$ {command}")
        lines = []
        with subprocess.Popen(
            ["timeout", "-k", "5", str(within), *self.ssh(command)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        ) as running:  # fmt: skip
            assert running.stdout is not None
            for line in running.stdout:
                lines.append(line)
                if not quiet:
                    self.say(line.rstrip("\n"))
        return running.returncode, "".join(lines)

    def must(self, command: str, within: float, quiet: bool = False) -> str:
        """What a command said that has to work."""
        code, said = self.run(command, within, quiet)
        assert code == 0, f"exit {code} from {command}\n{said[-3000:]}\n--- console\n{self.last_lines()}"
        return said

    def say(self, text: str) -> None:
        """A line with the time since the start, for whoever watches with `pytest -s`."""
        print(f"[{time.monotonic() - self.begun:6.0f} s] {text}", flush=True)

    def last_lines(self, count: int = 15) -> str:
        """The end of the console."""
        try:
            return "\n".join(self.console.read_text(errors="replace").splitlines()[-count:])
        except OSError:
            return ""

    def wait_for_ssh(self) -> None:
        """Until it answers. Fails when QEMU ends before that, or in BOOT_S seconds."""
        until = time.monotonic() + BOOT_S
        while time.monotonic() < until:
            code = self.process.poll()
            assert code is None, f"QEMU ended with {code}\n{self.last_lines()}"
            if self.run("true", 90, quiet=True)[0] == 0:
                return
            time.sleep(1)
        raise AssertionError(f"no answer on ssh within {BOOT_S:.0f} s\n{self.last_lines()}")


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def qemu(disk: Disk, port: int, console: Path) -> list[str]:
    """The words that start it: no window, no way out of its network but the one port that leads in.

    It ends with us, however we end.
    """
    return [
        "nice", "setpriv", "--pdeathsig", "TERM", "qemu-system-x86_64",
        "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(MEMORY_MB),
        "-kernel", str(disk.kernel), "-initrd", str(disk.initrd),
        "-append", "root=/dev/vda rw console=ttyS0 quiet net.ifnames=1 mitigations=off",
        "-drive", f"file={disk.image},format=raw,if=virtio,cache=unsafe",
        "-netdev", f"user,id=wire,restrict=on,hostfwd=tcp:127.0.0.1:{port}-:22",
        "-device", "virtio-net-pci,netdev=wire,romfile=", "-device", "virtio-rng-pci",
        "-display", "none", "-monitor", "none", "-no-reboot", "-serial", f"file:{console}",
    ]  # fmt: skip


@contextlib.contextmanager
def booted(disk: Disk, place: Path) -> Iterator[Machine]:
    """A virtual machine that answers on ssh, ended whatever happens."""
    port, console = free_port(), place / "console.log"
    (place / "known_hosts").write_text(f"[127.0.0.1]:{port} {disk.host_key}\n")
    with console.open("ab") as errors:
        words = qemu(disk, port, console)
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors)
    machine = Machine(port, place, process, disk.key)
    try:
        machine.say("QEMU started")
        machine.wait_for_ssh()
        machine.say("answers on ssh")
        yield machine
    except BaseException:
        print(f"--- the console's last lines\n{machine.last_lines(40)}", flush=True)
        raise
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
