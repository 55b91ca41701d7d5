"""What is said of an experiment before it starts: its question, its arms, and what it costs."""

from __future__ import annotations

from loadproof.console.text import escape, seconds, table
from loadproof.console.trial import before as loads
from loadproof.plan import blocks, calibration, thresholds
from loadproof.plan.values import Experiment, Inventory

AROUND_LOAD_S = 12.0  # of a trial: reset, warm-up, start of Locust, drain, seal, fetch (10 s on the lab)


def before(asked: Experiment, hosts: Inventory | None) -> str:
    """Question, arms, load, and how many trials, minutes and requests there will be. `hosts`: None when they were not
    looked at."""
    rows = [
        (
            arm.label,
            arm.servers,
            arm.load.users,
            _limit(arm.limit.kind, arm.limit.percent),
            seconds(arm.load.end_s),
        )
        for arm in asked.arms
    ]
    lines = [f"question: {escape(asked.question)}", ""] if asked.question else []
    lines += [table(("arm", "servers", "users", "limit", "load"), rows), "", loads(asked), "", *cost(asked)]
    if hosts is not None:
        names = ", ".join(host.name for host in hosts.group("app"))
        lines.append(f"servers of an arm are taken in turn from {escape(names)}")
    return "\n".join(lines)


def _limit(kind: str, percent: float) -> str:
    return "none" if kind == "none" else f"{kind} {percent:g} %"


def cost(asked: Experiment) -> list[str]:
    """Trials, minutes, requests; and what is odd about the plan."""
    load_s = sum(arm.load.end_s for arm in asked.arms)
    spent = asked.blocks * (load_s + AROUND_LOAD_S * len(asked.arms))
    spent += calibration.most_s() if asked.calibrate else 0.0
    plural = "" if asked.blocks == 1 else "s"
    lines = [
        f"{asked.trials} trials ({asked.blocks} block{plural} of {len(asked.arms)} arms, primary figure {asked.primary}),"
        f" about {max(1, round(spent / 60))} minutes, {_requests(asked)}"
    ]
    if asked.blocks > 1 and not blocks.balanced(len(asked.arms), asked.blocks):
        lines.append(
            f"note: {asked.blocks} blocks of {len(asked.arms)} arms cannot give every arm every place equally often:"
            f" a drift of the hosts may look like a difference; take a multiple of {len(asked.arms)}"
        )
    if 1 < asked.blocks < 3:
        lines.append("note: an interval needs 3 blocks")
    if asked.blocks < 3 and any(thresholds.parse(text).pair for text in asked.thresholds):
        lines.append("note: a threshold on a ratio needs 3 blocks: with fewer it fails")
    return lines


def _requests(asked: Experiment) -> str:
    """At most so many, where users think between requests; a closed load without think time takes what servers give."""
    if any(arm.load.think_s <= 0 and arm.load.rate is None for arm in asked.arms):
        return "as many requests as the servers answer"
    most = 0.0
    for arm in asked.arms:
        if arm.load.rate is not None:
            most += arm.load.rate * (arm.load.end_s - arm.load.ramp_end_s)
            continue
        ends = [*(second for second, _ in arm.load.table[1:]), arm.load.end_s]
        busy = sum((end - at) * users for (at, users), end in zip(arm.load.table, ends, strict=True))
        most += busy / arm.load.think_s
    return f"at most {round(asked.blocks * most):,} requests"
