"""No room is left where nginx and the sampler of its host write. The trial's folder there is a small file system of its
own while it lasts: the machine's disk, which a lab host shares, is never filled."""

from __future__ import annotations

from loadproof.plan import places
from loadproof.plan.faults import Verdict
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import Raw, quote
from loadproof.plan.values import Action, Inventory, Run, TrialPlan

LABEL = "the disk of nginx's host is full"
COLOUR = parts.GREEN
TURNS: dict[str, Verdict] = {"disk_room": "INVALID"}
# lines and samples that found no room are lost, or cut
MAY_TURN = ("ledger_requests", "logs_readable", "quiet_hosts", "limit_held", "every_backend", "hosts_up")
EXPECTS: tuple[str, ...] = ()
WHEN, AT_S, FOR_S = "load", 5.0, 4.0
TRIAL: dict[str, str] = {}
hosts = parts.proxy

ROOM_MB = 24


def _out(trial: TrialPlan) -> str:
    return places.trial_out(trial.run, trial.id)


def prepare(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The small file system, before there is anything to lose; nginx opens its logs anew, in it."""
    out = _out(trial)
    mount = quote("mount", "-t", "tmpfs", "-o", f"size={ROOM_MB}m,mode=0755", "tmpfs", out)
    own = quote("chown", "loadproof:", out)
    command = parts.both(mount, own, parts.send("USR1", places.PROXY_UNIT, "main"))
    question = quote(Raw("! mountpoint -q"), out)
    return tuple(Run(host, "disk.bound", parts.only_if(question, command)) for host in hosts(trial))


def begin(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """Zeros, until no more go in; nowhere but in the small file system."""
    out = _out(trial)
    fill = quote(
        "head", "-c", f"{ROOM_MB}M", "/dev/zero", Raw(">"), f"{out}/filler", Raw("2>/dev/null; true")
    )
    command = parts.both(quote("mountpoint", "-q", out), fill)
    return tuple(Run(host, "disk.fill", command) for host in hosts(trial))


def end(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """The zeros go."""
    gone = quote("rm", "-f", f"{_out(trial)}/filler")
    return tuple(Run(host, "disk.free", gone) for host in hosts(trial))


def restore(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    """What was sealed goes to the disk, then the small file system."""
    out = _out(trial)
    kept = f"{out}.kept"
    away = parts.both(quote("rm", "-rf", kept), quote("cp", "-a", out, kept), quote("umount", "--lazy", out))
    back = parts.both(quote("cp", "-a", f"{kept}/.", out), quote("rm", "-rf", kept))
    command = parts.both(
        parts.only_if(quote("mountpoint", "-q", out), away),
        parts.only_if(quote("test", "-d", kept, Raw("&& ! mountpoint -q"), out), back),
    )
    return tuple(Run(host, "disk.restore", command, within=parts.WITHIN_S) for host in hosts(trial))
