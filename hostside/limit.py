"""The limiter's supervisor: holds the app's unit to its share of a CPU, whatever dies.

    limit.py supervise          holds the limit of trial.json until its deadline or a signal (a systemd unit runs this)
    limit.py lift               ends any limit and lets the app continue; safe to repeat (ExecStopPost runs this)
    limit.py status             prints the state file; with --attached exits 0 when the limit is held, else 3

    options: --trial FILE  --out FOLDER  --state FILE

Kinds: cpulimit (a child of ours, re-attached when it or the app dies), quota (the unit's cgroup), none. Each event is
one line of FOLDER/limiter.jsonl. Exits 0, or 78 when the limit cannot be held at all: restarting it would not help.
(Long for one file, because a host program has to be one file.)
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from typing import Any

TRIAL, OUT, STATE = "/run/loadproof/trial.json", "/var/lib/loadproof/current", "/run/loadproof/limit.json"
APP_UNIT = "loadproof-app.service"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
CONTROL = "/run/systemd/system.control"
CANNOT = 78
TICK_S = 0.25  # how often an attached limit is looked at
ASK_S = 0.2  # how often systemd is asked while the app has no process
FROZEN_S = 2.0  # stopped without any CPU progress for so long is frozen: under the limit it is stopped and progresses
FAILS = 10  # so many cpulimits in a row that end at once: it will not work
PR_SET_PDEATHSIG = 1
LIBC = ctypes.CDLL(None)


class Ended(Exception):
    """The supervisor has to end: why, and with which exit code."""

    def __init__(self, why: str, code: int = 0) -> None:
        super().__init__(why)
        self.why, self.code = why, code


# --- processes -----------------------------------------------------------------------------------------


def text_of(path: str) -> str:
    """A file of /proc or /sys; empty when it is gone."""
    try:
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def stat_of(pid: int) -> tuple[str, str, int, int, int] | None:
    """(name, state, parent, process group, start in ticks) of a process; None when it is gone or a zombie."""
    before, _, after = text_of(f"/proc/{pid}/stat").rpartition(")")
    words = after.split()
    if len(words) < 20 or words[0] in "ZX":
        return None
    return before.partition("(")[2], words[0], int(words[1]), int(words[2]), int(words[19])


def start_of(pid: int) -> int:
    """When a process began, in ticks; 0 when it is gone. With the pid it names one process for ever."""
    seen = stat_of(pid) if pid > 0 else None
    return seen[4] if seen else 0


def all_pids() -> list[int]:
    """Every process of this host."""
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def in_unit(pid: int, unit: str) -> bool:
    """Whether a process belongs to a systemd unit; the same under cgroup v1, v2 and both."""
    lines = text_of(f"/proc/{pid}/cgroup").splitlines()
    return any(line.endswith(f"/{unit}") or f"/{unit}/" in line for line in lines)


def family(pid: int, unit: str) -> list[int]:
    """The processes of the app: those of its unit, and the descendants of its main process."""
    parents = {one: seen[2] for one in all_pids() if (seen := stat_of(one))}
    found = {one for one in parents if one == pid or in_unit(one, unit)}
    while more := {one for one, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - {os.getpid()})


def has_children(pid: int) -> bool:
    """Whether a process has forked; asked of its threads, which needs no walk over the whole host."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return False
    return any(text_of(f"/proc/{pid}/task/{thread}/children").strip() for thread in threads)


def send(pid: int, number: int) -> None:
    """A signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def let_go(pid: int, unit: str) -> list[int]:
    """Continue every process of the app, until none is stopped; returns those that stay stopped after 1 s."""
    end = time.monotonic() + 1.0
    while True:
        members = family(pid, unit)
        for member in members:
            send(member, signal.SIGCONT)
        stopped = [member for member in members if (seen := stat_of(member)) and seen[1] == "T"]
        if not stopped or time.monotonic() > end:
            return stopped
        time.sleep(0.01)


def end_group(group: int, program: str) -> None:
    """End all limiters of a process group: with -m, cpulimit leaves one behind for each child of the app."""

    def left() -> list[int]:
        name = os.path.basename(program)[:15]
        seen = {pid: stat_of(pid) for pid in all_pids()}
        return [pid for pid, one in seen.items() if one and one[3] == group and one[0] == name]

    for number, within_s in ((signal.SIGTERM, 1.0), (signal.SIGKILL, 1.0)):
        end = time.monotonic() + within_s
        for pid in left() if group > 0 else []:
            send(pid, number)
            send(pid, signal.SIGCONT)  # a stopped process takes no other signal
        while group > 0 and left() and time.monotonic() < end:
            time.sleep(0.01)


# --- systemd -------------------------------------------------------------------------------------------


def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    """Ask systemd; it may be slow on a loaded host, but not silent for ever."""
    try:
        return subprocess.run(
            ["systemctl", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(words, 1, "", str(error))


def main_pid(unit: str) -> int:
    """The main process of a unit as systemd knows it; 0 when it has none."""
    said = systemctl("show", "--property=MainPID", "--value", unit).stdout.strip()
    return int(said) if said.isdigit() else 0


def quota_files(pid: int, unit: str) -> tuple[float | None, str]:
    """The quota that the kernel holds on a unit's cgroup, in % of one CPU, and where it was read or why not."""
    for line in text_of(f"/proc/{pid}/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not path.endswith(f"/{unit}"):
            continue
        if not controllers:
            for mount in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"):
                words = text_of(f"{mount}{path}/cpu.max").split()
                if len(words) == 2:
                    return (
                        None if words[0] == "max" else int(words[0]) / int(words[1]) * 100
                    ), f"{path}/cpu.max"
        elif "cpu" in controllers.split(","):
            folder = f"/sys/fs/cgroup/{controllers}{path}"
            quota, period = (text_of(f"{folder}/cpu.cfs_{what}_us").strip() for what in ("quota", "period"))
            if quota and period:
                return (
                    None if int(quota) < 0 else int(quota) / int(period) * 100
                ), f"{path}/cpu.cfs_quota_us"
    return None, "the unit has no cpu cgroup of its own: this host was not given the cpu controller"


def quota_in_force(pid: int, unit: str, percent: float) -> tuple[bool, str]:
    """Whether the kernel holds what systemd accepted, and why not."""
    found, where = quota_files(pid, unit)
    if found is not None and abs(found - percent) <= 0.01 * percent:
        return True, f"{found:g} % in {where}"
    read = "no quota" if found is None else f"{found:g} %"
    return False, f"accepted but not in force: {read} ({where})"


# --- the three kinds -----------------------------------------------------------------------------------


def recognise(said: str) -> dict[str, str]:
    """Which of the two programs called cpulimit this is, by its help text. Their common option letters mean the
    same (-l: percent of one CPU); only LimitCPU has -c (CPUs to assume) and -m (watch forks), the other has -i."""
    first = next((line.strip() for line in said.splitlines() if line.strip()), "")
    if "--monitor-forks" in said:
        return {"flavour": "LimitCPU", "version": first, "one_cpu": "-c", "forks": "-m"}
    if "--include-children" in said:
        return {"flavour": "opsengine", "version": "opsengine cpulimit 0.x", "one_cpu": "", "forks": "-i"}
    return {"flavour": "unknown", "version": first, "one_cpu": "", "forks": ""}


def die_with(parent: int) -> None:
    """In the child: end with the supervisor, even if that is killed, or was while this process began."""
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        os._exit(1)


class CpuLimit:
    """cpulimit as our child."""

    def __init__(self, unit: str, percent: float) -> None:
        self.unit, self.percent = unit, percent
        self.program = shutil.which("cpulimit", path=os.environ.get("PATH", PATH)) or ""
        if not self.program:
            raise Ended("no program cpulimit on this host: install the package cpulimit", CANNOT)
        said = subprocess.run([self.program, "-h"], capture_output=True, text=True, timeout=10)
        self.kind = recognise(said.stdout + said.stderr)
        self.child: subprocess.Popen[bytes] | None = None
        self.said, self.forked, self.begun, self.fails = -1, False, 0.0, 0
        self.cpu, self.progress = 0, 0.0

    def about(self) -> dict[str, Any]:
        """What the `started` event says of the program."""
        return {"program": self.program, "version": self.kind["version"], "flavour": self.kind["flavour"]}

    def attach(self, pid: int) -> dict[str, Any]:
        """Start a cpulimit on the app's main process."""
        # It stays so: children that come and go would have the limiter begin anew for each, and the app run free meanwhile.
        self.forked = self.forked or has_children(pid)
        words = [self.program, "-p", str(pid), "-l", f"{self.percent:g}"]
        words += [self.kind["one_cpu"], "1"] if self.kind["one_cpu"] else []
        words += [self.kind["forks"]] if self.forked and self.kind["forks"] else []
        self.said = os.memfd_create("cpulimit")
        self.child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=self.said,
            stderr=self.said,
            process_group=0,
            preexec_fn=functools.partial(die_with, os.getpid()),
        )
        self.begun = self.progress = time.monotonic()
        return {"child": self.child.pid, "child_start": start_of(self.child.pid), "command": " ".join(words)}

    def descriptor(self) -> int:
        """Becomes readable when the child ends."""
        assert self.child is not None
        return os.pidfd_open(self.child.pid)

    def trouble(self, pid: int) -> str:
        """What is wrong with an attached limit; empty: nothing."""
        assert self.child is not None
        if self.child.poll() is not None:
            self.fails = self.fails + 1 if time.monotonic() - self.begun < 1.0 else 0
            last = os.pread(self.said, 500, max(0, os.fstat(self.said).st_size - 500)).decode(
                "utf-8", "replace"
            )
            if self.fails >= FAILS:
                raise Ended(f"cpulimit ends at once, {FAILS} times: {last.strip()}", CANNOT)
            return f"cpulimit: exit {self.child.returncode}: {' '.join(last.split())}".rstrip(": ")
        mine, app = stat_of(self.child.pid), stat_of(pid)
        if mine and mine[1] == "T":
            return "cpulimit: it was stopped, so nothing limits"
        with contextlib.suppress(OSError):
            cpu = time.clock_gettime_ns(((~pid) << 3) | 2)
            if cpu != self.cpu or not app or app[1] != "T":
                self.cpu, self.progress = cpu, time.monotonic()
        if time.monotonic() - self.progress >= FROZEN_S:
            return f"frozen: the app is stopped and made no progress for {FROZEN_S:g} s"
        if not self.forked and self.kind["forks"] and has_children(pid):
            self.forked = True
            return "forked: the app has children now, the limiter has to watch them too"
        return ""

    def detach(self) -> None:
        """End the child and the limiters it made."""
        if self.child is not None:
            end_group(self.child.pid, self.program)
            self.child.wait()
            os.close(self.said)
            self.child = None


class Quota:
    """CPUQuota of the app's unit. systemd keeps it over restarts of the app."""

    def __init__(self, unit: str, percent: float) -> None:
        self.unit, self.percent = unit, percent
        self.held: tuple[bool, str] | None = None

    def about(self) -> dict[str, Any]:
        """What the `started` event says of the program."""
        said = systemctl("--version").stdout.splitlines()
        return {"program": "systemctl", "version": said[0] if said else ""}

    def attach(self, pid: int) -> dict[str, Any]:
        """Set the quota and look whether the kernel holds it; systemd applies it a moment after it answers."""
        asked = systemctl("set-property", "--runtime", self.unit, f"CPUQuota={self.percent:g}%")
        if asked.returncode:
            self.held = (False, f"not accepted: {asked.stderr.strip()}")
        else:
            end = time.monotonic() + 1.0
            self.held = quota_in_force(pid, self.unit, self.percent)
            while not self.held[0] and start_of(pid) and time.monotonic() < end:
                time.sleep(0.05)
                self.held = quota_in_force(pid, self.unit, self.percent)
        return {"child": 0, "in_force": self.held[0], "why": self.held[1]}

    def descriptor(self) -> int:
        """Nothing to wait for."""
        return -1

    def trouble(self, pid: int) -> str:
        """Whether somebody took away a quota that was in force."""
        if self.held and self.held[0] and start_of(pid):
            held, why = quota_in_force(pid, self.unit, self.percent)
            return "" if held else f"quota: {why}"
        return ""

    def detach(self) -> None:
        """The quota stays on the unit until it is lifted: a restarted app is limited from its first moment."""


def remove_quota(unit: str) -> None:
    """Take the quota from a unit, if we set one."""
    if os.path.exists(f"{CONTROL}/{unit}.d/50-CPUQuota.conf"):
        systemctl("set-property", "--runtime", unit, "CPUQuota=")


# --- events and state ----------------------------------------------------------------------------------


class Record:
    """Where events and state go. The file of events is opened for each one, because `current` is turned away."""

    def __init__(self, out: str, state: str) -> None:
        self.out, self.path = out, state
        try:
            self.state: dict[str, Any] = json.loads(text_of(state))
        except ValueError:
            self.state = {}

    def event(self, name: str, **fields: Any) -> None:
        """Append one event. A full disk must not end the limit."""
        stamp = {"realtime_us": time.time_ns() // 1000, "monotonic_ns": time.monotonic_ns()}
        line = json.dumps(stamp | {"event": name} | fields)
        try:
            with open(f"{self.out}/limiter.jsonl", "a") as file:
                file.write(line + "\n")
        except OSError as error:
            print(f"{error}: {line}", file=sys.stderr, flush=True)

    def save(self, **fields: Any) -> None:
        """Change the state file, atomically."""
        self.state |= fields
        os.makedirs(os.path.dirname(self.path), mode=0o755, exist_ok=True)
        with open(f"{self.path}.{os.getpid()}", "w") as file:
            json.dump(self.state, file)
        os.rename(f"{self.path}.{os.getpid()}", self.path)

    def other(self) -> int:
        """Pid of another supervisor at work; 0: none."""
        pid = int(self.state.get("supervisor") or 0)
        if pid in (0, os.getpid()) or self.state.get("supervisor_start") != start_of(pid):
            return 0
        return pid

    def clear(self) -> bool:
        """Undo what a supervisor left that could not end itself; says whether there was anything."""
        left = self.state.get("state") in ("starting", "waiting", "attached")
        unit, pid = self.state.get("unit", APP_UNIT), int(self.state.get("pid") or 0)
        end_group(int(self.state.get("child") or 0), self.state.get("program", "cpulimit"))
        remove_quota(unit)
        stopped = let_go(pid if start_of(pid) == self.state.get("pid_start") else 0, unit)
        if stopped:
            self.event("gone", what=f"frozen: {stopped} stay stopped")
        if left:
            self.event("gone", what="supervisor")
            self.event("lifted", pid=pid)
        self.save(state="lifted" if left else self.state.get("state", "none"), child=0)
        return left


# --- the supervisor --------------------------------------------------------------------------------------


class Supervisor:
    """Holds one limit until it is told to end, or its time is over."""

    def __init__(self, trial: dict[str, Any], record: Record) -> None:
        self.record, self.settings = record, trial["limiter"]
        self.unit, self.signal_end = self.settings["unit"], self.wake_on_signals()
        name = {"run": trial.get("run"), "trial": trial.get("trial"), "pid1_start": start_of(1)}
        known = {key: record.state.get(key) for key in name} == name
        deadline = record.state.get("deadline_ns") if known else None
        # A restarted supervisor keeps the first one's deadline, or the limit would outlive the trial.
        self.deadline_ns = deadline or time.monotonic_ns() + int(trial.get("deadline_s", 3600) * 1e9)
        record.state = name | {"deadline_ns": self.deadline_ns} | self.settings
        me = os.getpid()
        record.save(format=1, state="starting", pid=0, child=0, supervisor=me, supervisor_start=start_of(me))

    @staticmethod
    def wake_on_signals() -> int:
        """A descriptor on which each signal that ends us arrives as a byte."""
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        return read_end

    def wait(self, seconds: float, *descriptors: int) -> None:
        """Until a descriptor is ready or the time is over; raises Ended on a signal or at the deadline."""
        left_s = (self.deadline_ns - time.monotonic_ns()) / 1e9
        poll = select.poll()
        for one in (self.signal_end, *descriptors):
            if one >= 0:
                poll.register(one, select.POLLIN)
        ready = [one for one, _ in poll.poll(max(0.0, min(seconds, left_s)) * 1000)]
        if self.signal_end in ready:
            raise Ended(signal.Signals(os.read(self.signal_end, 1)[0]).name)
        if time.monotonic_ns() >= self.deadline_ns:
            raise Ended("deadline")

    def next_pid(self) -> int:
        """Wait until systemd knows a living main process of the app."""
        begun = time.monotonic()
        while True:
            pid = main_pid(self.unit)
            if start_of(pid):
                return pid
            self.wait(ASK_S if time.monotonic() - begun < 10 else 2 * ASK_S)

    def hold(self, limiter: CpuLimit | Quota, pid: int) -> None:
        """Attach to one process and watch until it, or the limit on it, is gone."""
        try:
            app = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        begun = start_of(pid)
        about = limiter.attach(pid)
        self.record.save(state="attached", pid=pid, pid_start=begun, **about)
        self.record.event("attached", pid=pid, **about)
        if "in_force" in about:
            self.record.event("in_force", ok=about["in_force"], why=about["why"])
        child, what = limiter.descriptor(), ""
        try:
            while not what:
                self.wait(TICK_S, app, child)
                what = "app" if start_of(pid) != begun else limiter.trouble(pid)
            self.record.event("gone", what=what)
        except Ended as ended:
            what = ended.why
            raise
        finally:
            # First of all the app continues; then the limiter ends, then once more, for what it did in between.
            send(pid, signal.SIGCONT)
            limiter.detach()
            let_go(pid, self.unit)
            self.record.event("detached", pid=pid, reason=what)
            for one in (app, child):
                if one >= 0:
                    os.close(one)
        self.record.save(state="waiting", pid=0, child=0)

    def run(self) -> None:
        """Hold the limit until Ended is raised."""
        kind, percent = self.settings["kind"], self.settings["percent"]
        if kind not in ("cpulimit", "quota", "none"):
            raise Ended(f"no limiter of kind {kind!r}", CANNOT)
        if kind == "none":
            self.record.event(
                "started", limiter=kind, percent=percent, unit=self.unit, program="", version=""
            )
            self.record.save(state="attached")
            while True:
                self.wait(60)
        limiter = CpuLimit(self.unit, percent) if kind == "cpulimit" else Quota(self.unit, percent)
        about = limiter.about()
        self.record.event("started", limiter=kind, percent=percent, unit=self.unit, **about)
        self.record.save(state="waiting", **about)
        while True:
            self.hold(limiter, self.next_pid())
            # Never attach without a pause: what fails at once would fail a thousand times a second.
            self.wait(0.05)

    def end(self, why: Ended) -> None:
        """Lift the limit for good and say so."""
        pid = self.record.state["pid"]
        remove_quota(self.unit)
        stopped = let_go(pid, self.unit)
        if stopped:
            self.record.event("gone", what=f"frozen: {stopped} stay stopped")
        self.record.event("lifted", pid=pid)
        self.record.event("ended", why=why.why)
        self.record.save(state="ended", ended=why.why, child=0)


def supervise(trial_path: str, record: Record) -> int:
    """Hold the limit of the trial in progress."""
    if other := record.other():
        print(f"another supervisor is at work: pid {other}", file=sys.stderr)
        return CANNOT
    record.clear()
    try:
        trial = json.loads(text_of(trial_path))
        supervisor = Supervisor(trial, record)
    except (ValueError, KeyError, TypeError) as error:
        record.event("ended", why=f"{trial_path} cannot be read: {error}")
        record.save(state="ended", ended=f"{trial_path} cannot be read: {error}")
        return CANNOT
    try:
        supervisor.run()
    except Ended as ended:
        supervisor.end(ended)
        print(f"ended: {ended.why}", file=sys.stderr)
        return ended.code
    raise AssertionError("a supervisor ends by Ended")


def lift(record: Record) -> int:
    """End any limit for real, with or without a supervisor."""
    if other := record.other():
        for number in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + 3.0
            send(other, number)
            while record.other() and time.monotonic() < end:
                time.sleep(0.02)
        record = Record(record.out, record.path)
    left = record.clear()
    print(json.dumps({"lifted": left, "state": record.state.get("state")}))
    return 0


def status(record: Record, attached: bool) -> int:
    """Print the state file, and whether its supervisor lives."""
    alive = bool(record.other())
    print(json.dumps(record.state | {"alive": alive}))
    return 0 if not attached or (alive and record.state.get("state") == "attached") else 3


def main(words: list[str]) -> int:
    """Run one word with its options."""
    attached = "--attached" in words
    words = [word for word in words if word != "--attached"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    if words[:1] not in (["supervise"], ["lift"], ["status"]) or options.keys() - {
        "--trial",
        "--out",
        "--state",
    }:
        print(__doc__, file=sys.stderr)
        return 64
    record = Record(options.get("--out", OUT), options.get("--state", STATE))
    if words[0] == "supervise":
        return supervise(options.get("--trial", TRIAL), record)
    return lift(record) if words[0] == "lift" else status(record, attached)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
