"""What the limiter's supervisor wrote down, over the window and its settling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.checks import Measured, invalid, together, unknown, valid
from analysis.checks._limit import set_to
from analysis.checks.evidence import Evidence
from analysis.readers import limiter
from loadproof.plan.values import TrialPlan

ASKS = "was the limiter on each app from the last step of the ramp to the end of the window, set as planned?"
WITHHOLDS = "trial"
REMEDY = "see limiter.jsonl of that host for what ended the limiter; then repeat the trial"

LONGEST = 160  # characters of what the supervisor said


def applies(plan: TrialPlan) -> bool:
    """Without a limiter nothing was to be attached."""
    return plan.limit.kind != "none"


def judge(evidence: Evidence) -> Measured:
    """The value is for how many seconds no limiter was attached: a limit that is put back counts as lost until then,
    for an app may do in that second what it does in twenty otherwise."""
    return together([_host(evidence, host) for host in evidence.plan.apps])


def _host(evidence: Evidence, host: str) -> Measured:
    plan, hold = evidence.plan, evidence.window
    try:
        events, malformed = limiter.events(evidence.paths.raw(host))
    except OSError as error:
        return unknown(f"{host}: limiter.jsonl: {error.strerror}", limit=0.0, unit="s")
    if said := wrong(events, set_to(plan, host)):
        return invalid(f"{host}: {said}", limit=0.0, unit="s")
    if hold is None or not evidence.placed(host):
        why = "there is no window" if hold is None else "its clock is not known"
        return unknown(f"{host}: {why}", limit=0.0, unit="s")
    stretch = (hold.from_us - round(plan.load.settle_s * 1e6), hold.to_us)
    found = limiter.cover(events, plan.limit.kind, stretch, evidence.clock.of(host), 0)
    if found is None:
        return unknown(f"{host}: limiter.jsonl has events without a time", limit=0.0, unit="s")
    if found.lacking_us:
        lacking = found.lacking_us / 1e6
        return invalid(f"{host}: no limiter for {lacking:.2f} s{_lost(events)}", lacking, 0.0, "s")
    if found.unknown_us or malformed.count:
        why = (
            "its supervisor ended without a word" if found.unknown_us else "limiter.jsonl has malformed lines"
        )
        return unknown(f"{host}: {why}", limit=0.0, unit="s")
    return valid(f"{host}: attached throughout", 0.0, 0.0, "s")


def wrong(events: Sequence[Mapping[str, Any]], percent: float | None) -> str:
    """What is wrong whenever it happened: never started or attached, not in force, set to something else."""
    started = [event for event in events if event.get("event") == "started"]
    if not started:
        return "the limiter never started"
    if not any(event.get("event") == "attached" for event in events):
        return "the limiter was never attached"
    for event in events:
        if event.get("event") == "in_force" and not event.get("ok"):
            return f"the limit was {str(event.get('why'))[:LONGEST]}"
    for told in (event.get("percent") for event in started):
        if percent is None or not isinstance(told, (int, float)):
            continue
        if not percent - 1e-6 <= told <= percent + 1e-6:
            return f"the limiter was set to {_shown(told)} %, {percent:g} planned"
    return ""


def _shown(number: float) -> str:
    try:
        return f"{number:g}"
    except OverflowError:  # a whole number of a file may be larger than any float
        return str(number)[:LONGEST]


def _lost(events: Sequence[Mapping[str, Any]]) -> str:
    """What was gone, in words."""
    anew = limiter.anew(events)
    gone = (event for place, event in enumerate(events) if event.get("event") == "gone" and place not in anew)
    lost = list(dict.fromkeys(str(event.get("what"))[:LONGEST] for event in gone))
    return f" (gone: {', '.join(lost)})" if lost else ""
