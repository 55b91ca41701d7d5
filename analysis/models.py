"""The model of a load, open or closed: what times mean in each, and why the two are never compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from loadproof.plan import openload
from loadproof.plan.values import Load

Arm = Mapping[str, Any]
MEANS = {
    "open": "times count from when a request was to be sent, also where it was sent late",
    "closed": "a user waits for its answer before it asks again, so times are what a user sees, and not what requests at a"
    " fixed rate would see",
}


def setup(load: Load) -> dict[str, str]:
    """What an open load, and a rule that ends one early, add to the setup of an arm; other loads are told by the rest."""
    rule: dict[str, str] = {"autostop": load.autostop} if load.autostop != "none" else {}
    if load.rate is None:
        return rule
    return {"model": "open", "rate": openload.spell(load.rate), "arrivals": load.arrivals, **rule}


def of(arm: Arm) -> str:
    """ "open" or "closed"."""
    return str(arm["setup"].get("model", "closed"))


def said(arm: Arm) -> str:
    """The load in words: "open, 200/s, poisson" or "closed, 99 users, think time 0 s"."""
    made = arm["setup"]
    if of(arm) == "open":
        return f"open, {made['rate']}, {made['arrivals']}"
    return f"closed, {made.get('users', '?')} users, think time {made.get('think time', '?')}"


def unlike(arms: Sequence[Arm]) -> list[str]:
    """A sentence where some loads are open and some closed."""
    if len({of(arm) for arm in arms}) < 2:
        return []
    each = "; ".join(f"{arm['label']}: {said(arm)}" for arm in arms)
    return [
        f"Some loads are open and some closed ({each}): their times mean different things, and arms are not compared."
    ]


def sentences(arms: Sequence[Arm]) -> list[str]:
    """What the times of each model mean, and when nGrinder would have stopped whom."""
    by_model: dict[str, list[str]] = {}
    for arm in arms:
        by_model.setdefault(of(arm), []).append(said(arm))
    told = [f"Load: {' / '.join(dict.fromkeys(each))}: {MEANS[model]}." for model, each in by_model.items()]
    return told + [text for arm in arms if (text := _stopped(arm))]


def _stopped(arm: Arm) -> str:
    """Of an arm: by nGrinder's rule, in how many of its trials, and when in the first of them."""
    stops = [one["ngrinder_stop"] for one in arm["trials"] if one.get("ngrinder_stop")]
    if not stops:
        return ""
    first, count = stops[0], len(arm["trials"])
    verb = "stopped" if first["stopped"] else "would have stopped"
    which = f" in {len(stops)} of {count} trials, the first" if count > 1 else ""
    return (
        f"nGrinder's rule {verb} {arm['label']}{which} at second {first['second']:g}, with {first['users']} users: of all"
        " requests so far more than half had failed, for 10 s on end."
    )
