"""What a person reads before and while a trial runs: the load over time, the live view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from loadproof.console.text import escape, number, seconds, table
from loadproof.plan import calibration, limiters, openload
from loadproof.plan.values import Experiment, Limit, Load, TrialPlan

FIRST_ROWS, LAST_ROWS = 12, 2


class Live(Protocol):
    """The newest figures of a running load."""

    @property
    def elapsed_s(self) -> float: ...
    @property
    def users(self) -> int: ...
    @property
    def tps(self) -> float: ...
    @property
    def mtt_ms(self) -> float | None: ...
    @property
    def failures(self) -> int: ...
    @property
    def requests(self) -> int: ...
    @property
    def cpu_percent(self) -> tuple[tuple[str, float | None], ...]: ...


def load_table(load: Load) -> str:
    """Users over time, before anything starts; a long ramp is shown by its first and last steps."""
    rows: list[tuple[object, ...]] = [
        (seconds(second), users, _what(load, index)) for index, (second, users) in enumerate(load.table)
    ]
    if len(rows) > FIRST_ROWS + LAST_ROWS + 1:
        left_out = len(rows) - FIRST_ROWS - LAST_ROWS
        rows = [*rows[:FIRST_ROWS], ("...", f"{left_out} steps", ""), *rows[-LAST_ROWS:]]
    if load.rate is not None:
        rows = [
            (seconds(0), load.users, "users who make the requests"),
            (seconds(load.ramp_end_s), load.users, "first requests"),
        ]
    window = load.ramp_end_s + load.settle_s
    rows.append((seconds(window), load.users, f"window begins (hold of {seconds(load.hold_s)})"))
    rows.append((seconds(load.end_s), 0, "end"))
    said = [
        f"load: {load.users} users = {load.processes} processes x {load.threads} threads, scenario {load.scenario},"
        f" {_model(load)}, timeout {seconds(load.timeout_s)}"
    ]
    return "\n".join([*said, *load.said, "", table(("second", "users", ""), rows)])


def _model(load: Load) -> str:
    """What decides when a request begins; and the rule that ends the load early."""
    rule = f", autostop {load.autostop}" if load.autostop != "none" else ""
    return (f"think time {seconds(load.think_s)}" if load.rate is None else openload.said(load)) + rule


def before(asked: Experiment) -> str:
    """What is said before anything is touched: the load of every arm, and how long a calibration will take."""
    loads: dict[Load, list[str]] = {}
    for arm in asked.arms:
        loads.setdefault(arm.load, []).append(arm.label)
    tables = [
        (f"{', '.join(labels)}: " if len(loads) > 1 else "") + load_table(load)
        for load, labels in loads.items()
    ]
    if asked.calibrate:
        minutes = max(1, round(calibration.most_s() / 60))
        tables.append(
            f"calibration: up to {calibration.MOST_TRIALS} trials under full load come first, about {minutes} minutes;"
            f" what they find for {asked.arms[0].limit.percent:g} % holds for this run only"
        )
    return "\n\n".join(tables)


def _what(load: Load, index: int) -> str:
    if index == 0:
        return "first step"
    return "all users" if index == len(load.table) - 1 else ""


def trial_line(trial: TrialPlan, index: int, total: int) -> str:
    """One line that opens a trial."""
    servers = ", ".join(trial.apps)
    limit = trial_limit(trial.limit)
    if trial.limit_set and trial.purpose != "calibration":
        said = limiters.load(trial.limit.kind).said
        limit += f" ({', '.join(f'{host} {said(setting)}' for host, setting in trial.limit_set)})"
    number = f"trial {trial.id} ({index} of {total}): {trial.arm}"
    if trial.purpose != "measure":
        number = f"trial {trial.id}: {trial.because}"
    return (
        f"{number} on {servers}; variant {trial.serving.variant}; {limit}; "
        f"{len(trial.workers)} Locust workers on {', '.join(trial.loads)}"
    )


def trial_limit(limit: Limit) -> str:
    """What holds each server's app."""
    return "no limit" if limit.kind == "none" else f"{limit.kind} at {limit.percent:g} % of one CPU"


def live_header(servers: Sequence[str]) -> str:
    """The head of the live view."""
    cells = ["elapsed", "users", "TPS", "MTT ms", "errors", *(f"CPU {escape(name)}" for name in servers)]
    return " ".join(f"{cell:>{_width(cell)}}" for cell in cells)


def live_line(live: Live) -> str:
    """One line of the live view, under `live_header`."""
    cells = [
        ("elapsed", f"{live.elapsed_s:.0f} s"),
        ("users", str(live.users)),
        ("TPS", f"{live.tps:.1f}"),
        ("MTT ms", number(live.mtt_ms)),
        ("errors", number(live.failures)),
        *((f"CPU {escape(name)}", number(percent, unit=" %")) for name, percent in live.cpu_percent),
    ]
    return " ".join(f"{text:>{_width(head)}}" for head, text in cells)


def _width(head: str) -> int:
    return max(len(head), 8)


def live_summary(load: Load, seen: Sequence[Live]) -> list[str]:
    """What the live view saw, at the end of a trial: a first impression, no result."""
    if not seen:
        return []
    window = [live for live in seen if live.elapsed_s >= load.ramp_end_s + load.settle_s] or seen[-1:]
    end = seen[-1]
    tps = sum(live.tps for live in window) / len(window)
    waited = [live.mtt_ms for live in window if live.mtt_ms is not None]
    lines = [
        f"seen live (figures come with fetch-results): {end.users or load.users} users, {number(end.requests)} requests,"
        f" {number(end.failures)} errors; in the hold about {tps:.1f} TPS"
        + (f", MTT {number(sum(waited) / len(waited))} ms" if waited else "")
    ]
    shares: dict[str, list[float]] = {}
    for live in window:
        for name, percent in live.cpu_percent:
            if percent is not None:
                shares.setdefault(name, []).append(percent)
    if shares:
        lines.append("CPU in the hold: " + ", ".join(_share(*one, len(window)) for one in shares.items()))
    return lines


def _share(name: str, seen: Sequence[float], looks: int) -> str:
    """A server's mean CPU, and how often it was seen when that was seldom."""
    seldom = f" ({len(seen)} of {looks} looks)" if len(seen) < looks / 2 else ""
    return f"{escape(name)} {sum(seen) / len(seen):.1f} %{seldom}"
