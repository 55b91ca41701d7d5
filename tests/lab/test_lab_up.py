"""A lab of real hosts: made, left alone, added to, repaired."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from lab import hosts, listing, network, processes
from lab.config import LabConfig, LabState
from lab.down import down
from lab.machine import found
from lab.status import status
from lab.up import needed, up
from loadproof.errors import LabUnavailable, Refused
from tests.lab.asking import host, on, wait_until

pytestmark = pytest.mark.lab


def pids(state: LabState) -> dict[str, int | None]:
    return {one.host.name: one.pid for one in state.hosts}


def ready(config: LabConfig) -> LabState:
    """The small lab, up: one app, one proxy, one load host at least."""
    state = up(None if hosts_exist(config) else 1, None, config=config)
    assert state.up
    return state


def hosts_exist(config: LabConfig) -> bool:
    return bool(status(config).hosts)


def test_up_makes_hosts_that_answer_and_a_second_up_changes_nothing(standing: LabConfig) -> None:
    said: list[str] = []
    state = up(1, None, say=said.append, config=standing)
    assert state.up and [one.system for one in state.hosts] == ["running"] * 3
    assert state.changed and tuple(said) == state.changed
    assert standing.inventory.read_text() == listing.text(standing, [one.host for one in state.hosts])
    again = up(config=standing)
    assert again.changed == () and pids(again) == pids(state)
    assert needed(config=standing).lines() == ()
    assert status(standing).up


def test_hosts_are_machines_of_their_own(standing: LabConfig) -> None:
    ready(standing)
    asked = (
        "hostname; cat /etc/machine-id; cat /etc/ssh/ssh_host_*_key.pub; systemctl is-enabled nginx; id -u"
    )
    answers = [on(standing, name, "sh", "-c", asked).splitlines() for name in ("app1", "proxy", "load1")]
    assert [answer[0] for answer in answers] == ["app1", "proxy", "load1"]
    for same in (1, 2):
        assert len({answer[same] for answer in answers}) == 3
    assert all(len(answer) == 5 and answer[3:] == ["masked", "0"] for answer in answers)
    known = standing.known_hosts.read_text().split()
    assert all(answer[2].split()[1] in known for answer in answers)


def test_hosts_have_programs_pinned_cpus_and_no_way_out(standing: LabConfig) -> None:
    ready(standing)
    routes = on(standing, "app1", "ip", "route").splitlines()
    assert len(routes) == 1 and routes[0].startswith(str(standing.net)), routes
    assert on(standing, "app1", "sh", "-c", "which nginx cpulimit python3 zstd nft sudo | wc -l") == "6"
    cpus = {
        name: on(standing, name, "sh", "-c", "grep Cpus_allowed_list /proc/self/status")
        for name in ("app1", "load1")
    }
    if len(os.sched_getaffinity(0)) > 1:
        assert cpus["app1"] != cpus["load1"]


def test_more_hosts_are_added_fewer_are_refused_and_one_can_be_removed(standing: LabConfig) -> None:
    before = ready(standing)
    more = up(2, None, config=standing)
    assert more.count("app") == 2 and more.up
    assert {name: pid for name, pid in pids(more).items() if name != "app2"} == pids(before)
    with pytest.raises(Refused) as caught:
        up(1, None, config=standing)
    assert caught.value.next == "inv lab.down --host app2"
    assert pids(up(config=standing)) == pids(more)
    assert down(host="app2", config=standing).hosts == ("app2",)
    after = status(standing)
    assert after.up and pids(after) == pids(before)
    assert not processes.folder(standing, more.hosts[1].host).exists()


def kill_host(config: LabConfig) -> None:
    pid = processes.process(config, host(config, "app1"))
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: processes.process(config, host(config, "app1")) is None, "nspawn is gone")


def overlay_only(config: LabConfig) -> None:
    hosts.stop(config, [host(config, "app1")])
    hosts.prepare(config, host(config, "app1"), "")


def silence_ssh(config: LabConfig) -> None:
    on(config, "app1", "systemctl", "stop", "ssh.socket", "ssh.service")


def drop_bridge(config: LabConfig) -> None:
    network.remove(config)


def unplug(config: LabConfig) -> None:
    subprocess.run(
        ["ip", "link", "set", "dev", network.cable(config, host(config, "app1")), "down"], check=True
    )


def unmount(config: LabConfig) -> None:
    subprocess.run(["umount", "-l", str(processes.folder(config, host(config, "app1")) / "root")], check=True)


def half_written(config: LabConfig) -> None:
    hosts.stop(config, [host(config, "app1")])
    at = processes.folder(config, host(config, "app1"))
    for path in (at / "upper" / hosts.MADE, at / "upper/etc/ssh/ssh_host_ed25519_key"):
        path.unlink()


def forget_record(config: LabConfig) -> None:
    config.record.unlink()


def forget_owner(config: LabConfig) -> None:
    config.owner.unlink()


def stale_inventory(config: LabConfig) -> None:
    config.inventory.write_text(config.inventory.read_text().replace("198.18.", "198.19."))


def lost_known_hosts(config: LabConfig) -> None:
    config.known_hosts.unlink()


def lost_key(config: LabConfig) -> None:
    config.key.unlink()


def forgotten_by_the_lab(config: LabConfig) -> None:
    """No record, no keys, no list of hosts: only the hosts themselves."""
    for path in (config.record, config.key.with_suffix(".pub"), config.known_hosts, config.inventory):
        path.unlink()


DAMAGES: list[tuple[Callable[[LabConfig], None], bool]] = [
    (kill_host, True),
    (overlay_only, True),
    (silence_ssh, True),
    (unmount, True),
    (half_written, True),
    (drop_bridge, False),
    (unplug, False),
    (forget_owner, False),
    (stale_inventory, False),
    (lost_known_hosts, False),
    (lost_key, False),
    (forgotten_by_the_lab, False),
]


# of the five that start a host again, which takes 15 s and more, three are in every run
LONG = (overlay_only, silence_ssh)
EACH_DAMAGE = [
    pytest.param(*one, id=one[0].__name__, marks=[pytest.mark.long] if one[0] in LONG else [])
    for one in DAMAGES
]


@pytest.mark.parametrize(("damage", "restarts"), EACH_DAMAGE)
def test_a_half_made_lab_is_repaired(
    standing: LabConfig, damage: Callable[[LabConfig], None], restarts: bool
) -> None:
    before = ready(standing)
    damage(standing)
    assert not status(standing, within=0.5).up
    after = up(config=standing)
    assert after.up and after.changed
    survivors = {name: pid for name, pid in pids(after).items() if name != "app1" or not restarts}
    assert survivors.items() <= pids(before).items(), "a host that stood was started again"
    assert up(config=standing).changed == ()


def test_running_hosts_whose_record_is_lost_are_taken_up_again(standing: LabConfig) -> None:
    before = ready(standing)
    standing.record.unlink()
    after = up(config=standing)
    assert after.up and pids(after) == pids(before), (
        "as many as there were, not as many as there are by default"
    )


def test_a_failed_unit_of_somebodys_does_not_restart_a_host(standing: LabConfig) -> None:
    before = ready(standing)
    on(standing, "app1", "systemd-run", "--unit=broken", "false")
    wait_until(
        lambda: on(standing, "app1", "systemctl", "is-failed", "broken") == "failed", "the unit has failed"
    )
    after = up(config=standing)
    assert after.up and after.changed == () and pids(after) == pids(before)
    assert {one.host.name: one.system for one in after.hosts}["app1"] == "degraded"
    on(standing, "app1", "systemctl", "reset-failed")


def test_two_ups_at_once_make_one_lab(standing: LabConfig) -> None:
    down(config=standing)
    states: list[LabState] = []
    threads = [threading.Thread(target=lambda: states.append(up(1, None, config=standing))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(states) == 2 and all(state.up for state in states)
    assert pids(states[0]) == pids(states[1])
    assert sorted(bool(state.changed) for state in states) == [False, True]


@pytest.mark.skipif(found("nft") is None, reason="no nft here: apt-get install nftables")
def test_a_rule_that_keeps_hosts_apart_is_named(standing: LabConfig) -> None:
    before = ready(standing)
    table = f"bridge {standing.bridge.replace('-', '_')}"
    cables = f'iifname "vb-{standing.prefix}*" oifname "vb-{standing.prefix}*" drop'
    rules = f"table {table} {{ chain apart {{ type filter hook forward priority 0; {cables}; }}; }}"
    subprocess.run(["nft", rules], check=True)
    try:
        # the bridge's own filter keeps hosts apart, while this machine reaches each of them
        with pytest.raises(LabUnavailable, match="does not reach") as caught:
            up(config=standing)
        assert "chain apart" in caught.value.what and "drop" in caught.value.what
        assert standing.bridge in caught.value.where and caught.value.next and caught.value.kept
        assert not standing.inventory.exists()
    finally:
        subprocess.run(["nft", f"delete table {table}"], check=True)
    assert pids(up(config=standing)) == pids(before)


def test_another_net_or_suite_for_hosts_that_exist_is_refused(standing: LabConfig) -> None:
    before = ready(standing)
    with pytest.raises(Refused, match="suite bookworm|suite trixie|suite noble"):
        up(config=replace(standing, suite="sid"))
    assert pids(status(standing)) == pids(before)
