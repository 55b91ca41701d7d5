"""What is asked, from defaults, a file and flags: merged here and nowhere else, each value keeping its origin."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

from loadproof.errors import BadInput, Problem
from loadproof.plan import allowed, arms, capacity, levels, limits, questions, thresholds, words
from loadproof.plan.load import THINKS
from loadproof.plan.settings import DEFAULTS, ROOT, Given, Merged, layered, parsers
from loadproof.plan.values import Arm, Experiment

# Short, and more than the servers can serve, so that what a limit is judged by happens, and answers take a while against
# the milliseconds that a busy machine keeps a generator waiting; all users at once, in one Locust worker, which has the
# CPU of the lab's load host for itself.
REHEARSAL = {
    "servers": "2",
    "processes": "1",
    "threads": "40",
    "initial": "40",
    "step": "40",
    "interval": "1s",
    "settle": "2s",
    "hold": "12s",
    "timeout": "2s",
    "name": "rehearse",
}
BASE = Given("default", DEFAULTS)


def from_flags(flags: Mapping[str, str | None]) -> Experiment:
    """The experiment of a bench, one trial. Flags by the names a person types ("cpu-limit"), None or "" for not given.

    Raises BadInput with all problems at once.
    """
    return _merge((BASE, _flags(flags)), parsers())


def named(
    name: str, flags: Mapping[str, str | None] | None = None, settings: Sequence[str] = (), root: Path = ROOT
) -> Experiment:
    """The experiment of a file: `name` of one that is shipped, or a path. `settings`: "key=value", which win over the
    file; flags win over both. Raises BadInput with all problems at once."""
    problems: list[Problem] = []
    asked = questions.read(name, root, problems)
    layers = (BASE, asked, *questions.overrides(settings, problems), _flags(flags or {}))
    return _merge(layers, parsers(), "inv --help experiment", problems)


def rehearsal(
    fault: str, values: Mapping[str, str], flags: Mapping[str, str | None] = MappingProxyType({})
) -> Experiment:
    """A rehearsal's: 40 users on 2 servers for 14 s, what its fault (none: "clean") wants otherwise, and what flags say.
    Raises BadInput with all problems."""
    own = Given(f"plan/faults/{fault}.py", {**values, "name": f"rehearse-{fault.replace('_', '-')}"})
    return _merge((BASE, Given("rehearsal", REHEARSAL), own, _flags(flags)), parsers(), "inv --help rehearse")


def capacity_search(flags: Mapping[str, str | None]) -> Experiment:
    """The experiment of a capacity search: one arm, of which the load is open. Raises BadInput with all problems."""
    help = "inv --help capacity"
    own = Given("capacity", {"processes": "1", "threads": "1", "name": "capacity"})
    loads = {name: text for name, text in flags.items() if name not in limits.NAMES}
    try:
        made = _merge((BASE, own, _flags(loads)), parsers(), help)
    except BadInput as error:
        problems = list(error.problems)
        limits.read(flags, None, problems)
        raise BadInput(problems, next=help) from None
    (arm,) = made.arms
    asked = limits.read(flags, arm.load, problems := [])
    if asked is None:
        raise BadInput(problems, next=help)
    hold_s = max(capacity.shortest_hold(asked, arm.load.hold_s), THINKS * arm.load.think_s)
    load = levels.LOADS[asked.load](arm.load, asked.least, hold_s)
    given = [(name, f"flag --{name}") for name in limits.NAMES if flags.get(name)]
    return replace(
        made,
        question=limits.question(asked),
        arms=(replace(arm, load=load),),
        origins=tuple(sorted((*made.origins, *given))),
        capacity=asked,
    )


def deployment(flags: Mapping[str, str | None]) -> Experiment:
    """What a deploy needs of an experiment: servers (default: all app hosts, written 0), variant, rows, seed."""
    known = parsers() | {"servers": words.server_count}
    defaults = Given("default", DEFAULTS | {"servers": "all", "name": "deploy"})
    return _merge((defaults, _flags(flags)), known, "inv --help deploy")


def _flags(flags: Mapping[str, str | None]) -> Given:
    values = {name: text for name, text in flags.items() if text not in (None, "")}
    return Given(
        "flag", {name: str(text) for name, text in values.items()}, {name: f"--{name}" for name in values}
    )


def _merge(
    layers: Sequence[Given],
    known: Mapping[str, words.Parser],
    help: str = "inv --help bench",
    problems: list[Problem] | None = None,
) -> Experiment:
    """One experiment of several layers. Raises BadInput with all problems, whose next command is `help`."""
    problems = [] if problems is None else problems
    merged = layered(layers, known, problems).completed()
    made = arms.arms(merged, known, problems)
    problems += [problem for layer in layers for problem in _thresholds(layer, made)]
    if problems:
        raise BadInput(problems, next=help)
    values = arms.read(merged, known, problems)
    asked = tuple(text for layer in layers for text, _ in layer.thresholds)
    return Experiment(
        name=values["name"],
        note=values["note"],
        arms=made,
        seed=values["seed"],
        warm_requests=values["warm"],
        origins=tuple(sorted(_origins(merged).items())),
        calibrate=values["calibrate"],
        question=values["question"],
        primary=values["primary"],
        blocks=values["repeats"],
        thresholds=asked,
        steal=values["steal"],
    )


def _thresholds(layer: Given, made: Sequence[Arm]) -> Iterator[Problem]:
    labels = [arm.label for arm in made]
    for text, where in layer.thresholds:
        try:
            asked = thresholds.parse(text)
        except ValueError as error:
            yield Problem(str(error), where)
            continue
        for label in (asked.pair or ()) if labels else ():
            if label not in labels:
                yield Problem(f"there is no arm {allowed.shown(label)}: {', '.join(labels)}", where)


def _origins(merged: Merged) -> dict[str, str]:
    """What is in force though nobody asked for it is as much part of the record as what was asked."""
    origins = dict(merged.origins)
    if "hold" not in merged.texts and "hold" not in merged.factors:
        said = "duration" in merged.texts or "duration" in merged.factors
        origins["hold"] = "--duration less ramp and settle" if said else "default"
    for name in ("initial", "step"):
        origins.setdefault(name, "default")
    return origins
