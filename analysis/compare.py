"""Arms against each other: ratios over the blocks in which both have a VALID trial, as results.json has them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis import joined, statistics
from analysis.knee import Bend
from analysis.statistics import Ratio
from loadproof.runfolder import shown

Arm = Mapping[str, Any]

# What is compared beside the primary figure. MTT and TPS of a closed load at equal users are one fact: N = X (R + Z).
OTHERS = ("tps", "mtt_ms", "p95_ms", "answer_or_give_up_ms", "efficiency")
OF_SUCCESSES = ("mtt_ms", "mtsd_ms", "p50_ms", "p95_ms", "p99_ms")
TIMES = (*OF_SUCCESSES, "answer_or_give_up_ms")
SHARE_POINTS = 1.0  # whoever fails more looks faster: beyond this, times of successes are not compared
FAILED = "failed_share"
KNEE = "knee"  # of the ramps of two arms, where both have one
AS_RUN, EQUAL_CPU = "as run", "equal cpu"
FULL = 0.8  # of what it was held to: a server that used less had nothing to do at times


def comparisons(primary: str, arms: Sequence[Arm], why_not: str = "") -> list[dict[str, Any]]:
    """Every pair of arms that differ in one factor, the first level of that factor below; first the primary figure, with
    its own 95 % interval, then the others, whose intervals of all pairs hold together. `why_not`: what forbids to compare
    at all."""
    found = []
    bent = any(_bent(arm) for arm in arms)
    paired = list(pairs(arms))
    for numerator, denominator in paired:
        for metric, basis, confidence in _asked(primary, bent, len(paired)):
            make = _knees if metric == KNEE else _one
            found.append(make(numerator, denominator, metric, basis, confidence, metric == primary, why_not))
    return [one for one in found if one is not None]


def pairs(arms: Sequence[Arm]) -> Iterator[tuple[Arm, Arm]]:
    """(numerator, denominator) of arms that differ in one factor, where the denominator has its first level."""
    first = {name: value for arm in reversed(arms) for name, value in arm["factors"].items()}
    for below in arms:
        for above in arms:
            names = set(above["factors"]) | set(below["factors"])
            apart = [name for name in names if above["factors"].get(name) != below["factors"].get(name)]
            if len(apart) == 1 and below["factors"].get(apart[0]) == first.get(apart[0]):
                yield above, below


def spikes(arms: Sequence[Arm], why_not: str = "") -> list[dict[str, Any]]:
    """Of every pair of arms how much larger the share of spike seconds is, as paired differences with 95 % intervals;
    nothing of a pair of which a trial that counts has none that can be told, or of which MTT may not be compared: a spike is
    a mean time of successes."""
    return _differences(
        arms,
        ("share", "common_share"),
        _shares,
        lambda above, below: why_not or unfit(above, below, "mtt_ms"),
    )


def failures(arms: Sequence[Arm], why_not: str = "") -> list[dict[str, Any]]:
    """The same of the failed share, which has no ratio where nothing failed."""
    return _differences(arms, (FAILED,), _known, lambda above, below: why_not)


def levels(arms: Sequence[Arm], why_not: str = "") -> list[dict[str, Any]]:
    """TPS level by level: of every pair of arms with a ramp the ratio at each level that settled in every trial of both
    that counts, each with its own 95 % interval."""
    found = []
    for above, below in pairs(arms) if not why_not else ():
        settled = [_settled(arm) for arm in (above, below)]
        for users in sorted(settled[0].keys() & settled[1].keys()):
            tps = [one[users] for one in settled]
            blocks = sorted(tps[0].keys() & tps[1].keys())
            values = [[one[at] for at in blocks] for one in tps]
            zero = min((min(some) for some in values if some), default=0.0) <= 0
            told = None if zero else statistics.paired(values[0], values[1])
            found.append(
                {
                    "users": users,
                    "numerator": above["label"],
                    "denominator": below["label"],
                    "tps": [statistics.geometric(some) for some in values],
                    **_as_json(told, statistics.CONFIDENCE, "nobody was answered, or no block has both"),
                }
            )
    return found


def _settled(arm: Arm) -> dict[int, dict[int, float]]:
    """By users, and by block, TPS of the levels of a ramp that settled in every trial that counts."""
    ramps = {
        one["block"]: {level["users"]: level["tps"] for level in one.get("levels") or () if not level["why"]}
        for one in _valid(arm)
    }
    shared = set.intersection(*(set(one) for one in ramps.values())) if ramps else set()
    if len(shared) < 2:  # the hold alone is no ramp
        return {}
    return {users: {block: ramp[users] for block, ramp in ramps.items()} for users in shared}


def _differences(
    arms: Sequence[Arm],
    names: Sequence[str],
    read: Callable[[Arm, str], dict[int, float]],
    why_not: Callable[[Arm, Arm], str],
) -> list[dict[str, Any]]:
    found = []
    for above, below in pairs(arms):
        for name in names if not why_not(above, below) else ():
            values = [read(arm, name) for arm in (above, below)]
            # a trial that counts and lacks it found something: without its block the others would look better
            whole = all(len(one) == len(_valid(arm)) for one, arm in zip(values, (above, below), strict=True))
            blocks = sorted(values[0].keys() & values[1].keys())
            if not (whole and blocks):
                continue
            told = statistics.differing([values[0][at] for at in blocks], [values[1][at] for at in blocks])
            found.append(
                {"what": name, "numerator": above["label"], "denominator": below["label"], **asdict(told)}
            )
    return found


def _shares(arm: Arm, name: str) -> dict[int, float]:
    return {one["block"]: one["spikes"][name] for one in _valid(arm) if one.get("spikes")}


def _known(arm: Arm, metric: str) -> dict[int, float]:
    """By block a figure of its VALID trial that counts, where that has it; 0 too."""
    found = {one["block"]: figure(one, metric) for one in _valid(arm)}
    return {block: number for block, number in found.items() if number is not None}


def _valid(arm: Arm) -> list[Mapping[str, Any]]:
    return [one for one in joined.counted(arm["trials"]) if one["verdict"] == "VALID"]


def one(above: Arm, below: Arm, metric: str, why_not: str = "") -> dict[str, Any]:
    """One figure of two arms as run, with its own 95 % interval; without one where `why_not` forbids it."""
    found = _one(above, below, metric, AS_RUN, statistics.CONFIDENCE, False, why_not)
    assert found is not None  # as run there is always an answer, or a reason
    return found


def _asked(primary: str, bent: bool, of_pairs: int) -> Iterator[tuple[str, str, float]]:
    """(figure, basis, confidence of its interval) of one of so many pairs of arms; `bent`: there are knees."""
    others = [name for name in (*OTHERS, *([KNEE] if bent else [])) if name != primary]
    beside = len(others) + (primary != "tps")  # TPS at equal CPU is one more
    together = statistics.shared_out(statistics.CONFIDENCE, beside * of_pairs)
    yield primary, AS_RUN, statistics.CONFIDENCE
    for name in dict.fromkeys([primary, "tps"]):
        if name == "tps":
            yield name, EQUAL_CPU, statistics.CONFIDENCE if name == primary else together
    for name in others:
        yield name, AS_RUN, together


def _one(
    above: Arm, below: Arm, metric: str, basis: str, confidence: float, is_primary: bool, why_not: str
) -> dict[str, Any] | None:
    if basis == EQUAL_CPU and not _limited(above, below):
        return None
    if not why_not and (why_not := unfit(above, below, metric)):
        pointed = metric == FAILED and why_not == _zero(above, below, metric)
        why_not += "; its difference is told in points" if pointed else ""
    valid = None if why_not else _ratio(above, below, metric, basis, confidence, every=False)
    every = _ratio(above, below, metric, basis, confidence, every=True)
    primary = is_primary and basis == AS_RUN
    return _entry(above, below, metric, basis, confidence, primary, valid, every, why_not)


def _entry(
    above: Arm, below: Arm, metric: str, basis: str, confidence: float, is_primary: bool,
    valid: Ratio | None, every: Ratio | None, why_not: str,
) -> dict[str, Any]:  # fmt: skip
    """As results.json has it; `every`: with the trials that were withheld."""
    return {
        "metric": metric,
        "primary": is_primary,
        "numerator": above["label"],
        "denominator": below["label"],
        "basis": basis,
        **_as_json(valid, confidence, why_not or "no block in which both have it"),
        "all_trials": {key: _as_json(every, confidence, "")[key] for key in ("ratio", "low", "high", "n")},
    }


def _knees(
    above: Arm, below: Arm, metric: str, basis: str, confidence: float, is_primary: bool, why_not: str
) -> dict[str, Any] | None:
    """The same of the knees of two ramps; None where neither arm has one, and it is not what was asked. What withheld trials
    would say is not known."""
    if not (is_primary or _bent(above) or _bent(below)):
        return None
    why_not = why_not or next((why for arm in (above, below) if (why := _straight(arm))), "")
    values = [{} if why_not else breaks(arm["knee"]) for arm in (above, below)]
    blocks = sorted(values[0].keys() & values[1].keys())
    users = [[one[at] for at in blocks] for one in values]
    found = statistics.paired(users[0], users[1], confidence) if blocks else None
    return _entry(above, below, metric, basis, confidence, is_primary, found, None, why_not)


def _bent(arm: Arm) -> bool:
    return bool(arm.get("knee")) and arm["knee"]["kind"] == "knee"


def _straight(arm: Arm) -> str:
    """Why the knees of an arm may not be compared; empty: they may. Of trials that do not bend, or in which too few levels
    settled, there is no knee, and the others are not all."""
    if not arm.get("knee"):
        return f"{arm['label']} has no ramp"
    if not _bent(arm):
        return f"{arm['label']} has no knee ({arm['knee']['answer']})"
    if few := sum(one["block"] not in arm["knee"]["blocks"] for one in _valid(arm)):
        return f"too few levels settled in {_trials(few)} of {arm['label']}"
    straight = [one for one in arm["knee"]["each"] if not Bend(**one).bends]
    return f"not every trial of {arm['label']} bends" if straight else ""


def breaks(knee: Mapping[str, Any] | None) -> dict[int, float]:
    """By block the users at the knee of its trial, where that bends; nothing of an arm that has none."""
    if knee is None or knee["kind"] != "knee":
        return {}
    each = {at: Bend(**one) for at, one in zip(knee["blocks"], knee["each"], strict=True)}
    return {at: one.users for at, one in each.items() if one.bends and one.users > 0}


def _as_json(found: Ratio | None, confidence: float, why_not: str) -> dict[str, Any]:
    if found is None:
        said = {"ratio": None, "low": None, "high": None, "n": 0, "method": ""}
        return {**said, "confidence": confidence, "words": f"not compared: {why_not}"}
    return {
        "ratio": found.ratio,
        "low": found.low,
        "high": found.high,
        "n": found.n,
        "method": found.method,
        "confidence": confidence,
        "words": found.words,
    }


def _limited(above: Arm, below: Arm) -> bool:
    """Whether their servers were held to a share of a CPU, and used it in the trials that count: only a full server gives
    more for more CPU."""
    return all(
        server["limit_percent"] and (one["verdict"] != "VALID" or _full(server))
        for arm in (above, below)
        for one in arm["trials"]
        for server in one["servers"]
    )


def _full(server: Mapping[str, Any]) -> bool:
    used = server["cpu_percent"]
    return used is None or bool(used >= FULL * server["limit_percent"])


def unfit(above: Arm, below: Arm, metric: str) -> str:
    """Why one figure of two arms may not be compared as a ratio; empty: it may."""
    return (
        _brief(above, below, metric)
        or _unequal(above, below, metric)
        or _withheld(above, below, metric)
        or lacking(above, metric)
        or lacking(below, metric)
        or _zero(above, below, metric)
    )


def _brief(above: Arm, below: Arm, metric: str) -> str:
    """Why times may not be compared though counts may; empty: they may, or it is none."""
    if metric not in TIMES:
        return ""
    short = _labels(arm for arm in (above, below) if (arm["window"] or {}).get("short_for_times"))
    return f"the window of {short} is below 20 times its MTT" if short else ""


def brief(arm: Arm, metric: str) -> str:
    """Why one figure of an arm may not be held against anything, for its window; empty: it may."""
    frame = arm["window"] or {}
    if frame.get("short"):
        return "the window is below 15 s, or 20 times the think time"
    return "the window is below 20 times its MTT" if metric in TIMES and frame.get("short_for_times") else ""


def _labels(arms: Iterable[Arm]) -> str:
    """Each once: arms of two runs may have one name."""
    return ", ".join(dict.fromkeys(arm["label"] for arm in arms))


def _withheld(above: Arm, below: Arm, metric: str) -> str:
    """Why a figure is not shown of one of the arms: then it has no ratio either. Of the arm, not trial by trial: to leave
    out the blocks in which it was withheld would be to choose them by what they found."""
    if metric not in (*TIMES, "tps", "efficiency"):
        return ""
    found = [(arm, why) for arm in (above, below) if (why := shown.withheld(arm, metric))]
    whys = ", ".join(dict.fromkeys(why for _, why in found))
    return f"withheld of {_labels(arm for arm, _ in found)} ({whys})" if found else ""


def lacking(arm: Arm, metric: str) -> str:
    """Which trials that count lack a figure that the arm has otherwise; empty: none. They found something (whoever answers
    nobody has no times): without their blocks the others would look better, as without those that gave 0."""
    trials = _valid(arm)
    without = [one for one in trials if figure(one, metric) is None]
    if silent := sum(one["tps"] == 0 for one in without):
        return f"nobody was answered in {_trials(silent)} of {arm['label']}"
    # of CPU it is evidence that is lost, whatever was found: such a block is left out
    some = 0 < len(without) < len(trials) and metric != "efficiency"
    return f"{_trials(len(without))} of {arm['label']} lacked it" if some else ""


def _trials(count: int) -> str:
    return f"{count} {'trial' if count == 1 else 'trials'}"


def _zero(above: Arm, below: Arm, metric: str) -> str:
    """Why there is no ratio where a trial that counts gave 0: without its block the others would look better."""
    for arm in (above, below):
        zeros = [value for value in values(arm, metric) if value == 0] if metric != KNEE else []
        if zeros:
            return f"it is 0 in {_trials(len(zeros))} of {arm['label']}"
    return ""


def values(arm: Arm, metric: str) -> list[float]:
    """A figure of every VALID trial that counts, in order of blocks, where they have it."""
    return list(_known(arm, metric).values())


def _unequal(above: Arm, below: Arm, metric: str) -> str:
    """Why times of successes may not be compared; empty: they may, or it is none."""
    if metric not in OF_SUCCESSES:
        return ""
    shares = [_share(arm) for arm in (above, below)]
    if None in shares:
        return ""
    apart = abs(shares[0] - shares[1])  # type: ignore[operator]
    return (
        f"the failed share differs by {apart:.1f} points, and whoever fails more looks faster"
        if apart > SHARE_POINTS
        else ""
    )


def _share(arm: Arm) -> float | None:
    return 100 * arm["failures"] / arm["requests"] if arm["requests"] else None


def _ratio(above: Arm, below: Arm, metric: str, basis: str, confidence: float, every: bool) -> Ratio | None:
    """Over the blocks in which both arms have a value, of VALID trials, or of `every` trial that counts; None without one,
    and where one is 0: without its block the others would look better."""
    values = [_by_block(arm, metric, basis, every) for arm in (above, below)]
    blocks = sorted(values[0].keys() & values[1].keys())
    if not blocks or any(one[at] <= 0 for one in values for at in blocks):
        return None
    return statistics.paired(
        [values[0][one] for one in blocks], [values[1][one] for one in blocks], confidence
    )


def _by_block(arm: Arm, metric: str, basis: str, every: bool) -> dict[int, float]:
    listed = _first_of_each(arm["trials"]) if every else joined.counted(arm["trials"])
    found = {}
    for one in listed:
        number = figure(one, metric, basis)
        if (every or one["verdict"] == "VALID") and number is not None:
            found[one["block"]] = number
    return found


def _first_of_each(trials: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The trials that would count if none had been withheld: of each block the first that is a measurement."""
    blocks: dict[int, Mapping[str, Any]] = {}
    for one in joined.measured(trials):
        blocks.setdefault(one["block"], one)
    return list(blocks.values())


def figure(trial: Mapping[str, Any], metric: str, basis: str = AS_RUN) -> float | None:
    """One figure of a trial; at equal CPU: TPS as it would be had its servers got just what was asked (TPS x asked /
    achieved CPU, of seconds in which requests waited where those are known)."""
    if metric == KNEE:
        bend: float | None = trial["knee_users"]
        return bend
    if metric == FAILED:
        return trial["failures"] / trial["requests"] if trial["requests"] else None
    number: float | None = trial[metric]
    if basis == AS_RUN or number is None:
        return number
    got = [server.get("cpu_saturated_percent") or server["cpu_percent"] for server in trial["servers"]]
    asked = [server["limit_percent"] for server in trial["servers"]]
    if not got or None in got or None in asked or not sum(got) > 0:
        return None
    return number * float(sum(asked)) / float(sum(got))
