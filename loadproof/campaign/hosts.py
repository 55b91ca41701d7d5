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
from loadproof.plan import faults, places
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
    # what a rehearsal broke whose control machine went away: before units stop, for undoing starts some
    broken = checked(remote, faults.undo_now(), 60).stdout.split()
    units = ("loadproof-load@*", "loadproof-sample*", "loadproof-limit*")
    running = checked(
        remote, quote("systemctl", "list-units", "--plain", "--no-legend", "--state=active", *units), 15
    )
    checked(remote, quote("systemctl", "stop", *units), 30, ok=(0, 5))
    done = [f"undid {unit}" for unit in broken]
    done += [f"stopped {line.split()[0]}" for line in running.stdout.splitlines() if line.split()]
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
    keep = NOTE if brought and not packages else ""
    checked(remote, quote("sh", "-c", EMPTY, "sh", keep, *FOLDERS), 120)
    checked(remote, _UNITS_AWAY, 30)
    user = remote.run("userdel loadproof", 15)
    remote.run("command -v nft >/dev/null && nft delete table inet loadproof", 15)
    if ours.split() or had:
        done.append("removed units and " + ", ".join(had))
    if user.ok:
        done.append("removed the user loadproof")
    if brought and not packages:
        done.append(
            f"packages that we brought stay: {', '.join(brought)} (./inv clean --packages removes them)"
        )
    return done


# Removes folders ($2 and on) whole, but not the file $1 and the folder that it is in: it is never away, so that
# nothing is forgotten when this is cut off.
EMPTY = (
    'keep="$1"; shift; for folder; do if [ "$folder" = "${keep%/*}" ]; then '
    'find "$folder" -mindepth 1 -maxdepth 1 ! -path "$keep" -exec rm -rf {} +; else rm -rf "$folder"; fi; done; true'
)
_UNITS_AWAY = (
    f"rm -rf {places.UNITS}/loadproof-*.service {places.UNITS}/loadproof-*.d {places.RUNTIME_UNITS}/loadproof-*.d "
    "/etc/systemd/system.control/loadproof-* /run/systemd/system.control/loadproof-*; systemctl daemon-reload; "
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
        raise StepFailed(
            remote.host.name,
            failed["what"],
            int(failed.get("exit") or 1),
            failed["last_lines"],
            what=f"cannot {failed['what']}\n{failed['last_lines']}".rstrip(),
            kept="our units are stopped, nothing was removed",
            next="inv clean, which leaves packages where they are",
        )
    checked(remote, quote("systemctl", "unmask", "--runtime", "nginx.service"), 15, ok=(0, 1))


def doctor(inventory: Inventory) -> Sequence[examine.Finding]:
    """Whether each host can do its part."""
    with Fleet(inventory) as fleet:
        return examine.examine(fleet)
