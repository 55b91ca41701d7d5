"""The arms of an experiment: every combination of its factors' levels, each with its load, its limit and what serves."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from typing import Any

from loadproof.errors import BadInput, Problem
from loadproof.plan import allowed, limiters, openload, words
from loadproof.plan.durations import spell
from loadproof.plan.load import KNEE_LEVELS, LEVEL_S, MOST_USERS, Asked, plan_load, settling, vusers
from loadproof.plan.settings import APP, OF_CLOSED, SHARED, USERS, Merged
from loadproof.plan.values import Arm, Limit, Load, Serving

MOST_ARMS = 64
APP_NAME = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
# what systemd reads from an environment file without taking any of it for its own
APP_VALUE = re.compile(r"[A-Za-z0-9_.,:/+=@-]{0,200}")


def arms(merged: Merged, known: Mapping[str, words.Parser], problems: list[Problem]) -> tuple[Arm, ...]:
    """All arms, the levels of the last factor changing first. What is wrong is added to `problems`, each once."""
    found: list[Problem] = []
    for name, levels in merged.factors.items():
        if name in SHARED:
            what = f"{name} is one for all arms, and no factor: arms that differ in it are not compared"
            found.append(Problem(what, merged.places[name]))
        if len(set(levels)) < len(levels):
            found.append(Problem(f"each level of {name} once", merged.places[name]))
    if (
        merged.texts.get("calibrate", "no").lower() in ("yes", "true")
        and {"limiter", "cpu-limit"} & merged.factors.keys()
    ):
        what = "a calibration finds what one limit is set to: limiter and cpu-limit are no factors with it"
        found.append(Problem(what, merged.places["calibrate"]))
    count = 1
    for levels in merged.factors.values():
        count *= len(levels)
    if count > MOST_ARMS:
        places = ", ".join(merged.factors)
        found.append(Problem(f"{count} arms are more than {MOST_ARMS}", places))
    made = [] if found else [
        _arm(merged.at_level(dict(zip(merged.factors, levels, strict=True))), tuple(merged.factors), known, found)
        for levels in itertools.product(*merged.factors.values())
    ]  # fmt: skip
    problems += [one for one in dict.fromkeys(found) if one not in problems]
    return tuple(arm for arm in made if arm is not None)


def _arm(
    mine: Merged, factors: tuple[str, ...], known: Mapping[str, words.Parser], problems: list[Problem]
) -> Arm | None:
    values = read(mine, known, problems)
    load = _load(values, mine, problems)
    limit = _limit(values, mine.places, problems)
    serving = _serving(values, mine, problems)
    if load is None or problems:
        return None
    if values.get("primary") == "knee" and settling(load) < KNEE_LEVELS:
        what = (
            f"a knee is looked for in a ramp of at least {KNEE_LEVELS} levels of {spell(LEVEL_S)}, and this load has "
            f"{settling(load)}: a longer --interval or a smaller --step"
        )
        problems.append(Problem(what, mine.places["primary"]))
        return None
    named = tuple((name, _level(name, values, mine.texts)) for name in factors or ("servers",))
    label = ",".join(f"{name}={level}" for name, level in named)
    return Arm(label, named, values["servers"], load, limit, serving)


def _level(name: str, values: Mapping[str, Any], texts: Mapping[str, str]) -> Any:
    """A level as the record has it: a whole number, or the text as it was written."""
    value = values.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else texts[name]


def read(mine: Merged, known: Mapping[str, words.Parser], problems: list[Problem]) -> dict[str, Any]:
    """Every value that can be read, by name."""
    values: dict[str, Any] = {}
    for name, text in mine.texts.items():
        if name.startswith(APP):
            continue
        try:
            values[name] = known[name](text)
        except ValueError as error:
            problems.append(Problem(str(error), mine.places[name]))
    return values


def _load(values: Mapping[str, Any], mine: Merged, problems: list[Problem]) -> Load | None:
    """The load, or None and problems. Values that could not be read leave their defaults to the rest."""
    texts, places = mine.texts, mine.places
    known: dict[str, Any] = {}
    processes, threads = values.get("processes", 1), values.get("threads", 1)
    if "vusers" in texts and ("processes" in texts or "threads" in texts):
        problems.append(
            Problem("--vusers and --processes with --threads exclude each other", places["vusers"])
        )
    elif "rate" in texts and not set(USERS) & texts.keys():
        known = _pool(values)
        processes, threads = known.pop("pool")
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
    asked |= {"rate": "rate", "autostop": "autostop"}
    if "rate" in texts:
        asked["arrivals"] = "arrivals"
        known["rate_where"] = places["rate"]
    problems.extend(_of_the_other_model(values, mine))
    known |= {field: values[name] for field, name in asked.items() if name in values}
    try:
        return plan_load(Asked(processes=processes, threads=threads, **known))
    except BadInput as error:
        problems.extend(error.problems)
    return None


def _pool(values: Mapping[str, Any]) -> dict[str, Any]:
    """Processes and threads of the users that an open load needs, as "pool", and what is said about them."""
    rate, timeout = values.get("rate", 1.0), values.get("timeout", 10.0)
    number = openload.pool(rate, timeout)
    processes, threads, _ = vusers(number)
    needed = "all that nginx is set up for" if number >= MOST_USERS else "enough if none is answered in time"
    return {
        "pool": (processes, threads),
        "said": (f"{processes * threads} users make the requests of {openload.spell(rate)}: {needed}",),
        "users_where": "--rate and --timeout",
    }


def _of_the_other_model(values: Mapping[str, Any], mine: Merged) -> Iterator[Problem]:
    """What a closed load has and an open one has not, or the other way round."""
    if "rate" not in mine.texts:
        if "arrivals" in mine.texts:
            yield Problem("arrivals are those of an open load: they need --rate", mine.places["arrivals"])
        return
    for name in OF_CLOSED:
        if name not in mine.texts or mine.places[name] == "default":
            continue
        if name == "think":
            if values.get("think", 0.0) > 0:
                what = "users of an open load do not think: --rate says when requests begin"
                yield Problem(what, mine.places[name])
            continue
        what = f"an open load has no ramp, and no {name}: its users are all there before the first request"
        yield Problem(what, mine.places[name])


def _limit(values: Mapping[str, Any], places: Mapping[str, str], problems: list[Problem]) -> Limit:
    kind, percent = values.get("limiter", "none"), values.get("cpu-limit", 5.0)
    where = places["cpu-limit"] if places["cpu-limit"] != "default" else places["limiter"]
    limiter = limiters.load(kind)
    problems.extend(Problem(sentence, where) for sentence in limiter.problems(percent, 0))
    if values.get("calibrate") and "limiter" in values and limiter.scale is None:
        problems.append(Problem(f"limiter {kind} sets nothing that could be calibrated", places["calibrate"]))
    return Limit(kind, 0.0 if kind == "none" else percent)


def _serving(values: Mapping[str, Any], mine: Merged, problems: list[Problem]) -> Serving:
    app = {name.removeprefix(APP): text for name, text in mine.texts.items() if name.startswith(APP)}
    for name, text in app.items():
        place = mine.places[APP + name]
        if not APP_NAME.fullmatch(name) or name.startswith("LOADPROOF_"):
            what = "capital letters, digits and '_', and not one of ours (LOADPROOF_…)"
            problems.append(
                Problem(f"{allowed.shown(name)} is no name of a setting of the app: {what}", place)
            )
        if not APP_VALUE.fullmatch(text):
            what = "letters, digits and _ . , : / + = @ -, at most 200"
            problems.append(
                Problem(f"{allowed.shown(text)} is no value of a setting of the app: {what}", place)
            )
    names = ("variant", "rows", "balance", "keepalive", "failover")
    return Serving(**{name: values[name] for name in names if name in values}, app=tuple(sorted(app.items())))
