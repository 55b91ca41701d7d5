"""What a rehearsal breaks on purpose: one file per fault, found by its name. `inv rehearse` proves with them that every
check can turn. A fault file has

LABEL, COLOUR      words for people, and the colour (one of `_parts.COLOURS`) that shades it in charts
TURNS              check -> the verdict it must give: "INVALID", or "UNKNOWN" where the fault destroys its evidence
MAY_TURN           checks that may turn as a consequence; any other that turns is a failure of the rehearsal
EXPECTS            "<layer>/<reason>" patterns that the attribution of requests which begin meanwhile and fail may have;
                   empty where nothing is asked of them
WHEN, AT_S, FOR_S  as PlannedFault says; FOR_S None: until the trial is closed
TRIAL              values of the trial that differ from `experiment.REHEARSAL`, as flags
hosts(trial)       whom it is done to
begin(inventory, trial), end(inventory, trial)
                   actions; `end` undoes everything and may run twice, or without a begin

and, where a host has to be made ready before anything is measured, `prepare` and `restore` (after the seal), which are
actions too; where a check could turn for another reason, SAYS: check -> words that its sentence must hold. TURNS is
written from what should happen, before anybody has seen what does.

A check of which no fault is known stands in WITHOUT, with the reason.
"""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from loadproof.errors import BadInput, Problem
from loadproof.plan.allowed import did_you_mean
from loadproof.plan.faults import _parts as parts
from loadproof.plan.shell import Raw, quote
from loadproof.plan.values import Action, Inventory, PlannedFault, Run, Stage, TrialPlan

Hurt = Callable[[Inventory, TrialPlan], tuple[Action, ...]]
Verdict = Literal["INVALID", "UNKNOWN"]

WITHOUT: Mapping[str, str] = {
    "generator_rate": "the generator's own top rate is measured apart from any trial and remembered: nothing that is done"
    " to a host within a trial changes it",
    "hosts_up": "a host of the lab that restarts takes its ssh and its tmpfs with it, and only the lab starts it again:"
    " its trial detaches and has no end to be judged",
}
UNDO = "undo"  # the first word of the stage that ends a fault


@dataclass(frozen=True)
class Fault:
    """One fault, as its file describes it."""

    name: str
    label: str
    colour: str
    turns: Mapping[str, Verdict]
    says: Mapping[str, str]
    may_turn: tuple[str, ...]
    expects: tuple[str, ...]
    when: Literal["before", "load", "after", "sealed"]
    at_s: float
    for_s: float | None
    trial: Mapping[str, str]
    hosts: Callable[[TrialPlan], tuple[str, ...]]
    begin: Hurt
    end: Hurt
    prepare: Hurt
    restore: Hurt


def names() -> tuple[str, ...]:
    """Every fault there is, sorted."""
    found = (module.name for module in pkgutil.iter_modules(__path__))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def _nothing(inventory: Inventory, trial: TrialPlan) -> tuple[Action, ...]:
    return ()


@functools.cache
def load(name: str) -> Fault:
    """The fault of that name. Raises BadInput that lists the names and the nearest one."""
    known = names()
    if name not in known:
        raise BadInput(
            [Problem(f"no fault {name!r}: there are {', '.join(known)}{did_you_mean(name, known)}")]
        )
    module = importlib.import_module(f"{__name__}.{name}")
    return Fault(
        name=name,
        label=module.LABEL,
        colour=module.COLOUR,
        turns=module.TURNS,
        says=cast(Mapping[str, str], getattr(module, "SAYS", {})),
        may_turn=module.MAY_TURN,
        expects=module.EXPECTS,
        when=module.WHEN,
        at_s=module.AT_S,
        for_s=module.FOR_S,
        trial=module.TRIAL,
        hosts=module.hosts,
        begin=module.begin,
        end=module.end,
        prepare=cast(Hurt, getattr(module, "prepare", _nothing)),
        restore=cast(Hurt, getattr(module, "restore", _nothing)),
    )


def turning(checks: Iterable[str]) -> tuple[str, ...]:
    """The faults that turn any of these checks; none named: all. The name of a fault stands for itself.

    Raises BadInput for a name of neither, and for a check that no fault turns, with the reason.
    """
    every = {name: load(name) for name in names()}
    turned = sorted({check for fault in every.values() for check in fault.turns})
    chosen: list[str] = []
    problems: list[Problem] = []
    for check in checks:
        found = [name for name, fault in every.items() if check == name or check in fault.turns]
        chosen += found
        if check in WITHOUT:
            problems.append(Problem(f"no fault turns {check}: {WITHOUT[check]}", "CHECK"))
        elif not found:
            known = (*turned, *every)
            said = (
                f"no check {check!r} and no fault of that name: checks with a fault are {', '.join(turned)}"
            )
            problems.append(Problem(said + did_you_mean(check, known), "CHECK"))
    if problems:
        raise BadInput(problems, next="./inv rehearse CHECK, with one of these")
    return tuple(dict.fromkeys(chosen)) or tuple(every)


def into(trial: TrialPlan, name: str) -> TrialPlan:
    """The same trial with this fault planned in it."""
    fault = load(name)
    until_s = None if fault.for_s is None else min(fault.at_s + fault.for_s, trial.load.end_s)
    planned = PlannedFault(name, fault.hosts(trial), fault.when, fault.at_s, until_s)
    return replace(trial, faults=(*trial.faults, planned), because=f"rehearsal: {name} ({fault.label})")


# --- stages of a trial that has faults; without any there are none ------------------------------------------


def prepare(inventory: Inventory, trial: TrialPlan) -> tuple[Stage, ...]:
    """Before anything is measured: what a rehearsal that was killed left broken is undone, then hosts are made ready."""
    if not trial.faults:
        return ()
    names = dict.fromkeys((*trial.loads, trial.proxy, *trial.apps))
    earlier = tuple(Run(host, "undo.earlier", undo_now(), within=parts.WITHIN_S) for host in names)
    return _stages("prepare", [earlier, *(load(one.name).prepare(inventory, trial) for one in trial.faults)])


def undo(inventory: Inventory, trial: TrialPlan) -> tuple[Stage, ...]:
    """Ends every fault, begun or not, and then the timer by which its hosts would do so themselves; a stage for each, so
    that none keeps the next from being ended."""
    return tuple(
        Stage(
            f"{UNDO} {one.name}",
            (
                load(one.name).end(inventory, trial),
                tuple(
                    Run(
                        host,
                        "undo.disarm",
                        quote("systemctl", "stop", f"{_timer(one.name)}.timer"),
                        ok=(0, 5),
                    )
                    for host in one.hosts
                ),
            ),
        )
        for one in trial.faults
    )


def restore(inventory: Inventory, trial: TrialPlan) -> tuple[Stage, ...]:
    """After the seal."""
    return _stages("restore", [load(one.name).restore(inventory, trial) for one in trial.faults])


def _stages(name: str, waves: list[tuple[Action, ...]]) -> tuple[Stage, ...]:
    return tuple(Stage(name, (wave,)) for wave in waves if wave)


def armed(inventory: Inventory, trial: TrialPlan, planned: PlannedFault) -> tuple[Action, ...]:
    """A timer on each host that ends the fault when the trial's time is over, whether anybody is still there or not."""
    commands: dict[str, list[str]] = {}
    for action in load(planned.name).end(inventory, trial):
        assert isinstance(action, Run) and not action.stdin, f"{planned.name}: a timer can only run commands"
        commands.setdefault(action.host, []).append(action.command)
    after = f"--on-active={trial.planned_s + trial.margin_s:.0f}"
    unit = f"--unit={_timer(planned.name)}"
    return tuple(
        Run(
            host,
            "undo.arm",
            quote(
                "systemd-run",
                "--quiet",
                "--collect",
                "--service-type=oneshot",  # who starts it by hand waits until it is done
                unit,
                after,
                "--timer-property=AccuracySec=1s",
                Raw("/bin/sh -c"),
                "; ".join(ends),
            ),
        )
        for host, ends in commands.items()
    )


def _timer(name: str) -> str:
    return f"{parts.BESIDE}-undo-{name}"


def undo_now() -> str:
    """The command by which a host undoes at once what its timers would undo later, and says what that was."""
    timers = quote(
        "systemctl", "list-units", "--all", "--plain", "--no-legend", f"{parts.BESIDE}-undo-*.timer"
    )
    each = 'systemctl start "${unit%.timer}.service" && systemctl stop "$unit" && echo "${unit%.timer}"'
    return f"for unit in $({timers} | cut -d' ' -f1); do {each}; done"
