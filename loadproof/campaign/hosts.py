"""What is asked of, or done to, all hosts of an inventory outside a trial: facts, stop, clean, doctor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadproof.campaign import stake
from loadproof.campaign.deploy import named
from loadproof.control import doctor as examine
from loadproof.control import lock, probe
from loadproof.control.fleet import Fleet
from loadproof.control.programs import run_program
from loadproof.control.remote import Remote, checked
from loadproof.errors import LoadproofError, StepFailed
from loadproof.plan import places
from loadproof.plan.shell import quote
from loadproof.plan.values import Inventory

UNITS = (
    places.APP_UNIT,
    places.LIMIT_UNIT,
    places.PROXY_UNIT,
    places.SAMPLE_UNIT,
    places.load_unit(""),  # all of its instances
)
FOLDERS = (places.OPT, places.ETC, places.VAR, places.RUN)
NOTE = f"{places.VAR}/packages.json"


def facts(inventory: Inventory, only: Sequence[str] = ()) -> dict[str, dict[str, Any] | LoadproofError]:
    """What each host says of itself and of our units, or why it did not. Raises BadInput for a host nobody knows."""
    named(inventory, only)
    question = {
        "units": list(UNITS),
        "programs": ["nginx", "cpulimit", "zstd"],
        "trees": [],
        "disk": ["/opt", "/var/lib"],
    }
    with Fleet(inventory) as fleet:
        return probe.ask_all(fleet, {host.name: question for host in fleet.hosts(only or None)})


def stop(inventory: Inventory) -> dict[str, list[str] | LoadproofError]:
    """Stops load, sampler and limiter everywhere, lets apps continue, seals a trial that was left open."""
    with Fleet(inventory) as fleet:
        stopped = fleet.each(_stop)
        for entry in {entry["run"] for entry in lock.holders(fleet).values() if "run" in entry}:
            lock.release(fleet, [host.name for host in inventory.hosts], entry)
        return stopped


def _stop(remote: Remote) -> list[str]:
    units = ("loadproof-load@*", "loadproof-sample*", "loadproof-limit*")
    running = checked(
        remote, quote("systemctl", "list-units", "--plain", "--no-legend", "--state=active", *units), 15
    )
    checked(remote, quote("systemctl", "stop", *units), 30, ok=(0, 5))
    done = [f"stopped {line.split()[0]}" for line in running.stdout.splitlines() if line.split()]
    told = remote.run(quote("cat", places.TRIAL_JSON), 10)
    if told.ok:
        trial = json.loads(told.stdout)
        run_program(remote, "limit", "lift", within=20)
        question = {key: trial[key] for key in ("run", "trial", "host", "out")}
        run_program(remote, "seal", json.dumps(question), within=60)
        done.append(f"sealed run {trial['run']}, trial {trial['trial']}")
    return done


def clean(
    inventory: Inventory, results: Path, packages: bool, discard: bool
) -> dict[str, list[str] | LoadproofError]:
    """Removes all that is ours; refuses while files of a run were not fetched (unless `discard`), or one is on."""
    if not discard:
        stake.refuse_loss(inventory, results, "./inv clean")
    with Fleet(inventory) as fleet:
        for host, entry in lock.holders(fleet).items():
            raise lock.taken(host, entry)
        return fleet.each(lambda remote: _clean(remote, packages))


def _clean(remote: Remote, packages: bool) -> list[str]:
    done: list[str] = []
    ours = checked(
        remote, "systemctl list-unit-files --plain --no-legend 'loadproof-*'", 15, ok=(0, 1)
    ).stdout
    checked(remote, quote("systemctl", "stop", "loadproof-*"), 60, ok=(0, 5))
    brought = _brought(remote)
    if packages and brought:
        _unpackage(remote)
        done.append(f"removed packages {', '.join(brought)}")
    had = checked(remote, f"ls -d {' '.join(FOLDERS)} 2>/dev/null; true", 15).stdout.split()
    checked(remote, quote("sh", "-c", _REMOVE, "sh", *FOLDERS), 120)
    user = remote.run("userdel loadproof", 15)
    remote.run("command -v nft >/dev/null && nft delete table inet loadproof", 15)
    if ours.split() or had:
        done.append("removed units and " + ", ".join(had))
    if user.ok:
        done.append("removed the user loadproof")
    if brought and not packages:
        _keep_note(remote, brought)
        done.append(
            f"packages that we brought stay: {', '.join(brought)} (./inv clean --packages removes them)"
        )
    return done


_REMOVE = (
    f'rm -rf "$@" {places.UNITS}/loadproof-*.service {places.RUNTIME_UNITS}/loadproof-*.d '
    "/run/systemd/system.control/loadproof-*; systemctl daemon-reload; "
    "systemctl reset-failed 'loadproof-*' 2>/dev/null; true"
)


def _brought(remote: Remote) -> list[str]:
    """The packages that deploys brought to a host."""
    said = remote.run(quote("cat", NOTE), 10)
    entries = json.loads(said.stdout)["packages"] if said.ok and said.stdout.strip() else []
    return sorted({str(entry["name"]) for entry in entries})


def _unpackage(remote: Remote) -> None:
    said = run_program(
        remote, "install", within=600, stdin=json.dumps({"steps": [{"do": "unpackage"}]})
    ).json()
    if failed := said.get("failed"):
        raise StepFailed(remote.host.name, failed["what"], int(failed.get("exit") or 1), failed["last_lines"])
    checked(remote, quote("systemctl", "unmask", "--runtime", "nginx.service"), 15, ok=(0, 1))


def _keep_note(remote: Remote, brought: Sequence[str]) -> None:
    """Leave the list of our packages, and nothing else, for a later clean --packages."""
    checked(remote, quote("mkdir", "-p", places.VAR), 15)
    remote.put(json.dumps({"packages": [{"name": name} for name in brought]}).encode(), NOTE)


def doctor(inventory: Inventory) -> Sequence[examine.Finding]:
    """Whether each host can do its part."""
    with Fleet(inventory) as fleet:
        return examine.examine(fleet)
