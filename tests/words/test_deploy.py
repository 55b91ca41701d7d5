"""Deploy on the lab: what it makes, what it leaves alone, what it repairs, and how it is taken away again."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.words.words import APPS, HOSTS, Said, Shell, Words, until, user, variant_of

pytestmark = pytest.mark.lab

VARIANTS = ("plain", "local", "local_async", "global", "global_async")
CONF = "/etc/loadproof/nginx.conf"
APP = "loadproof-app.service"
FOLDER = "/run/lptest-packages"


def good(said: Said, **counts: str) -> None:
    """Assert that it ended well, with these statuses in the recap, "ok" for hosts not named."""
    assert said.code == 0 and not said.messages, said
    assert {name: row[0] for name, row in said.recap.items()} == {
        name: counts.get(name, "ok") for name in HOSTS
    }, said
    assert all(row[1] in ("0 changed", "0 would change") for row in said.recap.values() if row[0] == "ok"), (
        said
    )


def answer(shell: Shell, host: str, url: str) -> Any:
    """What a URL answers on a host."""
    program = "import sys, urllib.request as u; print(u.urlopen(sys.argv[1], timeout=5).read().decode())"
    return json.loads(shell.run(host, f"/usr/bin/python3 -I -c '{program}' {url}"))


def backends(shell: Shell) -> list[str]:
    """The servers in nginx's configuration."""
    return re.findall(r"^\s*server ([\d.]+):8000", shell.run("proxy", f"cat {CONF}"), re.M)


def config_hash(shell: Shell) -> str:
    """The hash that the nginx that runs says of its configuration."""
    program = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8079/config', timeout=5).read().decode())"
    return shell.run("proxy", f'/usr/bin/python3 -I -c "{program}"').strip()


def test_twice_changes_nothing(words: Words, shell: Shell) -> None:
    before = shell.state()
    said = words.inv("deploy")
    good(said)
    assert shell.state() == before
    assert said.out.count("0 changed") == len(HOSTS) and "next:" in said.err
    checked = words.inv("deploy", "--check", "--diff")
    good(checked)
    assert shell.state() == before


def test_a_hand_edit_is_shown_and_then_repaired(words: Words, shell: Shell) -> None:
    """--check --diff changes nothing, not even on the host that differs; nginx reports the right hash afterwards."""
    right, text = config_hash(shell), shell.run("proxy", f"cat {CONF}")
    shell.run("proxy", f"sed -i 's/keepalive_timeout/# by hand\\n    keepalive_timeout/' {CONF}")
    edited = shell.state()
    said = words.inv("deploy", "--check", "--diff")
    assert said.code == 0 and said.recap["proxy"][0] == "would change", said
    assert re.search(rf"proxy: file {CONF}\s+\(content differs\)", said.out), said
    assert re.search(r"^\s+-.*# by hand$", said.out, re.M), said
    assert f"--- {CONF} (host)" in said.out and f"+++ {CONF} (wanted)" in said.out, said
    assert shell.state() == edited
    said = words.inv("deploy", "--diff")
    good(said, proxy="changed")
    assert re.search(r"^\s+-.*# by hand$", said.out, re.M), said
    assert shell.run("proxy", f"cat {CONF}") == text
    assert config_hash(shell) == right


def test_a_hand_edit_in_a_tree_is_found_too(words: Words, shell: Shell) -> None:
    """Nobody measures one server whose app somebody patched in place against one that is as deployed."""
    file = "$(ls -d /opt/loadproof/trees/app-*)/app/data.py"
    right = shell.run("app2", f"cat {file}")
    shell.run("app2", f"echo '# by hand' >> {file}")
    said = words.inv("deploy", "--check", "--diff")
    assert said.code == 0 and said.recap["app2"][0] == "would change" and said.recap["app1"][0] == "ok", said
    assert "app/data.py was changed on the host" in said.out, said
    good(words.inv("deploy"), app2="changed")
    assert shell.run("app2", f"cat {file}") == right
    good(words.inv("deploy"))


def test_settings_added_to_our_units_are_found_and_taken_away(words: Words, shell: Shell) -> None:
    """A quota that somebody set would hold the app whatever limiter is asked for."""
    folder = f"/etc/systemd/system/{APP}.d"
    shell.run("app1", f"mkdir -p {folder} && printf '[Service]\nNice=5\n' > {folder}/x.conf")
    shell.run("app1", f"systemctl set-property {APP} CPUQuota=3%")
    shell.run("app1", f"systemctl daemon-reload && systemctl restart {APP}")
    said = words.inv("deploy", "--check", "--diff")
    assert said.recap["app1"][0] == "would change" and f"remove {folder}/x.conf" in said.out, said
    good(words.inv("deploy"), app1="changed")
    kept = shell.run("app1", f"systemctl show -p Nice -p CPUQuotaPerSecUSec -p DropInPaths {APP}").split()
    # a trial under a quota, some time before, leaves a file that says there is none
    assert {"CPUQuotaPerSecUSec=infinity", "Nice=0"} <= set(kept) and "x.conf" not in " ".join(kept)
    good(words.inv("deploy"))


def test_a_configuration_that_runs_but_is_not_the_file(words: Words, shell: Shell) -> None:
    """An nginx started with another file than the one on disk is no nginx of ours: it is restarted."""
    right = config_hash(shell)
    shell.run("proxy", f"cp -p {CONF} /run/lptest.conf && sed -i 's/{right}/0123456789abcdef/' {CONF}")
    try:
        shell.run("proxy", "systemctl restart loadproof-proxy")
        until(lambda: config_hash(shell) == "0123456789abcdef", "nginx runs with the other file")
    finally:
        shell.run("proxy", f"cp -p /run/lptest.conf {CONF} && rm /run/lptest.conf")
    said = words.inv("deploy")
    good(said, proxy="changed")
    assert "restart" in said.recap["proxy"][2] and config_hash(shell) == right


def test_fewer_servers_and_back(words: Words, shell: Shell) -> None:
    said = words.inv("deploy", "--servers", "1")
    assert said.code == 0, said
    assert backends(shell) == [shell.addresses["app1"]]
    assert (
        shell.active("app2", "loadproof-app") == "inactive"
        and shell.active("app1", "loadproof-app") == "active"
    )
    good(words.inv("deploy", "--servers", "1"))
    assert words.inv("deploy", "--servers", "2").code == 0
    assert backends(shell) == [shell.addresses[name] for name in APPS]
    assert {shell.active(name, "loadproof-app") for name in APPS} == {"active"}
    good(words.inv("deploy"))


def test_only_some_hosts(words: Words, shell: Shell) -> None:
    """Both app hosts differ; only the one that was named is put right."""
    for name in APPS:
        shell.run(name, "echo '# by hand' >> /etc/loadproof/app.env")
    before = shell.state()
    said = words.inv("deploy", "--hosts", "app1")
    assert said.code == 0 and {name: row[0] for name, row in said.recap.items()} == {"app1": "changed"}, said
    after = shell.state()
    assert {name for name in HOSTS if after[name] != before[name]} == {"app1"}
    good(words.inv("deploy"), app2="changed")


@pytest.mark.long
def test_every_variant(words: Words, shell: Shell) -> None:
    """Each answers with its own name and deploy id on the apps, and serves a row of the data through the proxy."""
    ids = set()
    for variant in reversed(VARIANTS):
        said = words.inv("deploy", "--variant", variant)
        assert said.code == 0, said
        deployed = json.loads(shell.run("app1", "cat /etc/loadproof/deploy.json"))
        ids.add(deployed["deploy_id"])
        for name in APPS:
            health = answer(shell, name, "http://127.0.0.1:8000/healthz")
            assert (health["variant"], health["deploy_id"]) == (variant, deployed["deploy_id"])
        item = answer(shell, "load1", f"http://{shell.addresses['proxy']}:8080/items/3?q=x")
        assert item["item_id"] == 3 and item["q"] == "x", item
    assert len(ids) == len(VARIANTS)
    good(words.inv("deploy"))


@pytest.mark.long
def test_missing_packages_come_from_a_folder(words: Words, shell: Shell, packages: Path) -> None:
    """Both are installed where they are missing, the host's own nginx never runs, and `clean` knows what we brought."""
    get = "DEBIAN_FRONTEND=noninteractive apt-get"
    had = shell.run("proxy", "dpkg-query -W -f '${Package}\\n' '*nginx*' | sort").split()
    masked = shell.run("proxy", "systemctl is-enabled nginx", ok=False).strip() == "masked"
    try:
        shell.run("proxy", f"systemctl stop loadproof-proxy; {get} purge -y -q {' '.join(had)}")
        shell.run("proxy", "systemctl unmask nginx.service")
        shell.run("app2", f"{get} purge -y -q cpulimit")
        for host in ("proxy", "app2"):
            shell.send(host, packages, FOLDER)
        said = words.inv("deploy", "--packages-from", FOLDER)
        good(said, proxy="changed", app2="changed")
        assert "package" in said.recap["proxy"][2] and "package" in said.recap["app2"][2], said
        assert shell.active("proxy", "loadproof-proxy") == "active"
        assert shell.active("proxy", "nginx") in ("inactive", "unknown")
        masters = shell.run("proxy", "pgrep -fc 'nginx: master process'").strip()
        assert masters == "1"
        assert shell.run("app2", "command -v cpulimit").strip()
        good(words.inv("deploy"))
        brought = json.loads(shell.run("proxy", "cat /var/lib/loadproof/packages.json"))["packages"]
        assert {"nginx", "nginx-common"} <= {entry["name"] for entry in brought}
        said = words.inv("clean", "--discard")
        assert said.code == 0 and "proxy: packages that we brought stay: nginx, nginx-common" in said.out, (
            said
        )
        said = words.inv("clean", "--packages", "--discard")
        assert said.code == 0 and "proxy: removed packages nginx, nginx-common" in said.out, said
        assert not shell.run("proxy", "command -v nginx", ok=False).strip()
        assert not shell.run("app2", "command -v cpulimit", ok=False).strip()
        assert left_over(shell) == {}
    finally:
        for host in ("proxy", "app2"):
            shell.send(host, packages, FOLDER)
        shell.run(
            "proxy", "systemctl unmask --runtime nginx; systemctl mask nginx" if masked else "true", ok=False
        )
        shell.run("proxy", f"dpkg -i {FOLDER}/*nginx*.deb; rm -r {FOLDER}")
        shell.run("app2", f"dpkg -i {FOLDER}/cpulimit_*.deb; rm -r {FOLDER}")
        said = words.inv("deploy")
    assert said.code == 0, said


def test_a_login_with_sudo_is_as_good_as_root(
    words: Words, shell: Shell, lab_alone: Path, tmp_path: Path
) -> None:
    with user(shell, "app1", "{user} ALL=(ALL) NOPASSWD: ALL") as name:
        other = variant_of(lab_alone, tmp_path / "hosts.yml", {"app1": {"ansible_user": name}})
        good(words.inv("deploy", inventory=other))
        shell.run("app1", "echo '# by hand' >> /etc/loadproof/app.env")
        good(words.inv("deploy", inventory=other), app1="changed")
        good(words.inv("deploy"))


def test_what_nobody_has_fetched_is_not_thrown_away(words: Words, shell: Shell) -> None:
    """The hosts themselves are asked, so another inventory, clone or results folder makes no difference."""
    run = "20260101T000000Z-lptest"
    folder = f"/var/lib/loadproof/trials/{run}/01"
    shell.run("load1", f"mkdir -p {folder} && echo x >{folder}/requests-1.rows")
    try:
        before = shell.state()
        for then, why in (
            ("true", "begun, not sealed"),
            (f"echo >{folder}/manifest.json", "sealed, not fetched"),
        ):
            shell.run("load1", then)
            for word in ("clean", "lab.down"):
                said = words.bare(word) if word == "lab.down" else words.inv(word)
                (message,) = said.messages
                assert said.code == 3 and f"run {run}" in message.error and why in message.error, said
                assert message.where and message.kept == "nothing was touched" and "--discard" in message.next
        assert shell.run("load1", f"cat {folder}/requests-1.rows") == "x\n"
        assert {name: state for name, state in shell.state().items() if before[name] != state} == {}
    finally:
        shell.run("load1", f"rm -rf {folder.rpartition('/')[0]}")


def test_hosts_in_use_are_not_deployed_to(words: Words, shell: Shell) -> None:
    """Not even when the lock is taken after they were asked: an app host then changes under somebody's load."""
    shell.run("app1", "echo '# by hand' >> /etc/loadproof/app.env")
    entry = '{"owner":"anna@desk","run":"hers","seconds":600,"force":false}'
    program = "/usr/bin/python3 -I -S /opt/loadproof/hostside/lock.py"
    shell.run("app1", f"{program} take '{entry}'")
    try:
        before = shell.state()
        said = words.once(("deploy",), words.inventory, 120)
        assert said.code == 3 and "anna@desk" in said.messages[0].error, said
        assert shell.state() == before
    finally:
        shell.run("app1", f'{program} release \'{{"run":"hers"}}\'')
    good(words.inv("deploy"), app1="changed")


def test_clean_leaves_nothing_of_ours(words: Words, shell: Shell) -> None:
    with restored(words):
        said = words.inv("clean", "--discard")
        assert said.code == 0, said
        assert all(f"{name}: removed units and " in said.out for name in HOSTS), said
        assert left_over(shell) == {}
        said = words.inv("clean", "--discard")
        assert said.code == 0 and said.out.count("nothing to do") == len(HOSTS), said
    good(words.inv("deploy"))


@contextmanager
def restored(words: Words) -> Iterator[None]:
    """Everything is deployed again afterwards."""
    try:
        yield
    finally:
        said = words.inv("deploy", within_s=200)
    assert said.code == 0, said


LEFT_OVER = r"""
find / -xdev \( -path /proc -o -path /sys -o -path /var/log/journal \) -prune -o -iname '*loadproof*' -print 2>/dev/null
find /run -iname '*loadproof*' 2>/dev/null
systemctl list-units --all --plain --no-legend 'loadproof-*'
getent passwd loadproof; getent group loadproof
ps -eo user:20,args | grep '^loadproof '
true
"""


# What makes a lab host of the image; `clean` knows nothing of labs.
OF_THE_LAB = (
    "/etc/ssh/sshd_config.d/10-loadproof.conf",
    "/etc/systemd/network/10-loadproof-lab.network",
    "/etc/.loadproof-made",
)


def left_over(shell: Shell) -> dict[str, list[str]]:
    """What is still ours on each host: files, units, users, processes."""
    found = {host: set(said.splitlines()) - set(OF_THE_LAB) for host, said in shell.each(LEFT_OVER).items()}
    return {host: sorted(lines) for host, lines in found.items() if lines}
