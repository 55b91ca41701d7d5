"""Writes what our deploy wants as plain JSON and files, so that every peer ensures the same.

    python timings/peers/export.py INVENTORY FOLDER

FOLDER/desired.json: {"hosts":[{"name","address","port","user","key","known_hosts","folders","files","trees",
"packages","units","stopped","health","config"}...]}; FOLDER/files/<sha256>: the contents.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from loadproof.control import inventory, probe, sshconfig, trees  # noqa: E402
from loadproof.control.fleet import Fleet  # noqa: E402
from loadproof.plan import desired  # noqa: E402
from loadproof.plan.changes import FOLDERS  # noqa: E402
from loadproof.plan.values import Host, HostDesired  # noqa: E402


def export(path: Path, folder: Path) -> None:
    """Ask the hosts for their platforms, decide, build the trees, write."""
    hosts = inventory.read(path)
    with Fleet(hosts) as fleet:
        platforms = probe.platforms(fleet, hosts, ROOT)
    servers = len(hosts.group("app"))
    wanted = desired.desired(hosts, servers, "plain", 10_000, 1, platforms, ROOT)
    (folder / "files").mkdir(parents=True, exist_ok=True)
    rows = [plain(hosts.host(item.host), item, folder) for item in wanted.hosts]
    (folder / "desired.json").write_text(json.dumps({"hosts": rows}, indent=1))


def plain(host: Host, item: HostDesired, folder: Path) -> dict[str, Any]:
    """One host for the peers."""
    settings = sshconfig.resolve(host)
    for file in item.files:
        (folder / "files" / file.sha256).write_bytes(file.data)
    return {
        "name": host.name,
        "address": settings.hostname,
        "port": settings.port,
        "user": settings.user,
        "key": settings.identity_files[0],
        "known_hosts": settings.known_hosts[0],
        "folders": [
            {"path": path, "mode": f"{mode:04o}", "owner": owner} for path, (mode, owner) in FOLDERS.items()
        ],
        "files": [
            {"path": file.path, "sha256": file.sha256, "mode": f"{file.mode:04o}", "owner": file.owner}
            for file in item.files
        ],
        "trees": [{"path": tree.path, "archive": str(trees.archive(tree, ROOT))} for tree in item.trees],
        "packages": sorted({package for _, package in item.packages}),
        "units": [unit.name for unit in item.units if unit.state == "running"],
        "health": [promise.port for promise in item.promises if promise.kind == "health"],
        "config": [promise.port for promise in item.promises if promise.kind == "config"],
    }


if __name__ == "__main__":
    export(Path(sys.argv[1]), Path(sys.argv[2]))
