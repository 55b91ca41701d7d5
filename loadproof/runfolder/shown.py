"""Figures as both the summary and the report write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

BEYOND = 100.0  # so many times, or as many times less, is as far as the interval of a ratio is told
# below so many successes every one of them may lie under the percentile (95 % certainty): it is not shown
ENOUGH = {"p50_ms": 5, "p95_ms": 59, "p99_ms": 299}


def too_few(arm: Mapping[str, Any], name: str) -> str:
    """ "n < 59" where a percentile of an arm of results.json has too few successes to be shown; else empty."""
    if arm[name] is None or arm["requests"] - arm["failures"] >= ENOUGH[name]:
        return ""
    return f"n < {ENOUGH[name]}"


def withheld(arm: Mapping[str, Any], name: str) -> str:
    """Why a figure of an arm of results.json ("whole_run.tps" for one of the whole run) is not shown, in a word or two;
    empty when it is."""
    if name in ENOUGH and (few := too_few(arm, name)):
        return few
    part, _, key = name.rpartition(".")
    if (arm[part] if part else arm)[key] is None:
        return ""
    return next(
        (
            check["name"].replace("_", " ")
            for check in arm.get("checks", ())
            if isinstance(check["withholds"], list) and name in check["withholds"]
        ),
        "",
    )


def held(arm: Mapping[str, Any]) -> int:
    """Of how many trials the figures of an arm of several are: its VALID ones."""
    return sum(one["verdict"] == "VALID" for one in arm["trials"])


def between(low: float, high: float, digits: int = 3, to: str = " to ") -> str:
    """The interval of a ratio. Of an end beyond a hundred times nothing is known but that."""
    ends = [
        f"below {1 / BEYOND:g}"
        if one < 1 / BEYOND
        else f"above {BEYOND:g}"
        if one > BEYOND
        else f"{one:.{digits}f}"
        for one in (low, high)
    ]
    return to.join(ends)


def share(part: int | None, whole: int | None) -> str:
    """Percent in words, never 0 or 100 for some or for not all; empty for none."""
    if part is None or not whole:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 0.1:
        return "< 0.1 %"
    if 99.9 < percent < 100:
        return "> 99.9 %"
    return f"{percent:.1f} %"


def short(window: Mapping[str, Any]) -> str:
    """What a window of results.json is too short for, in a word or three; empty for nothing."""
    if window.get("short"):
        return "short"
    return "short for times" if window.get("short_for_times") else ""


def ramped(arm: Mapping[str, Any]) -> bool:
    """Whether there is a ramp to speak of: steps of less than a second or so are no levels."""
    return bool(arm.get("knee")) and any(len(one.get("levels") or ()) > 1 for one in arm["trials"])


def most_errors(arm: Mapping[str, Any]) -> Mapping[str, int]:
    """Failures by class as far as they are known: of the whole run, else of the window."""
    whole: Mapping[str, int] | None = arm["whole_run"]["errors"]
    return (arm["errors"] or {}) if whole is None else whole


def errors_known(arm: Mapping[str, Any]) -> bool:
    """Whether every failure of an arm is known: only then "none" may be said."""
    return arm["whole_run"]["errors"] is not None


def limit(server: Mapping[str, Any], number: Callable[[Any], str], none: str = "-") -> str:
    """The limit that was asked for a server, and what its limiter was set to where a calibration found another value."""
    asked, setting = server["limit_percent"], server.get("limit_set")
    if asked is None:
        return none
    return number(asked) + (f" (set {setting:g})" if setting not in (None, asked) else "")


def verdict(results: Mapping[str, Any]) -> str:
    """The first line of a summary: "VALID", or the verdict and what it comes from."""
    why = broken(results)
    return f"{results['verdict']}: {why}" if why else str(results["verdict"])


def broken(results: Mapping[str, Any]) -> str:
    """The checks that a verdict comes from, the only one with what it found; empty for VALID."""
    found = [check for check in conditions(results) if check["verdict"] == results["verdict"]]
    if len(found) == 1:
        return f"{found[0]['name']} ({found[0]['said']})"
    return ", ".join(check["name"] for check in found)


def conditions(results: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The checks that keep a trial, arm or run from being VALID, the worst ones first."""
    broken = [check for check in results["checks"] if check["withholds"] == "trial"]
    return sorted(broken, key=lambda check: check["verdict"] != "INVALID")
