"""The host programs on a lab host: real systemd, real cpulimit, real apt. Units and folders of the test's own."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.hostside.conftest import HOSTSIDE, until

pytestmark = pytest.mark.lab

BASE = "/run/loadproof-hs"
APP, LIMIT = "loadproof-hs-app.service", "loadproof-hs-limit.service"
OPTIONS = f"--trial {BASE}/trial.json --out {BASE}/out --state {BASE}/limit.json"
APP_UNIT = """\
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 -I -S {base}/app.py
Restart=always
RestartSec=100ms
TimeoutStopSec=5
"""
LIMIT_UNIT = """\
[Unit]
StartLimitIntervalSec=0
[Service]
ExecStart=/usr/bin/python3 -I -S {base}/limit.py supervise {options}
ExecStopPost=/usr/bin/python3 -I -S {base}/limit.py lift {options}
Restart=on-failure
RestartSec=200ms
RestartPreventExitStatus=78
TimeoutStopSec=5
"""
BUSY = "while True: pass\n"
FORKING = "import os\nos.fork()\nwhile True: pass\n"


class Remote:
    """One lab host over plain ssh."""

    def __init__(self, inventory: Path, name: str) -> None:
        data = YAML(typ="safe").load(inventory.read_text())["all"]
        groups = [group["hosts"] for group in data["children"].values()]
        host = next(hosts[name] for hosts in groups if name in hosts)
        common = data["vars"]
        self.words = ["ssh", "-i", common["ansible_ssh_private_key_file"], "-o", "BatchMode=yes"]
        self.words += [*shlex.split(common["ansible_ssh_common_args"]), f"root@{host['ansible_host']}"]

    def run(self, command: str, stdin: bytes = b"", ok: bool = True) -> str:
        """A shell command as root; its output."""
        done = subprocess.run([*self.words, command], input=stdin, capture_output=True, timeout=120)
        assert done.returncode == 0 or not ok, f"{command}: {done.stdout!r} {done.stderr!r}"
        return done.stdout.decode()

    def put(self, path: str, data: bytes) -> None:
        """Write a file."""
        self.run(f"mkdir -p $(dirname {path}) && cat > {path}", data)

    def program(self, name: str, *words: str, stdin: bytes = b"") -> Any:
        """Run a host program of this clone and read its answer."""
        self.put(f"{BASE}/{name}.py", (HOSTSIDE / f"{name}.py").read_bytes())
        quoted = " ".join(f"'{word}'" for word in words)
        return json.loads(self.run(f"/usr/bin/python3 -I -S {BASE}/{name}.py {quoted}", stdin))


class Limited(Remote):
    """An app host with an app and a limiter of the test's own."""

    def open(self) -> None:
        """Put everything there; nothing runs yet."""
        self.run(f"rm -rf {BASE}; mkdir -p {BASE}/out")
        self.put(f"{BASE}/limit.py", (HOSTSIDE / "limit.py").read_bytes())
        self.put(f"/run/systemd/system/{APP}", APP_UNIT.format(base=BASE).encode())
        self.put(f"/run/systemd/system/{LIMIT}", LIMIT_UNIT.format(base=BASE, options=OPTIONS).encode())
        self.run("systemctl daemon-reload")

    def close(self) -> None:
        """Leave nothing behind."""
        self.run(f"systemctl stop {LIMIT} {APP}; systemctl reset-failed {LIMIT} {APP} 2>/dev/null; true")
        self.run(f"rm -rf {BASE} /run/systemd/system/loadproof-hs-* {CONTROL}; systemctl daemon-reload")

    def start(self, kind: str, text: str = BUSY, deadline_s: float = 120) -> None:
        """Start the app, then the limiter, and wait until it says that it is attached."""
        limiter = {"kind": kind, "percent": 5, "unit": APP}
        trial = {"run": "r", "trial": kind, "deadline_s": deadline_s, "limiter": limiter}
        self.put(f"{BASE}/trial.json", json.dumps(trial).encode())
        self.put(f"{BASE}/app.py", text.encode())
        self.run(f"systemctl start {APP} {LIMIT}")
        until(lambda: self.status().get("state") == "attached", "attached", 10)

    def status(self) -> Any:
        """What the limiter says of itself."""
        return json.loads(self.run(f"/usr/bin/python3 -I -S {BASE}/limit.py status {OPTIONS}"))

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """The events so far, or those of one name."""
        lines = self.run(f"cat {BASE}/out/limiter.jsonl", ok=False).splitlines()
        return [event for event in map(json.loads, lines) if not name or event["event"] == name]

    def shown(self, key: str, unit: str = APP) -> str:
        """A property of a unit."""
        return self.run(f"systemctl show --value -p {key} {unit}").strip()

    def share(self, seconds: float) -> float:
        """CPU of the app's processes over some seconds, % of one CPU, by their CPU clocks."""
        return float(self.run(f"/usr/bin/python3 -I -S - {APP} {seconds}", SHARE.encode()))

    def runs_free(self) -> bool:
        """Whether the app's processes are never seen stopped in 200 looks, and make progress."""
        return self.run(f"/usr/bin/python3 -I -S - {APP} 1 free", SHARE.encode()).strip() == "True"

    def monotonic_ns(self) -> int:
        """The host's clock."""
        return int(self.run("/usr/bin/python3 -I -S -c 'import time; print(time.monotonic_ns())'"))


CONTROL = f"/run/systemd/system.control/{APP}.d"
SHARE = """
import os, sys, time
def members():
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and sys.argv[1] in open(f"/proc/{name}/cgroup").read():
                yield int(name)
        except OSError:
            pass
def used():
    return sum(time.clock_gettime_ns(((~pid) << 3) | 2) for pid in members())
before, begun, stopped = used(), time.monotonic_ns(), False
if sys.argv[3:]:
    for _ in range(200):
        time.sleep(float(sys.argv[2]) / 200)
        stopped |= any(open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()[0] == "T" for pid in members())
    print(not stopped and used() > before)
else:
    time.sleep(float(sys.argv[2]))
    print((used() - before) / (time.monotonic_ns() - begun) * 100)
"""


@pytest.fixture
def host(lab_inventory: Path) -> Iterator[Limited]:
    """The first app host of the lab."""
    made = Limited(lab_inventory, "app1")
    made.open()
    yield made
    made.close()


def gap_s(events: list[dict[str, Any]], since_ns: int) -> float:
    """Seconds from a moment to the next attach after it."""
    return min(
        float(one["monotonic_ns"] - since_ns) / 1e9 for one in events if one["monotonic_ns"] > since_ns
    )


def test_cpulimit_holds_and_whatever_is_killed_is_limited_again(host: Limited) -> None:
    host.start("cpulimit")
    started = host.events("started")[0]
    assert started["flavour"] == "LimitCPU" and started["program"].startswith("/")
    assert 1 < host.share(5) < 20

    now = host.monotonic_ns()
    host.run(f"kill -9 {host.status()['child']}")
    until(lambda: len(host.events("attached")) == 2, "a new cpulimit")
    assert gap_s(host.events("attached"), now) < 1.0 + 0.5  # the ssh command itself takes some of it

    host.run(f"kill -9 {host.shown('MainPID')}")
    until(lambda: len(host.events("attached")) == 3, "the new app is limited")
    known_ns = int(host.shown("ExecMainStartTimestampMonotonic")) * 1000
    # systemd's clock and ours are both CLOCK_MONOTONIC of this kernel.
    assert gap_s(host.events("attached"), known_ns) < 1.0
    assert str(host.events("attached")[2]["pid"]) == host.shown("MainPID")

    now = host.monotonic_ns()
    host.run(f"kill -9 {host.shown('MainPID', LIMIT)}")
    until(lambda: len(host.events("attached")) == 4, "the new supervisor limits")
    assert gap_s(host.events("attached"), now) < 2.0 + 0.5
    assert 1 < host.share(3) < 20
    whats = [event["what"].partition(":")[0] for event in host.events("gone")]
    assert whats == ["cpulimit", "app", "supervisor"]

    host.run(f"systemctl stop {LIMIT}")
    assert host.runs_free()
    assert host.run("pgrep -x cpulimit -a", ok=False).count(f"-p {host.shown('MainPID')} ") == 0


def test_forks_are_held_too_and_their_limiters_end(host: Limited) -> None:
    host.start("cpulimit", FORKING)
    until(lambda: host.events("attached")[-1]["command"].endswith(" -m"), "children are watched")
    assert 1 < host.share(5) < 40
    assert len(host.run("pgrep -x cpulimit").split()) >= 2
    host.run(f"systemctl stop {LIMIT}")
    assert host.runs_free()
    assert not host.run("pgrep -x cpulimit", ok=False)


def test_quota_says_truly_whether_it_is_in_force(host: Limited) -> None:
    host.start("quota")
    event = until(lambda: host.events("in_force"), "in_force")[0]
    if event["ok"]:
        assert host.share(3) < 8
    else:
        assert event["why"].startswith("accepted but not in force")
        assert not host.run(f"find /sys/fs/cgroup -path '*{APP}/cpu.max'")
    host.run(f"systemctl stop {LIMIT}")
    assert host.shown("CPUQuotaPerSecUSec") == "infinity"
    assert host.runs_free()
    assert host.program("facts", json.dumps({"units": [APP]}))["units"][APP]["needs_reload"] is False


def test_its_time_is_over(host: Limited) -> None:
    host.start("cpulimit", deadline_s=3)
    until(lambda: host.shown("ActiveState", LIMIT) == "inactive", "ended by itself", 10)
    assert host.events("ended")[0]["why"] == "deadline"
    assert host.runs_free()


def test_facts_of_real_units(host: Limited) -> None:
    host.put(f"{BASE}/app.py", BUSY.encode())
    host.run(f"systemctl start {APP}")
    names = [APP, LIMIT, "ssh.service", "no-such-thing.service", "loadproof-hs-none@.service"]
    begun = time.monotonic()
    answer = host.program("facts", json.dumps({"units": names, "ports": [22]}))
    assert time.monotonic() - begun < 5
    units = answer["units"]
    assert (units[APP]["active"], units[APP]["sub"]) == ("active", "running")
    assert str(units[APP]["pid"]) == host.shown("MainPID") and units[APP]["unit_file"] is True
    assert units[LIMIT]["active"] == "inactive" and units[LIMIT]["unit_file"] is True
    assert units["no-such-thing.service"]["unit_file"] is False
    assert units["loadproof-hs-none@.service"]["active"] == "inactive"
    assert answer["ports"]["22"]["name"] in ("sshd", "systemd")
    host.run(f"sed -i s/100ms/200ms/ /run/systemd/system/{APP}")
    assert host.program("facts", json.dumps({"units": [APP]}))["units"][APP]["needs_reload"] is True


def test_seal_parts_a_log_that_systemd_opened(host: Limited) -> None:
    out = f"{BASE}/var/trials/r/01"
    host.run(f"mkdir -p {out} {BASE}/var/idle && ln -s {out} {BASE}/var/current")
    unit = APP_UNIT.format(base=BASE) + f"StandardOutput=append:{BASE}/var/current/app.log\n"
    host.put(f"/run/systemd/system/{APP}", unit.encode())
    host.put(f"{BASE}/app.py", b"import time\nwhile True: print('line', flush=True); time.sleep(0.01)\n")
    host.run(f"systemctl daemon-reload; systemctl start {APP}")
    until(lambda: host.run(f"cat {out}/app.log", ok=False), "it writes")
    asked = json.dumps({"run": "r", "trial": "01", "host": "app1", "out": out})
    first = host.program("seal", "--var", f"{BASE}/var", asked)
    assert [file["path"] for file in first["files"]] == ["app.log"] and "held" not in first
    assert host.program("seal", "--var", f"{BASE}/var", asked) == first


@pytest.fixture
def debs(tmp_path: Path) -> Path:
    """The packages as the lab's own sources have them today; this machine's own package lists may be old."""
    names = ["cpulimit", "nginx-light", "nginx", "nginx-common", "libnginx-mod-http-echo"]
    lists, folder = tmp_path / "lists", tmp_path / "debs"
    for path in (lists / "partial", folder):
        path.mkdir(parents=True)
    apt = ["apt-get", "-q", "-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={tmp_path}"]
    for words in (["update"], ["download", *names]):
        done = subprocess.run([*apt, *words], cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folder


def test_purged_packages_come_back_from_a_local_folder(lab_inventory: Path, debs: Path) -> None:
    host = Remote(lab_inventory, "load1")  # neither is needed on a load host
    nginx, before = "nginx.service", host.run("dpkg-query -W -f '${Package}\\n'")
    host.run("DEBIAN_FRONTEND=noninteractive apt-get purge -y -q 'nginx*' 'libnginx*' cpulimit")
    # The image masks nginx for good; a bare host does not.
    masked = host.run(f"cd /etc/systemd/system && [ -L {nginx} ] && rm {nginx} && echo yes; true")
    host.run("systemctl daemon-reload")
    for path in debs.glob("*.deb"):
        host.put(f"{BASE}/debs/{path.name.replace(':', '_').replace('%3a', '_')}", path.read_bytes())
    lists = host.run("ls -lR /etc/apt /var/lib/apt/lists")
    steps = [
        {"do": "mask", "unit": nginx},
        {"do": "package", "program": "nginx", "package": "nginx-light", "folder": f"{BASE}/debs"},
        {"do": "package", "program": "cpulimit", "package": "cpulimit", "folder": f"{BASE}/debs"},
    ]
    answer = host.program("install", stdin=json.dumps(steps).encode())
    assert answer["failed"] is None
    assert [done["changed"] for done in answer["done"]] == [True, True, True]
    assert host.run("command -v nginx cpulimit").split() == ["/usr/sbin/nginx", "/usr/bin/cpulimit"]
    assert host.run(f"systemctl is-active {nginx}", ok=False).strip() == "inactive"
    assert host.run("ls -lR /etc/apt /var/lib/apt/lists") == lists
    again = host.program("install", stdin=json.dumps(steps).encode())
    assert [done["changed"] for done in again["done"]] == [False, False, False]
    packages = json.loads(host.run("cat /var/lib/loadproof/packages.json"))["packages"]
    assert {"nginx-light", "cpulimit"} <= {entry["name"] for entry in packages}
    missing = host.program(
        "install",
        stdin=json.dumps(
            [{"do": "package", "program": "x", "package": "none", "folder": f"{BASE}/debs"}]
        ).encode(),
    )
    assert missing["failed"]["exit"] == 100 and "none" in missing["failed"]["last_lines"]
    # It does not start with the next boot either, when our mask is gone.
    assert nginx not in host.run("ls /etc/systemd/system/*.wants")
    host.run(f"systemctl unmask --runtime {nginx}; rm -rf {BASE} /var/lib/loadproof/packages.json")
    if masked:
        host.run(f"systemctl mask {nginx}")
    assert host.run("dpkg-query -W -f '${Package}\\n'") == before
