"""What is said of a search for a capacity: before it starts, and what was tried when it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadproof.console.experiment import AROUND_LOAD_S
from loadproof.console.text import escape, seconds, table
from loadproof.console.trial import trial_limit
from loadproof.plan import calibration, capacity, levels, limits
from loadproof.plan.values import Capacity, Experiment


def before(asked: Experiment) -> str:
    """The question, how it is answered, and how many trials and minutes that takes at most."""
    search, arm = asked.capacity, asked.arms[0]
    assert search is not None
    load = arm.load
    lines = [
        f"question: {escape(asked.question)}",
        "",
        f"{search.load} from {search.least:,} to {search.most:,}, think time {seconds(load.think_s)}, timeout"
        f" {seconds(load.timeout_s)}, scenario {load.scenario}; {_servers(arm.servers)}, {trial_limit(arm.limit)}",
        f"each trial: all users within {_ramp_s():g} s, settling"
        f" {seconds(load.settle_s)}, a hold of {seconds(load.hold_s)} (up to {capacity.LONGEST_HOLD_S:g} s where"
        " answers are too few for a percentile)",
        f"search: times {capacity.GROWTH} until a load is over, then halving to {100 * search.resolution:g} %;"
        f" at most {capacity.most_searched(search)} trials, none of which counts",
        f"answer: {search.fresh} fresh trials of what was found; of a lower load where they do not show it,"
        f" {len(capacity.MISSES)} times at most",
        "",
        *cost(asked, search),
    ]
    return "\n".join(lines)


def _servers(count: int) -> str:
    return f"{count} server" + ("" if count == 1 else "s")


def cost(asked: Experiment, search: Capacity) -> list[str]:
    """Trials and minutes at most, as planned, and if all that may go wrong does."""
    trials = capacity.most_trials(search)
    around_s = _ramp_s() + asked.arms[0].load.settle_s + AROUND_LOAD_S
    each_s = around_s + asked.arms[0].load.hold_s
    worst_s = around_s + max(capacity.LONGEST_HOLD_S, asked.arms[0].load.hold_s)
    extra = calibration.most_s() if asked.calibrate else 0.0
    return [
        f"at most {trials} trials, {_minutes(trials * each_s + extra)} minutes; if every trial had to be repeated with"
        f" the longest hold, {_minutes(2 * trials * worst_s + extra)}"
    ]


def _ramp_s() -> float:
    return (levels.RAMP_STEPS - 1) * levels.RAMP_STEP_S


def _minutes(value: float) -> int:
    return max(1, round(value / 60))


def tried(found: Mapping[str, Any]) -> str:
    """Every load that was tried, in order."""
    rows = [
        (
            one["because"] + (f": {one[found['load']]:,}" if one["purpose"] == "verify" else ""),
            ", ".join([*one["repeated"], *one["trials"]]),
            "; ".join(limits.spread(figure, values) for figure, values in one["values"].items()),
            "; ".join(
                "beyond" if top is None else limits.amount(figure, top)
                for figure, top in (one["upper"] or {}).items()
            ),
            one["outcome"] + (f": {one['why']}" if one["why"] else ""),
        )
        for one in found["tried"]
    ]
    return table(("tried", "trials", "found", "upper limit", ""), rows)
