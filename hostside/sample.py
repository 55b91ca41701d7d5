"""Writes every 0.5 s what each process of this host has used, until SIGTERM.

    sample.py [--out FOLDER] [--every SECONDS] [--groups CGROUP_ROOT]

Lines go to FOLDER/sample.jsonl (default /var/lib/loadproof/current): first {"kind":"start", ...}, then one per tick.
Samples that could not be written (a full disk) are counted in a line before the next one that can be:
{"kind":"lost","count","why"}. When `current` is turned to another folder, the next tick opens the file there; SIGUSR1 makes it look at once.

Cheap by one fact: a process that used no CPU since the last tick has not changed its state either, so only its CPU
clock is read (a single system call) and /proc/PID/stat is not.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time

OUT = "/var/lib/loadproof/current"
EVERY_S = 0.5
GROUPS = "/sys/fs/cgroup"
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)


def read(path: str) -> bytes:
    """A file of /proc in one read."""
    file = os.open(path, os.O_RDONLY)
    try:
        return os.read(file, 65536)
    finally:
        os.close(file)


def unit_of(pid: int) -> str:
    """The systemd unit of a process from its cgroup; empty when it is in none."""
    for line in read(f"/proc/{pid}/cgroup").decode("utf-8", "replace").splitlines():
        for part in reversed(line.split("/")):
            if part.endswith((".service", ".scope")):
                return part
    return ""


class Process:
    """One process as last seen. Its text is kept because most processes do not change from tick to tick."""

    def __init__(self, pid: int) -> None:
        self.pid, self.start, self.cpu_ns = pid, -1, -1
        # The CPU clock of another process, all threads, ended ones too: bits as in Linux's posix-timers.h.
        self.clock = ((~pid) << 3) | 2
        self.name, self.named, self.text, self.running = "", "", "", False

    def look(self) -> str:
        """Its entry as JSON. OSError when it is gone."""
        cpu_ns = time.clock_gettime_ns(self.clock)
        if cpu_ns != self.cpu_ns or self.running:
            self.refresh(cpu_ns)
        return self.text

    def refresh(self, cpu_ns: int) -> None:
        """Read name, state and start again: they may be another program's (exec), or another process's."""
        stat = read(f"/proc/{self.pid}/stat").decode("utf-8", "replace")
        before, _, after = stat.rpartition(")")
        words = after.split()
        name, state, start = before.partition("(")[2], words[0], int(words[19])
        if start != self.start or name != self.name:
            # systemd moves a process to its unit before it starts the program, so this need not be asked again.
            self.start, self.name = start, name
            unit = unit_of(self.pid)
            self.named = (
                f'{{"pid":{self.pid},"start":{start},"name":{json.dumps(name)},"unit":{json.dumps(unit)}'
            )
        self.cpu_ns = cpu_ns
        # A process that waits for a CPU uses none and is about to: look again next time.
        self.running = state == "R"
        self.text = f'{self.named},"state":"{state}","cpu_ns":{cpu_ns}}}'


def processes(known: dict[int, Process]) -> tuple[str, dict[int, Process]]:
    """All processes as a JSON list, and as they are now; `known` is how they were at the last tick."""
    texts, now = [], {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            pid = int(entry)
            process = known.get(pid) or Process(pid)
            try:
                texts.append(process.look())
            except (OSError, IndexError):
                # Gone between two system calls.
                continue
            now[pid] = process
    return "[" + ",".join(texts) + "]", now


def cpu(ticks_per_s: int) -> str:
    """Cumulative CPU of the whole host, in µs."""
    user, nice, system, idle, iowait, irq, softirq, steal = (
        int(word) * 1_000_000 // ticks_per_s for word in read("/proc/stat").split(b"\n", 1)[0].split()[1:9]
    )
    return (
        f'{{"user_us":{user + nice},"system_us":{system + irq + softirq},"idle_us":{idle},'
        f'"iowait_us":{iowait},"steal_us":{steal}}}'
    )


class Spent:
    """CPU of all control groups at the top of this host: also that of processes which began and ended between two ticks,
    of which a list of those that live knows nothing. (Not of the root group: on a whole machine its time is counted by
    ticks of the clock, and its only members are threads of the kernel.)"""

    def __init__(self, root: str = GROUPS) -> None:
        self.root, self.total_us = root, 0
        self.known: dict[str, int] | None = None

    def look(self) -> str:
        """What was spent since the first look, in µs; "null" without cgroup v2."""
        with os.scandir(self.root) as entries:
            names = [one.name for one in entries if one.is_dir() and not one.name.endswith(".mount")]
        now = {}
        for name in names:
            with contextlib.suppress(OSError):  # gone, or of cgroup v1
                word, _, rest = read(f"{self.root}/{name}/cpu.stat").partition(b" ")
                if word == b"usage_usec":
                    now[name] = int(rest.partition(b"\n")[0])
        if not now:
            return "null"
        before = now if self.known is None else self.known
        self.total_us += sum(max(0, used - before.get(name, 0)) for name, used in now.items())
        self.known = now
        return str(self.total_us)


def memory() -> str:
    """Total and available memory in kB."""
    found = {}
    for line in read("/proc/meminfo").split(b"\n")[:3]:
        key, _, value = line.partition(b":")
        found[key] = int(value.split()[0])
    return f'{{"total_kb":{found[b"MemTotal"]},"available_kb":{found.get(b"MemAvailable", 0)}}}'


def disk(folder: str) -> str:
    """Room where the folder is, in kB."""
    room = os.statvfs(folder)
    unit = room.f_frsize
    return f'{{"free_kb":{room.f_bavail * unit // 1024},"total_kb":{room.f_blocks * unit // 1024}}}'


def start_line() -> bytes:
    """The first line of a file."""
    line = {
        "kind": "start",
        "host": os.uname().nodename,
        "boot_id": read("/proc/sys/kernel/random/boot_id").decode().strip(),
        "cpus": os.cpu_count(),
        "clock_ticks": os.sysconf("SC_CLK_TCK"),
        "realtime_us": time.time_ns() // 1000,
        "monotonic_ns": time.monotonic_ns(),
    }
    return json.dumps(line).encode() + b"\n"


class Output:
    """The file that is written, wherever `current` leads now."""

    def __init__(self, folder: str) -> None:
        self.folder, self.real, self.file, self.torn = folder, "", -1, False
        self.lost, self.why = 0, ""

    def follow(self) -> None:
        """Open the file of the folder that `current` leads to, when that is another one than before."""
        real = os.path.realpath(self.folder)
        if real == self.real and self.file >= 0:
            return
        if self.file >= 0:
            os.close(self.file)
        self.file = -1
        self.file = os.open(
            f"{real}/sample.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        self.real = real
        self.write(start_line())

    def write(self, line: bytes) -> None:
        """One whole line; one that was cut by a full disk is ended before the next."""
        said = f'{{"kind":"lost","count":{self.lost},"why":{json.dumps(self.why)}}}\n' if self.lost else ""
        data = (b"\n" if self.torn else b"") + said.encode() + line
        self.torn = os.write(self.file, data) != len(data)
        if self.torn:
            self.lose("cut")
        else:
            self.lost = 0

    def lose(self, why: str) -> None:
        """Count a line that is not in the file."""
        self.lost, self.why = self.lost + 1, why


def tick(output: Output, known: dict[int, Process], spent: Spent, ticks_per_s: int) -> dict[int, Process]:
    """Write one line; returns the processes. A full disk or a missing folder costs this line and no more."""
    realtime_us, monotonic_ns = time.time_ns() // 1000, time.monotonic_ns()
    listed, now = processes(known)
    try:
        spent_us = spent.look()
    except OSError:
        spent_us = "null"
    try:
        output.follow()
        line = (
            f'{{"realtime_us":{realtime_us},"monotonic_ns":{monotonic_ns},"processes":{listed},"spent_us":{spent_us},'
            f'"cpu":{cpu(ticks_per_s)},"memory":{memory()},"disk":{disk(output.real)}}}\n'
        )
        output.write(line.encode())
    except OSError as error:
        output.lose(error.strerror or "")
        print(f"a sample was lost: {error}", file=sys.stderr)
    return now


def main(words: list[str]) -> int:
    """Tick until a signal ends it; the last line is whole because signals are taken only between ticks."""
    options = dict(zip(words[::2], words[1::2], strict=True))
    output, every_s = Output(options.get("--out", OUT)), float(options.get("--every", EVERY_S))
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    # Never called, as signals are waited for: it shows the sealer that SIGUSR1 is welcome here.
    signal.signal(signal.SIGUSR1, lambda *_: None)
    known: dict[int, Process] = {}
    spent = Spent(options.get("--groups", GROUPS))
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    due = time.monotonic()
    while True:
        known = tick(output, known, spent, ticks_per_s)
        # Ticks missed while the host was too busy are skipped, not made up for.
        due = max(due + every_s, time.monotonic())
        while (left := due - time.monotonic()) > 0:
            taken = signal.sigtimedwait(SIGNALS, left)
            if taken is None:
                break
            if taken.si_signo != signal.SIGUSR1:
                tick(output, known, spent, ticks_per_s)
                return 0
            with contextlib.suppress(OSError):
                output.follow()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
