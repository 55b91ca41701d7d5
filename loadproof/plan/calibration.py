"""Which setting of a limiter gives a server the share of a CPU that was asked for: what to try next, and what was found.

Pure. A setting and a share are percent of one CPU; a share is what the app's processes really used while requests
waited. Shares grow with the setting, about a point for a point, with noise; below some setting (3 for cpulimit, measured)
they grow again, so that a share may be out of reach.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from loadproof.plan.load import MOST_USERS
from loadproof.plan.values import Load

SEARCHES = 4  # trials at most that look for a setting; one more repeats what was found
MOST_TRIALS = SEARCHES + 1
PATIENCE = 2  # trials, in which nothing could be measured on a server
# Round robin gives each server as many requests as the slowest one takes: a faster one lives on what waits at it. So
# many users per server keep it busy to the end where rates differ by a tenth.
USERS_PER_SERVER = 400
USERS_FOR_PERCENT = 10.0  # above this share rates are higher, and so are their differences
SETTLE_S, HOLD_S = 4.0, 15.0  # cpulimit itself takes about 4 s to settle
AROUND_LOAD_S = 15.0  # of a calibration trial: reset, warm-up, start of Locust, drain, seal, fetch
FINE = 0.1  # points: a setting with finer steps need not come nearer


@dataclass(frozen=True)
class Scale:
    """What a limiter can be set to."""

    least: float
    most: float
    step: float

    def snap(self, setting: float) -> float:
        """The nearest possible setting."""
        return min(self.most, max(self.least, round(round(setting / self.step) * self.step, 6)))

    @property
    def close(self) -> float:
        """Points so near that no other setting is nearer, for all the noise there is."""
        return max(self.step / 4, FINE)


@dataclass(frozen=True)
class Measured:
    """What the limiter of a server was set to, and the share that its app got."""

    setting: float
    share: float


@dataclass(frozen=True)
class Found:
    """The setting whose mean share is nearest to the asked one; `error`: points that a measurement lay from the mean of
    its setting at most, None when no setting was measured twice."""

    setting: float
    share: float
    error: float | None


def means(seen: Sequence[Measured]) -> dict[float, float]:
    """The mean share of every setting that was measured."""
    shares: dict[float, list[float]] = {}
    for one in seen:
        shares.setdefault(one.setting, []).append(one.share)
    return {setting: sum(got) / len(got) for setting, got in shares.items()}


def found(asked: float, seen: Sequence[Measured]) -> Found | None:
    """What is nearest to the asked share, of two equally near ones the lower; None when nothing was measured."""
    if not seen:
        return None
    mean = means(seen)
    setting = min(mean, key=lambda one: (round(abs(mean[one] - asked), 9), one))
    repeated = [one for one in seen if sum(other.setting == one.setting for other in seen) > 1]
    errors = [abs(one.share - mean[one.setting]) for one in repeated]
    return Found(setting, mean[setting], max(errors, default=None))


def search(asked: float, seen: Sequence[Measured], scale: Scale) -> float | None:
    """The setting to try next on one server; None when no other one can be nearer: the two settings around the asked
    share are measured, or there is none on one side of it, or it was met."""
    if not seen:
        return scale.snap(asked)
    mean = means(seen)
    nearest = min(mean, key=lambda one: abs(mean[one] - asked))
    if abs(mean[nearest] - asked) <= scale.close:
        return None
    below = [setting for setting, share in mean.items() if share <= asked]
    above = [setting for setting, share in mean.items() if share > asked]
    if not below:
        return _outwards(asked, mean, sorted(mean), -scale.step, scale)
    if not above:
        return _outwards(asked, mean, sorted(mean, reverse=True), scale.step, scale)
    low, high = max(below), min(above)
    if high - low < 1.5 * scale.step:  # side by side, or crossed: the noise is larger than a step
        return None
    part = (asked - mean[low]) / (mean[high] - mean[low])
    inside = scale.snap(low + part * (high - low))
    return min(max(inside, scale.snap(low + scale.step)), scale.snap(high - scale.step))


def _outwards(
    asked: float, mean: Mapping[float, float], ordered: Sequence[float], step: float, scale: Scale
) -> float | None:
    """All shares lie on one side of the asked one: the next setting beyond the outermost, `ordered` from there inwards.

    Where going outwards brought nothing nearer there is no use in going on: what is left are the neighbours of the
    nearest that were left out on the way.
    """
    edge = ordered[0]
    if len(ordered) > 1 and abs(mean[edge] - asked) >= abs(mean[ordered[1]] - asked):
        nearest = min(mean, key=lambda one: abs(mean[one] - asked))
        beside = [scale.snap(nearest + one) for one in (step, -step)]
        return next((one for one in beside if one not in mean), None)
    points = asked - mean[edge]
    setting = scale.snap(edge + (min(points, step) if step < 0 else max(points, step)))
    return None if setting == edge else setting


@dataclass(frozen=True)
class Try:
    """The next calibration trial: the setting of each server; `repeat`: all are repeated, for the error."""

    settings: tuple[tuple[str, float], ...]
    repeat: bool


def following(asked: float, seen: Mapping[str, Sequence[Measured]], trials: int, scale: Scale) -> Try | None:
    """What to try after so many trials; None: the calibration is over. Servers that need no search repeat their best; one
    of which nothing is known after two trials ends it."""
    if trials >= PATIENCE and not all(seen.values()):
        return None
    wanted = {host: search(asked, got, scale) for host, got in seen.items()}
    best = {host: found(asked, got) for host, got in seen.items()}
    settings = {host: one.setting if one else scale.snap(asked) for host, one in best.items()}
    if trials < SEARCHES and any(setting is not None for setting in wanted.values()):
        settings |= {host: setting for host, setting in wanted.items() if setting is not None}
        return Try(tuple(settings.items()), repeat=False)
    repeated = all(
        one is not None and sum(other.setting == one.setting for other in seen[host]) > 1
        for host, one in best.items()
    )
    return None if repeated or trials >= MOST_TRIALS else Try(tuple(settings.items()), repeat=True)


def load(asked: Load, servers: int, percent: float) -> Load:
    """Full load at once: users enough that requests always wait at every server, no think time, one window."""
    each = round(USERS_PER_SERVER * max(1.0, percent / USERS_FOR_PERCENT))
    threads = max(1, min(each * servers, MOST_USERS) // asked.processes)
    users = asked.processes * threads
    return replace(
        asked,
        threads=threads,
        users=users,
        ramp="users",
        table=((0.0, users),),
        ramp_end_s=0.0,
        settle_s=SETTLE_S,
        hold_s=HOLD_S,
        end_s=SETTLE_S + HOLD_S,
        think_s=0.0,
        said=(),
        rate=None,
        arrivals="",
        autostop="none",
    )


def most_s() -> float:
    """How long a calibration takes at most, but for what hosts lack and has to be shipped: seconds."""
    return MOST_TRIALS * (SETTLE_S + HOLD_S + AROUND_LOAD_S)


def because(number: int, tried: Try, said: Mapping[str, str]) -> str:
    """Why a calibration trial is run: "calibration 02: app1 -l 4, app2 -l 3"; `said`: each setting in words, by host."""
    words = set(said.values())
    text = words.pop() if len(words) == 1 else ", ".join(f"{host} {word}" for host, word in said.items())
    return f"calibration {number:02d}: {text}" + (" again (repeat error)" if tried.repeat else "")
