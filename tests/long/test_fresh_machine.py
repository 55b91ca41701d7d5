"""A newcomer's machine, real and slow: a virtual Debian with systemd as pid 1, a fresh clone in it, `./inv`, and a quota
of 5 % that the kernel holds. Emulated (no KVM): about ten times slower than this machine, so no time is asserted.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest

from tests.long import disk, vm
from tests.long.vm import Machine

pytestmark = [
    pytest.mark.long,
    pytest.mark.timeout(5400),
    pytest.mark.skipif(os.uname().machine != "x86_64", reason="the virtual machine is an x86_64 one"),
]

CLONE = f"""
git -c advice.detachedHead=false clone -q /{disk.HANDED}/repository loadproof && cd loadproof &&
mkdir -p .cache/lab && mv /{disk.HANDED}/image .cache/lab/image && mv /{disk.HANDED}/trees .cache/trees
"""
UP = "./inv lab.up --app 1 --load 1"
# 4 users who do not think saturate 5 % of an emulated CPU, which answers about once a second
BENCH = (
    "./inv bench --servers 1 --limiter quota --cpu-limit 5 --processes 1 --threads 4 "
    "--interval 1s --settle 5s --hold 60s --timeout 20s"
)
# Everything of a lab that could stay on a machine, one thing per line.
LEFT = r"""
ls /sys/class/net | sed 's/^/interface /'
cut -d' ' -f5 /proc/self/mountinfo | grep -e /loadproof/ -e nspawn | sed 's/^/mount /'
for comm in /proc/[0-9]*/comm; do
    name=$(cat "$comm" 2>/dev/null)
    case $name in systemd-nspawn|locust|nginx|cpulimit) echo "process $name" ;; esac
done
systemctl list-units --all --plain --no-legend --no-pager 'loadproof*' '*nspawn*' | sed 's/^/unit /'
sudo find /run /etc /opt /var /root /tmp /home/newcomer -xdev -iname '*loadproof*' -not -path '/home/newcomer/loadproof*' |
    sed 's/^/file /'
find /sys/fs/cgroup -name '*loadproof*' | sed 's/^/cgroup /'
echo "inotify $(cat /proc/sys/fs/inotify/max_user_instances)"
"""


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A virtual machine that has never seen this project; it and its disk are gone afterwards."""
    place = tmp_path_factory.mktemp("vm")
    disk.install_missing()
    try:
        made = disk.make(place)
        with vm.booted(made, place) as machine:
            machine.say(f"commit {made.commit}")
            yield machine
    finally:
        disk.remove(place)


def inv(machine: Machine, words: str, within: float) -> str:
    """A command in the clone, as the user types it."""
    return machine.must(f"cd loadproof && {words}", within)


def left(machine: Machine) -> set[str]:
    """What of a lab, or of anything else that counts, is on the machine."""
    return set(machine.must(LEFT, 300, quiet=True).splitlines())


def limiter_events(machine: Machine) -> list[dict[str, Any]]:
    """What the limiter said, as the trial's journal has it."""
    journal = machine.must("cat loadproof/results/latest/trials/01-*/journal.jsonl", 120, quiet=True)
    rows = [json.loads(line) for line in journal.splitlines() if line.startswith("{")]
    return [row["detail"] for row in rows if row["event"] == "limiter"]


def whole(value: Any) -> bool:
    """Whether a figure is a whole number of things."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def test_a_fresh_machine_where_pid_1_is_systemd(fresh: Machine) -> None:
    assert fresh.must("cat /proc/1/comm", 120).strip() == "systemd"
    assert fresh.must("stat -fc %T /sys/fs/cgroup", 120).strip() == "cgroup2fs"
    fresh.must(CLONE, 600)
    before = left(fresh)
    inv(fresh, UP, 3600)
    units = fresh.must("systemctl list-units --plain --no-legend 'loadproof-lab-*'", 120)
    assert [line.split()[0] for line in units.splitlines()] == [
        f"loadproof-lab-lp-{name}.service" for name in ("app1", "load1", "proxy")
    ]
    inv(fresh, BENCH, 1800)
    inv(fresh, "./inv fetch-results --json >results.txt", 900)
    results = json.loads(fresh.must("cat loadproof/results.txt", 120, quiet=True))
    (trial,) = [trial for arm in results["arms"] for trial in arm["trials"]]
    fresh.say(json.dumps({key: value for key, value in trial.items() if key not in ("servers",)}))
    (server,) = trial["servers"]
    fresh.say(json.dumps(server))
    in_force = [event for event in limiter_events(fresh) if event["event"] == "in_force"]
    assert in_force and all(event["ok"] is True for event in in_force), in_force
    assert server["limit_percent"] == 5
    assert 4.5 <= server["cpu_percent"] <= 5.5, server
    assert results["incomplete"] == [], results["incomplete"]
    counts = [place[key] for place in (trial, trial["whole_run"]) for key in ("requests", "failures")]
    assert all(whole(count) for count in counts) and trial["requests"] > trial["failures"], counts
    assert trial["whole_run"]["requests"] >= trial["requests"] == server["requests"]
    inv(fresh, "test -s results/latest/report.html && rm results.txt", 60)
    inv(fresh, "./inv lab.down --purge", 600)
    assert left(fresh) == before
    assert inv(fresh, "ls -d .cache/lab inventory/lab.yml 2>/dev/null; git status --porcelain", 60) == ""
