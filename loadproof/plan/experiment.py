"""What is asked, from defaults and flags: merged here and nowhere else, each value keeping its origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadproof.errors import BadInput, Problem
from loadproof.plan import allowed, limiters, words
from loadproof.plan.load import Asked, plan_load, vusers
from loadproof.plan.values import Experiment, Limit, Load

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_VUSERS = "100"


@dataclass(frozen=True)
class Given:
    """Values by name with one origin: "default", "flag", later a file. Where a value stands is `where(name)`."""

    origin: str
    values: Mapping[str, str]
    places: Mapping[str, str]

    def where(self, name: str) -> str:
        """How a person finds the value: "--vusers", "default", or file:line."""
        return self.places.get(name, self.origin)


def choices(folder: Path) -> tuple[str, ...]:
    """The names of a folder of choices: its file names."""
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.name.startswith("_")))


def parsers() -> dict[str, words.Parser]:
    """How each value is read, by the name a person types."""
    return {
        "servers": words.servers,
        "vusers": words.whole(1, 100_000),
        "processes": words.whole(0, 100_000),
        "threads": words.whole(0, 100_000),
        "ramp": words.ramp,
        "initial": words.whole(0, 100_000),
        "step": words.whole(0, 100_000),
        "interval": words.duration,
        "settle": words.duration,
        "hold": words.duration,
        "duration": words.duration,
        "think": words.duration,
        "timeout": words.duration,
        "cpu-limit": words.percent,
        "limiter": words.limiter,
        "calibrate": words.switch,
        "variant": words.one_of(choices(ROOT / "app" / "variants")),
        "scenario": words.one_of(choices(ROOT / "loadtests" / "scenarios")),
        "rows": words.whole(1, 10_000_000),
        "seed": words.whole(0, 2**32 - 1),
        "name": words.judged(allowed.run_name),
        "note": words.note,
        "warm": words.whole(0, 100_000),
    }


DEFAULTS = {
    "servers": "1",
    "ramp": "users",
    "interval": "5s",
    "settle": "5s",
    "think": "0",
    "timeout": "10s",
    "cpu-limit": "5",
    "limiter": "cpulimit",
    "calibrate": "no",
    "variant": "plain",
    "scenario": "items",
    "rows": "10000",
    "seed": "1",
    "name": "bench",
    "note": "",
    "warm": "200",
}
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
DEMO = {"servers": "1,2", "vusers": "100", "interval": "800ms", "settle": "5s", "hold": "15s", "name": "demo"}


def from_flags(flags: Mapping[str, str | None]) -> Experiment:
    """The experiment of a bench. Flags by the names a person types ("cpu-limit"), None or "" for not given.

    Raises BadInput with all problems at once.
    """
    known = parsers() | {"servers": words.trial_servers}  # a bench is one trial
    return _merge((Given("default", DEFAULTS, {}), _flags(flags)), known)


def demo(flags: Mapping[str, str | None] | None = None) -> Experiment:
    """The demo's: 99 users in 8 s, settle 5 s, hold 15 s, 1 server and then 2; flags still win."""
    return _merge((Given("default", DEFAULTS, {}), Given("demo", DEMO, {}), _flags(flags or {})), parsers())


def rehearsal(fault: str, values: Mapping[str, str]) -> Experiment:
    """A rehearsal's: 40 users on 2 servers for 14 s, and what its fault (none: "clean") wants otherwise."""
    own = Given(f"plan/faults/{fault}.py", {**values, "name": f"rehearse-{fault.replace('_', '-')}"}, {})
    return _merge((Given("default", DEFAULTS, {}), Given("rehearsal", REHEARSAL, {}), own), parsers())


def deployment(flags: Mapping[str, str | None]) -> Experiment:
    """What a deploy needs of an experiment: servers (default: all app hosts, written 0), variant, rows, seed."""
    known = parsers() | {"servers": words.server_count}
    defaults = DEFAULTS | {"servers": "all", "name": "deploy"}
    return _merge((Given("default", defaults, {}), _flags(flags)), known, "inv --help deploy")


def _flags(flags: Mapping[str, str | None]) -> Given:
    values = {name: text for name, text in flags.items() if text not in (None, "")}
    return Given(
        "flag", {name: str(text) for name, text in values.items()}, {name: f"--{name}" for name in values}
    )


@dataclass
class _Merged:
    """Values as text, where each stands, and where each came from, by name."""

    texts: dict[str, str]
    places: dict[str, str]
    origins: dict[str, str]


def _layered(layers: Sequence[Given], known: Mapping[str, words.Parser], problems: list[Problem]) -> _Merged:
    """Later layers win; the ways to say how many users, and how long, replace each other."""
    merged = _Merged({}, {}, {})
    for layer in layers:
        for name, text in layer.values.items():
            if name not in known:
                hint = allowed.did_you_mean(name, known)
                problems.append(Problem(f"there is no {name}{hint}", layer.where(name)))
                continue
            for other in _replaced(name, layer):
                for found in (merged.texts, merged.places, merged.origins):
                    found.pop(other, None)
            merged.texts[name], merged.places[name] = text, layer.where(name)
            merged.origins[name] = f"flag --{name}" if layer.origin == "flag" else layer.where(name)
    if not {"vusers", "processes", "threads"} & merged.texts.keys():
        merged.texts["vusers"] = DEFAULT_VUSERS
        merged.places["vusers"] = merged.origins["vusers"] = "default"
    return merged


def _merge(
    layers: Sequence[Given], known: Mapping[str, words.Parser], help: str = "inv --help bench"
) -> Experiment:
    """One experiment of several layers. Raises BadInput with all problems, whose next command is `help`."""
    problems: list[Problem] = []
    merged = _layered(layers, known, problems)
    texts, places, origins = merged.texts, merged.places, merged.origins
    values: dict[str, Any] = {}
    for name, text in texts.items():
        try:
            values[name] = known[name](text)
        except ValueError as error:
            problems.append(Problem(str(error), places[name]))
    load = _load(values, texts, places, problems)
    limit = _limit(values, places, problems)
    if problems or load is None:
        raise BadInput(problems, next=help)
    # What is in force though nobody asked for it is as much part of the record as what was asked.
    if "hold" not in texts:
        origins["hold"] = "--duration less ramp and settle" if "duration" in texts else "default"
    for name in ("initial", "step"):
        origins.setdefault(name, "default")
    return Experiment(
        name=values["name"],
        note=values["note"],
        servers=values["servers"],
        load=load,
        limit=limit,
        variant=values["variant"],
        rows=values["rows"],
        seed=values["seed"],
        warm_requests=values["warm"],
        origins=tuple(sorted(origins.items())),
        calibrate=values["calibrate"],
    )


def _replaced(name: str, layer: Given) -> tuple[str, ...]:
    """Values of earlier layers that this one stands in for, unless the layer itself says both."""
    rivals = {
        "vusers": ("processes", "threads"),
        "processes": ("vusers",),
        "threads": ("vusers",),
        "duration": ("hold",),
        "hold": ("duration",),
    }.get(name, ())
    return tuple(other for other in rivals if other not in layer.values)


def _load(
    values: Mapping[str, Any], texts: Mapping[str, str], places: Mapping[str, str], problems: list[Problem]
) -> Load | None:
    """The load, or None and problems. Values that could not be read leave their defaults to the rest."""
    known: dict[str, Any] = {}
    processes, threads = values.get("processes", 1), values.get("threads", 1)
    if "vusers" in texts and ("processes" in texts or "threads" in texts):
        problems.append(
            Problem("--vusers and --processes with --threads exclude each other", places["vusers"])
        )
    elif "vusers" in values:
        processes, threads, sentence = vusers(values["vusers"])
        known = {"said": (sentence,), "users_where": places["vusers"]}
    elif "vusers" not in texts:
        for name, other in (("processes", "threads"), ("threads", "processes")):
            if name not in texts:
                problems.append(Problem(f"--{other} needs --{name}", places[other]))
    asked = {
        "interval_s": "interval",
        "settle_s": "settle",
        "hold_s": "hold",
        "duration_s": "duration",
        "think_s": "think",
    }
    asked |= {
        "timeout_s": "timeout",
        "ramp": "ramp",
        "initial": "initial",
        "step": "step",
        "scenario": "scenario",
    }
    known |= {field: values[name] for field, name in asked.items() if name in values}
    try:
        return plan_load(Asked(processes=processes, threads=threads, **known))
    except BadInput as error:
        problems.extend(error.problems)
    return None


def _limit(values: Mapping[str, Any], places: Mapping[str, str], problems: list[Problem]) -> Limit:
    kind, percent = values.get("limiter", "none"), values.get("cpu-limit", 5.0)
    where = places["cpu-limit"] if places["cpu-limit"] != "default" else places["limiter"]
    limiter = limiters.load(kind)
    problems.extend(Problem(sentence, where) for sentence in limiter.problems(percent, 0))
    if values.get("calibrate") and "limiter" in values and limiter.scale is None:
        problems.append(Problem(f"limiter {kind} sets nothing that could be calibrated", places["calibrate"]))
    return Limit(kind, 0.0 if kind == "none" else percent)
