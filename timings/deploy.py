"""A second deploy (nothing to change), or a first one (bare hosts), beside Ansible, pyinfra and a bare Fabric script.

    python timings/deploy.py [-i inventory/lab.yml] [--rounds 5] [--first] [--without ansible,pyinfra]

All in one run, interleaved; medians. Peers live in environments of their own under .cache/test-envs (made when
missing). Asked of a second deploy: 4 hosts <= 1.0 s inside the command; 20 hosts at least 20x faster than Ansible,
faster than pyinfra, at most 2x the bare script. Of a first one: 4 hosts <= 10 s, at least 3x faster than Ansible.
With --first everything of ours on the hosts is removed before each measurement (packages stay).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "timings" / "peers"
FOLDER = ROOT / ".cache" / "timings"
ENVS = ROOT / ".cache" / "test-envs"
VERSIONS = {"ansible-core": "2.19.*", "pyinfra": "3.10.*"}
BARE = (
    "systemctl stop 'loadproof-*' 2>/dev/null; rm -rf /opt/loadproof /etc/loadproof /var/lib/loadproof /run/loadproof "
    "/etc/systemd/system/loadproof-*.service /run/systemd/system/loadproof-*.d; systemctl daemon-reload; "
    "userdel loadproof 2>/dev/null; true"
)


def environment(name: str) -> Path:
    """The folder of programs of a peer's environment, made when it is missing."""
    folder = ENVS / name
    if not (folder / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=True)
        pip = [str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        subprocess.run([*pip, f"{name}=={VERSIONS[name]}"], check=True)
        (folder / ".ready").touch()
    return folder / "bin"


def run(words: list[str], **more: str) -> tuple[float, str]:
    """Seconds and standard output of a program that has to succeed."""
    begun = time.monotonic()
    ran = subprocess.run(
        words, cwd=ROOT, env={**os.environ, **more}, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    took = time.monotonic() - begun
    if ran.returncode:
        sys.exit(f"{' '.join(words)}: exit {ran.returncode}\n{ran.stdout[-3000:]}\n{ran.stderr[-3000:]}")
    return took, ran.stdout


def ours(inventory: Path, first: bool = False) -> dict[str, float]:
    """Our deploy: the whole process, and inside the command."""
    took, said = run([sys.executable, str(PEERS / "ours.py"), str(inventory)])
    if said.split()[1] != "0" and not first:
        print(f"  note: {said.split()[1]} hosts changed: a peer left something different", file=sys.stderr)
    return {"loadproof, whole process": took, "loadproof, inside": float(said.split()[0])}


def ansible(inventory: Path) -> dict[str, float]:
    """The playbook: forks 20, pipelining, no facts."""
    programs = environment("ansible-core")
    words = ["-i", str(inventory), "-e", f"folder={FOLDER}", str(PEERS / "playbook.yml")]
    # its masters outlive it by a minute: the folder goes, they end by themselves
    with tempfile.TemporaryDirectory(prefix="lp-cp-", ignore_cleanup_errors=True) as control:
        took, _ = run(
            [str(programs / "ansible-playbook"), *words],
            ANSIBLE_FORKS="20", ANSIBLE_PIPELINING="True", ANSIBLE_GATHERING="explicit",
            ANSIBLE_RETRY_FILES_ENABLED="0", ANSIBLE_HOME=str(FOLDER / "ansible"),
            ANSIBLE_SSH_CONTROL_PATH_DIR=control, ANSIBLE_PYTHON_INTERPRETER="/usr/bin/python3", ANSIBLE_NOCOWS="1",
        )  # fmt: skip
    return {"ansible": took}


def pyinfra(inventory: Path) -> dict[str, float]:
    """The pyinfra deploy."""
    programs = environment("pyinfra")
    words = [
        str(programs / "pyinfra"),
        "-y",
        str(PEERS / "pyinfra_inventory.py"),
        str(PEERS / "pyinfra_deploy.py"),
    ]
    return {"pyinfra": run(words, LOADPROOF_PEER=str(FOLDER))[0]}


def bare(inventory: Path) -> dict[str, float]:
    """The bare batched script; it asks and cannot change, so it has no first deploy."""
    return {"bare fabric": run([sys.executable, str(PEERS / "bare.py"), str(FOLDER)])[0]}


def make_bare(inventory: Path) -> None:
    """Remove all that is ours from the hosts."""
    sys.path.insert(0, str(ROOT))
    from loadproof.control import inventory as inventories
    from loadproof.control.fleet import Fleet, all_good
    from loadproof.control.remote import checked

    with Fleet(inventories.read(inventory)) as fleet:
        all_good(fleet.each(lambda remote: checked(remote, BARE, 60)))


def main() -> None:
    """Measure and print a table, and the same as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-i", "--inventory", type=Path, default=ROOT / "inventory" / "lab.yml")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--first", action="store_true")
    parser.add_argument("--without", default="")
    asked = parser.parse_args()
    path = asked.inventory.resolve()
    without = asked.without.split(",")
    ways: dict[str, Callable[[Path], dict[str, float]]] = {
        "loadproof": ours, "ansible": ansible, "pyinfra": pyinfra, "bare": bare,
    }  # fmt: skip
    if asked.first:
        del ways["bare"]
        ways["loadproof"] = lambda path: ours(path, first=True)
    ways = {name: way for name, way in ways.items() if name not in without}
    FOLDER.mkdir(parents=True, exist_ok=True)
    run([sys.executable, str(PEERS / "export.py"), str(path), str(FOLDER)])
    hosts = json.loads((FOLDER / "desired.json").read_text())["hosts"]
    seen: dict[str, list[float]] = {}
    if not asked.first:
        ours(path, first=True)
        for way in ways.values():
            way(
                path
            )  # once unmeasured: environments made, caches warm, whatever a peer sees differently settled
        ours(path, first=True)
    for _ in range(asked.rounds):
        for way in ways.values():
            if asked.first:
                make_bare(path)
            for name, seconds in way(path).items():
                seen.setdefault(name, []).append(seconds)
    what = "first" if asked.first else "second"
    print(
        f"{what} deploy, {len(hosts)} hosts, medians of {asked.rounds}, interleaved; load {os.getloadavg()[0]:.1f}"
    )
    for name, times in seen.items():
        print(
            f"  {name:26} {statistics.median(times):8.3f} s   ({', '.join(f'{value:.2f}' for value in times)})"
        )
    print(json.dumps({"what": what, "hosts": len(hosts), "seconds": seen}))


if __name__ == "__main__":
    main()
