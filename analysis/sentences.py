"""What may be concluded of the arms side by side, and what may not: the sentences of results.json, which the summary and
the report print."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from analysis import joined, models
from analysis.words import share
from loadproof.plan.values import STEAL, TrialPlan
from loadproof.runfolder import shown

Arm = Mapping[str, Any]
UNEVEN = 0.10
SHARE_POINTS = 1.0  # arms whose failed share differs by more: latencies of successes are not compared
NAMES = {
    "tps": "TPS", "mtt_ms": "MTT", "p50_ms": "p50", "p95_ms": "p95", "p99_ms": "p99",
    "answer_or_give_up_ms": "Time to an answer or to giving up", "failed_share": "The failed share", "knee": "Knee",
}  # fmt: skip
TOLERATED = "steal tolerated"
DERIVED = ("client", "drain")  # of the chain of timeouts: they follow from --timeout


def setup(plan: TrialPlan) -> dict[str, str]:
    """What a trial was made with, in words by name: what has to be alike, or be said, where arms are compared."""
    load, serving = plan.load, plan.serving
    return {
        "servers": str(len(plan.apps)),
        "limit": _limit(plan),
        **models.setup(load),
        "users": str(load.users),
        "Locust workers": str(len(plan.workers)),
        "ramp": f"{len(load.table)} steps in {load.ramp_end_s:g} s",
        "settle": f"{load.settle_s:g} s",
        "hold": f"{load.hold_s:g} s",
        "think time": f"{load.think_s:g} s",
        "timeout": f"{load.timeout_s:g} s",
        "scenario": load.scenario,
        "variant": serving.variant,
        "data rows": str(serving.rows),
        "balance": serving.balance,
        "keep-alive to servers": "yes" if serving.keepalive else "no",
        "failover": "yes" if serving.failover else "no",
        **{f"app {name}": value for name, value in serving.app},
        "seed": str(plan.seed),
        "warm-up requests": str(plan.warm_requests),
        TOLERATED: f"{plan.steal:g} %",
        "load hosts": ", ".join(plan.loads),
        "proxy": plan.proxy,
        **{f"timeout of {name}": f"{seconds:g} s" for name, seconds in plan.timeouts if name not in DERIVED},
    }


def _limit(plan: TrialPlan) -> str:
    if plan.limit.kind == "none":
        return "none"
    return f"{plan.limit.kind} {plan.limit.percent:g} %" + (", calibrated" if plan.limit_set else "")


def against(arms: Sequence[Arm]) -> list[str]:
    """What forbids to compare these arms at all, one sentence each."""
    return [*_invalid(arms), *_without_figures(arms), *_unlike(arms)]


def sentences(
    arms: Sequence[Arm],
    compared: Sequence[Mapping[str, Any]] = (),
    spikes: Sequence[Mapping[str, Any]] = (),
    failures: Sequence[Mapping[str, Any]] = (),
) -> list[tuple[str, str]]:
    """(kind "note" or "warn", sentence) for the arms of results.json, their comparisons, and those of their spikes and
    failures."""
    anecdote = all(len(arm["trials"]) == 1 for arm in arms)
    asked = any(one["primary"] and one["metric"] == "failed_share" for one in compared)
    forbidden = against(arms)
    said = (
        [] if anecdote else [*answers(compared, bool(forbidden)), *_jolts(spikes), *_failing(failures, asked)]
    )
    if arms and anecdote:
        said.append(("note", "These are figures of one trial per arm: an anecdote, no interval."))
    said += [("warn", text) for text in [*forbidden, *_nobody_answered(arms), *_unknown(arms)]]
    shares = [one for arm in arms if (one := share(arm["failures"], arm["requests"])) is not None]
    if len(shares) > 1 and max(shares) - min(shares) > SHARE_POINTS:
        apart = max(shares) - min(shares)
        said.append(
            (
                "warn",
                f"The failed share differs by {apart:.1f} points between arms: whoever fails more looks faster, so MTT and percentiles of successes are not to be compared; the time to an answer or to giving up is.",
            )
        )
    said += [("warn", text) for text in [*_brief(arms), *lenient(arms)]]
    said += [("note", text) for text in _few_answers(arms)]
    said += [("note", text) for text in _uneven(arms)]
    if len(arms) == 2 and not forbidden and all(len(arm["trials"]) == 1 for arm in arms):
        said.append(("note", ratio(*arms)))
    said += [("note", text) for text in models.sentences(arms)]
    return said


def answers(compared: Sequence[Mapping[str, Any]], forbidden: bool = False) -> list[tuple[str, str]]:
    """The primary figure of every pair of arms, as run and at equal CPU, and their knees; and with the trials that were
    withheld, where that is another answer. `forbidden`: nothing may be compared, which is said once, not of each."""
    told = {"knee", *(one["metric"] for one in compared if one["primary"])}
    said = []
    for one in compared:
        if one["metric"] not in told:
            continue
        pair = f"{NAMES.get(one['metric'], one['metric'])} of {one['numerator']} over {one['denominator']}, {one['basis']}"
        if one["ratio"] is None:
            said += [("note", f"{pair}: {one['words']}.")] if one["primary"] and not forbidden else []
            continue
        said.append(("note", f"{pair}: {_interval(one)}: {one['words']}."))
        every = one["all_trials"]
        if every["n"] and (every["ratio"], every["n"]) != (one["ratio"], one["n"]):
            said.append(("note", f"{pair}, with the trials that were withheld: {_interval(every)}."))
    return said


def _jolts(spikes: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Differences of spikes that an interval tells from none, in points of the seconds of a hold."""
    said = []
    for one in spikes:
        if one["low"] is None or one["low"] <= 0 <= one["high"]:
            continue
        level = "twice the median around them" if one["what"] == "share" else "one level common to all arms"
        points = [100 * one[name] for name in ("difference", "low", "high")]
        said.append(
            (
                "note",
                f"Seconds with a mean time above {level}: {one['numerator']} has {points[0]:+.1f} points of them against"
                f" {one['denominator']} ({one['n']} pairs, 95 % interval {points[1]:+.1f} to {points[2]:+.1f}, exploratory).",
            )
        )
    return said


def _few_answers(arms: Sequence[Arm]) -> list[str]:
    """A sentence on arms of which some trials have spikes that can be told, and some have none."""
    said = []
    for arm in arms:
        found = joined.trusted(arm["trials"])
        without = sum(one.get("spikes") is None for one in found)
        if 0 < without < len(found):
            said.append(
                f"Spikes of {arm['label']} are not told: in {without} of its {len(found)} trials too few seconds of the"
                " hold had an answer."
            )
    return said


def _failing(failures: Sequence[Mapping[str, Any]], asked: bool) -> list[tuple[str, str]]:
    """Differences of the failed share in points: those that an interval tells from none, and where that is what was asked
    all of them."""
    said = []
    for one in failures:
        apart = one["low"] is not None and not one["low"] <= 0 <= one["high"]
        if not (apart or asked):
            continue
        points = [None if one[name] is None else 100 * one[name] for name in ("difference", "low", "high")]
        between = (
            "no interval"
            if points[1] is None
            else f"95 % interval {points[1]:+.2f} to {points[2]:+.2f}" + ("" if asked else ", exploratory")
        )
        said.append(
            (
                "note",
                f"Failed share: {one['numerator']} has {points[0]:+.2f} points against {one['denominator']}"
                f" ({one['n']} {'pair' if one['n'] == 1 else 'pairs'}, {between}).",
            )
        )
    return said


def _interval(one: Mapping[str, Any]) -> str:
    text = f"{one['ratio']:.3f} ({one['n']} {'pair' if one['n'] == 1 else 'pairs'}"
    if one["low"] is None:
        return f"{text}, no interval)"
    at = f"{100 * one['confidence']:.4g} % " if "confidence" in one else ""
    return f"{text}, {at}interval {shown.between(one['low'], one['high'])})"


def _invalid(arms: Sequence[Arm]) -> list[str]:
    """A sentence on arms whose conditions did not hold."""
    broken = [arm["label"] for arm in arms if arm.get("verdict") == "INVALID" and not _untrusted(arm)]
    if not broken:
        return []
    return [
        f"Conditions of {', '.join(broken)} did not hold: figures are shown, and neither trusted nor compared."
    ]


def _untrusted(arm: Arm) -> bool:
    """Whether it has no figures only because none of its trials counts."""
    return (
        arm["tps"] is None
        and any(one["tps"] is not None for one in arm["trials"])
        and all(one["verdict"] != "VALID" for one in arm["trials"])
    )


def _silent(arm: Arm) -> bool:
    """Whether it has no mean TPS because in a trial that counts nobody was answered."""
    return arm["tps"] is None and any(one["tps"] == 0 for one in joined.trusted(arm["trials"]))


def _unknown(arms: Sequence[Arm]) -> list[str]:
    """A sentence on arms of which nobody knows whether their conditions held."""
    open_ = [arm["label"] for arm in arms if arm.get("verdict") == "UNKNOWN"]
    if not open_:
        return []
    return [
        f"Whether all conditions of {', '.join(open_)} held is not known: what is said of them may be wrong."
    ]


def tolerated(arms: Sequence[Arm]) -> list[str]:
    """How much stolen CPU was tolerated ("8 %"), where that is more than is usual."""
    asked = dict.fromkeys(arm["setup"][TOLERATED] for arm in arms if TOLERATED in arm["setup"])
    return [text for text in asked if float(text.removesuffix(" %")) > STEAL]


def lenient(arms: Sequence[Arm]) -> list[str]:
    """A sentence where more was tolerated than is usual."""
    return [
        f"As asked, {text} of the hosts' CPU may have been taken by the machine below them ({STEAL:g} % by default): VALID "
        "is said under that condition."
        for text in tolerated(arms)
    ]


def _without_figures(arms: Sequence[Arm]) -> list[str]:
    """Sentences on arms that have no figures."""
    untrusted = [arm["label"] for arm in arms if _untrusted(arm)]
    missing = [
        arm["label"] for arm in arms if arm["tps"] is None and not _untrusted(arm) and not _silent(arm)
    ]
    said = []
    if untrusted:
        said.append(
            f"No trial of {', '.join(untrusted)} is VALID, so none counts: what each one gave is in the table of trials."
        )
    if missing:
        said.append(f"No figures for {', '.join(missing)}; what is incomplete says what is missing.")
    return said


def _nobody_answered(arms: Sequence[Arm]) -> list[str]:
    """A sentence on arms with a trial that has no success: a mean of ratios cannot tell it, and it is not left out."""
    silent = [arm["label"] for arm in arms if _silent(arm)]
    if not silent:
        return []
    return [
        f"In a trial of {', '.join(silent)} no request was answered: its TPS is 0, so that there is no mean of times and"
        " rates, and no ratio."
    ]


def _unlike(arms: Sequence[Arm]) -> list[str]:
    """Sentences on loads and windows that may not be compared."""
    said = models.unlike(arms)
    framed = [arm for arm in arms if arm["window"]]
    if short := [arm["label"] for arm in framed if arm["window"]["short"]]:
        said.append(
            f"The window of {', '.join(short)} is short (below 15 s, or 20 times the think time): its figures are shown and not compared."
        )
    said += [f"{why[0].upper()}{why[1:]}: arms are not compared." for why in unequal(arms)]
    return said


def unequal(arms: Sequence[Arm]) -> list[str]:
    """Why nothing of these arms may be compared though each may be shown, be they of one run or of two: users that were
    not there, and another time to settle."""
    said = []
    fewer = [
        f"{arm['label']}: {_alive(arm)} of {arm['setup']['users']}"
        for arm in arms
        if (frame := arm["window"]) and str(frame["users"]) != arm["setup"]["users"]
    ]
    if fewer:
        said.append(f"not the planned users were alive in the window ({'; '.join(fewer)})")
    settle = [arm["setup"]["settle"] for arm in arms]
    if len(set(settle)) > 1:
        said.append(f"the time to settle differs between arms ({' / '.join(settle)})")
    return said


def _alive(arm: Arm) -> str:
    """The users in the windows of its trials ("8", "8 or 10"), of which an arm has one only where they are alike."""
    if arm["window"]["users"] is not None:
        return str(arm["window"]["users"])
    frames = [one["window"] for one in joined.trusted(arm["trials"])]
    return " or ".join(str(users) for users in sorted({frame["users"] for frame in frames if frame}))


def _brief(arms: Sequence[Arm]) -> list[str]:
    """A sentence on windows that are long enough to count answers in them, and not for their times."""
    brief = [
        arm["label"]
        for arm in arms
        if (frame := arm["window"]) and frame["short_for_times"] and not frame["short"]
    ]
    if not brief:
        return []
    return [
        f"The window of {', '.join(brief)} is below 20 times its MTT: MTT, percentiles and the time to an answer or to"
        " giving up are shown and not compared; TPS is."
    ]


def _uneven(arms: Sequence[Arm]) -> list[str]:
    """Sentences on servers, and arms, that got CPU more than a tenth apart: no condition broke, figures stand as run."""
    said, means = [], {}
    for arm in arms:
        got = {server["host"]: server["cpu_percent"] for server in arm["servers"]}
        if not got or None in got.values():
            continue
        means[arm["label"]] = sum(got.values()) / len(got)
        if _apart(got.values()):
            each = ", ".join(f"{host} {share:.2f} %" for host, share in got.items())
            said.append(f"The servers of {arm['label']} got CPU more than a tenth apart: {each}.")
    if _apart(means.values()):
        each = ", ".join(f"{label} {mean:.2f} %" for label, mean in means.items())
        said.append(f"A server got CPU more than a tenth apart in the arms, on the mean: {each}.")
    return said


def _apart(shares: Iterable[float]) -> bool:
    found = list(shares)
    return len(found) > 1 and max(found) > (1 + UNEVEN) * min(found)


def ratio(one: Arm, other: Arm) -> str:
    """TPS of the second arm over the first, beside the ratio of the CPU they got and whatever else differs."""
    if not one["tps"]:
        return f"TPS of {one['label']} is 0: there is no ratio.{_differences(one, other)}"
    text = f"TPS of {other['label']} is {other['tps'] / one['tps']:.2f} times that of {one['label']}"
    spent = [[server["cpu_percent"] for server in arm["servers"]] for arm in (one, other)]
    if not any(None in each for each in spent) and sum(spent[0]):
        text += f"; the CPU its servers got together is {sum(spent[1]) / sum(spent[0]):.2f} times theirs"
    return f"{text}.{_differences(one, other)}"


def _differences(one: Arm, other: Arm) -> str:
    """What differs between two arms and is not what is compared."""
    names = list(dict.fromkeys([*one["factors"], *other["factors"]]))
    factors = [name for name in names if one["factors"].get(name) != other["factors"].get(name)]
    ours, theirs = one["setup"], other["setup"]
    found = [
        f"{name} {ours.get(name, 'none')} / {theirs.get(name, 'none')}"
        for name in dict.fromkeys([*ours, *theirs])
        if name not in factors and ours.get(name) != theirs.get(name)
    ]
    if not found:
        return ""
    besides = f" besides {', '.join(factors)}" if factors else ""
    return f" The arms differ{besides}: {'; '.join(found)}."
