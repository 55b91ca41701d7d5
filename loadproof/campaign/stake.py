"""What would be lost if hosts were cleaned or taken away now. The hosts say it; for silent ones, the run folders here."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from loadproof.campaign import state
from loadproof.control import fetch, lock
from loadproof.control.fleet import Fleet
from loadproof.errors import LoadproofError, RecordUnreadable, Refused
from loadproof.plan.actions import hosts_of
from loadproof.plan.values import Host, Inventory
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder, runs


@dataclass(frozen=True)
class Loss:
    """One run that would lose something, why, and the command that saves it."""

    run: str
    why: str
    next: str


def refuse_loss(inventory: Inventory, results: Path, word: str) -> None:
    """Raises Refused while a host holds a run in progress, or files of one that nobody has fetched."""
    found = losses(inventory, results)
    if found:
        raise Refused(
            "it would be lost: " + "; ".join(f"run {loss.run}, {loss.why}" for loss in found),
            where=f"the hosts of {inventory.path}",
            kept="nothing was touched",
            next=f"{found[0].next}, or {word} --discard",
        )


def losses(inventory: Inventory, results: Path) -> tuple[Loss, ...]:
    """Every run at stake, once, the ones in progress first."""
    with Fleet(inventory) as fleet:
        shown, kept = lock.show(fleet), fetch.kept(fleet)
    found: dict[str, Loss] = {}
    for host, said in shown.items():
        entry = None if isinstance(said, LoadproofError) or said.get("stale") else said.get("lock")
        if entry:
            run = str(entry.get("run", "?"))
            why = f"in progress on {host}, held by {entry.get('owner', '?')}"
            then = "./inv stop" if run.startswith("deploy-") else f"./inv attach --run {run}, or ./inv stop"
            found.setdefault(run, Loss(run, why, then))
    for host, trials in kept.items():
        for run, trial, sealed in () if isinstance(trials, LoadproofError) else trials:
            why = f"trial {trial} on {host}: " + ("sealed, not fetched" if sealed else "begun, not sealed")
            then = (
                f"./inv fetch-results --run {run}" if sealed else f"./inv attach --run {run}, or ./inv stop"
            )
            found.setdefault(run, Loss(run, why, then))
    silent = [inventory.host(name) for name, said in kept.items() if isinstance(said, LoadproofError)]
    for loss in _recorded(silent, results):
        found.setdefault(loss.run, loss)
    return tuple(found.values())


def _recorded(silent: list[Host], results: Path) -> list[Loss]:
    """What the run folders here say of hosts that do not answer."""
    return [loss for folder in runs(results) if silent for loss in _of_run(folder, silent)]


def _of_run(folder: RunFolder, silent: list[Host]) -> list[Loss]:
    places = {(host.ssh_host, host.ssh_port) for host in silent}
    try:
        known = {
            host.name for host in state.hosts_of_run(folder).hosts if (host.ssh_host, host.ssh_port) in places
        }
        open_trials = [
            paths for paths in folder.trials
            if known & set(hosts_of(record.read_plan(paths.plan)))
            and (state.sealed(paths) or state.begun(paths)) and not state.fetched(paths)
        ]  # fmt: skip
    except RecordUnreadable as error:
        why = f"its record cannot be read ({error.what}), and hosts do not answer"
        return [Loss(folder.id, why, "./inv status")]
    if not open_trials:
        return []
    why = f"trial {open_trials[0].name} was not fetched, and {', '.join(sorted(known))} does not answer"
    return [Loss(folder.id, why, f"./inv fetch-results --run {folder.id}")]
