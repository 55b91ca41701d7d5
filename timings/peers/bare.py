"""The least that asks the same: one batched shell script per host over Fabric, all hosts side by side, nothing read
back but its exit. It changes nothing, keeps no record and checks host keys only because we load known_hosts.

    python timings/peers/bare.py FOLDER
"""

from __future__ import annotations

import json
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from fabric import Config, Connection
from paramiko import RejectPolicy


def script(host: dict[str, Any]) -> str:
    """A shell script that fails at the first thing that is not as wanted."""
    sums = "".join(f"{file['sha256']}  {file['path']}\n" for file in host["files"])
    lines = [
        "set -e",
        f"printf %s {shlex.quote(sums)} | sha256sum --check --status",
        "id loadproof >/dev/null",
    ]
    for item in [*host["folders"], *host["files"]]:
        owner = item["owner"] if ":" in item["owner"] else f"{item['owner']}:{item['owner']}"
        lines.append(
            f'[ "$(stat -c %a:%U:%G {shlex.quote(item["path"])})" = {item["mode"].lstrip("0")}:{owner} ]'
        )
    for tree in host["trees"]:
        path = shlex.quote(tree["path"])
        lines.append(f"[ -e {path}/.complete ]")
        lines.append(f'[ -z "$(find {path} -mindepth 1 ! -path {path}/.complete -newermt @0 -print -quit)" ]')
    lines += [
        f"[ -n \"$(dpkg-query -W -f '${{Status}}' {shlex.quote(package)})\" ]" for package in host["packages"]
    ]
    if host["units"]:
        lines.append("systemctl is-active --quiet " + " ".join(map(shlex.quote, host["units"])))
    urls = [f"http://127.0.0.1:{port}/healthz" for port in host["health"]]
    urls += [f"http://127.0.0.1:{port}/config" for port in host["config"]]
    for url in urls:
        lines.append(f"python3 -c \"import urllib.request as u; u.urlopen('{url}', timeout=5).read()\"")
    return "\n".join(lines)


def ask(host: dict[str, Any]) -> int:
    """One host: connect, run, close."""
    connection = Connection(
        host["address"], user=host["user"], port=host["port"], config=Config(lazy=True), connect_timeout=10,
        connect_kwargs={"key_filename": host["key"], "allow_agent": False, "look_for_keys": False},
    )  # fmt: skip
    connection.client.load_host_keys(host["known_hosts"])
    connection.client.set_missing_host_key_policy(RejectPolicy())
    with connection:
        return int(connection.run(script(host), hide=True, warn=True, in_stream=False).exited)


if __name__ == "__main__":
    hosts = json.loads((Path(sys.argv[1]) / "desired.json").read_text())["hosts"]
    with ThreadPoolExecutor(len(hosts)) as pool:
        exits = list(pool.map(ask, hosts))
    if any(exits):
        sys.exit(f"not as wanted: {[host['name'] for host, code in zip(hosts, exits, strict=True) if code]}")
