"""The values that a person may give, by name: how each is read, what it is by default, and which origin wins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from loadproof.errors import Problem
from loadproof.plan import allowed, words
from loadtests.profiles import arrivals

ROOT = Path(__file__).resolve().parents[2]
DEFAULT_VUSERS = "100"
DEFAULT_ARRIVALS = "poisson"
AUTOSTOPS = ("none", "ngrinder")
BALANCES = ("round_robin", "least_conn", "random")  # nginx's own words
PRIMARIES = ("tps", "mtt_ms", "p50_ms", "p95_ms", "p99_ms", "answer_or_give_up_ms", "failed_share", "knee")
# One for the whole experiment: arms that differ in it are not compared.
SHARED = frozenset(
    ("settle", "seed", "name", "note", "warm", "calibrate", "question", "primary", "repeats", "steal")
)
USERS = ("vusers", "processes", "threads")
# What a closed load has and an open one has not. A rate takes the place of what earlier layers say of it, and of their
# users, who are something else there.
OF_CLOSED = ("think", "ramp", "initial", "step", "interval")
APP = "app."  # app.NAME: a setting of the app, an environment variable


def choices(folder: Path) -> tuple[str, ...]:
    """The names of a folder of choices: its file names."""
    return tuple(sorted(path.stem for path in folder.glob("*.py") if not path.name.startswith("_")))


def parsers() -> dict[str, words.Parser]:
    """How each value is read, by the name a person types."""
    return {
        "servers": words.whole(1, 1000),
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
        "rate": words.rate,
        "arrivals": words.one_of(arrivals.names()),
        "autostop": words.one_of(AUTOSTOPS),
        "timeout": words.duration,
        "cpu-limit": words.percent,
        "limiter": words.limiter,
        "calibrate": words.switch,
        "variant": words.one_of(choices(ROOT / "app" / "variants")),
        "scenario": words.one_of(choices(ROOT / "loadtests" / "scenarios")),
        "rows": words.whole(1, 10_000_000),
        "balance": words.one_of(BALANCES),
        "keepalive": words.switch,
        "failover": words.switch,
        "seed": words.whole(0, 2**32 - 1),
        "name": words.judged(allowed.run_name),
        "note": words.note,
        "warm": words.whole(0, 100_000),
        "steal": words.tolerance,
        "question": words.note,
        "primary": words.one_of(PRIMARIES),
        "repeats": words.whole(1, 1000),
        # changes nothing: a factor for arms that are alike
        "copy": words.judged(allowed.run_name),
    }


DEFAULTS = {
    "servers": "1",
    "ramp": "users",
    "interval": "5s",
    "settle": "5s",
    "think": "0",
    "autostop": "none",
    "timeout": "10s",
    "cpu-limit": "5",
    "limiter": "cpulimit",
    "calibrate": "no",
    "variant": "plain",
    "scenario": "items",
    "rows": "10000",
    "balance": "round_robin",
    "keepalive": "no",
    "failover": "no",
    "seed": "1",
    "name": "bench",
    "note": "",
    "warm": "200",
    "steal": "2",
    "question": "",
    "primary": "tps",
    "repeats": "1",
}


@dataclass(frozen=True)
class Given:
    """Values by name with one origin: "default", "flag", a file. Where a value stands is `where(name)`. `factors`: names
    with a level for each arm."""

    origin: str
    values: Mapping[str, str]
    places: Mapping[str, str] = field(default_factory=dict)
    factors: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    thresholds: tuple[tuple[str, str], ...] = ()  # (text, where it stands)

    def where(self, name: str) -> str:
        """How a person finds the value: "--vusers", "default", or file:line."""
        return self.places.get(name, self.origin)


@dataclass
class Merged:
    """Values as text, where each stands, and where each came from, by name; and the levels of factors."""

    texts: dict[str, str] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    factors: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def forget(self, name: str) -> None:
        """Take a value, and a factor, back."""
        for found in (self.texts, self.places, self.origins, self.factors):
            found.pop(name, None)

    def at_level(self, levels: Mapping[str, str]) -> Merged:
        """The values of one arm: those of all arms, and a level of each factor."""
        mine = Merged(dict(self.texts), dict(self.places), dict(self.origins))
        layer = Given("factor", levels, {name: self.places[name] for name in levels})
        for name, text in levels.items():
            for other in _rivals(name, layer):
                mine.forget(other)
            mine.texts[name] = text
        return mine.completed()

    def completed(self) -> Merged:
        """With the default number of users, where nobody said how many; that of an open load follows from its rate."""
        named = self.texts.keys() | self.factors.keys()
        if "rate" in named:
            if "arrivals" not in named:
                self.texts["arrivals"] = DEFAULT_ARRIVALS
                self.places["arrivals"] = self.origins["arrivals"] = "default"
        elif not named & set(USERS):
            self.texts["vusers"] = DEFAULT_VUSERS
            self.places["vusers"] = self.origins["vusers"] = "default"
        return self


def layered(layers: Sequence[Given], known: Mapping[str, words.Parser], problems: list[Problem]) -> Merged:
    """Later layers win; the ways to say how many users, and how long, replace each other, and a value replaces a factor
    of its name."""
    merged = Merged()
    for layer in layers:
        for name in (one for one in layer.values if one in layer.factors):
            problems.append(Problem(f"{name} has one value, and levels as a factor", layer.where(name)))
        for name in (*layer.values, *layer.factors):
            if name not in known and not name.startswith(APP):
                hint = allowed.did_you_mean(name, known)
                problems.append(Problem(f"there is no {name}{hint}", layer.where(name)))
                continue
            for other in (*_rivals(name, layer), *_replaced(name, layer)):
                merged.forget(other)
            merged.places[name] = layer.where(name)
            merged.origins[name] = f"flag --{name}" if layer.origin == "flag" else layer.where(name)
            if name in layer.factors:
                merged.factors[name] = layer.factors[name]
                merged.texts.pop(name, None)
            else:
                merged.texts[name] = layer.values[name]
                merged.factors.pop(name, None)
    return merged


def _rivals(name: str, layer: Given) -> tuple[str, ...]:
    """Values of earlier layers that this one stands in for, unless the layer itself says both."""
    rivals = {
        "vusers": ("processes", "threads"),
        "processes": ("vusers",),
        "threads": ("vusers",),
        "duration": ("hold",),
        "hold": ("duration",),
    }.get(name, ())
    return tuple(other for other in rivals if other not in layer.values and other not in layer.factors)


def _replaced(name: str, layer: Given) -> tuple[str, ...]:
    """Values of earlier layers that a rate makes void, unless the layer itself says them too, which is a problem."""
    void = (*OF_CLOSED, *USERS) if name == "rate" else ()
    return tuple(other for other in void if other not in layer.values and other not in layer.factors)
