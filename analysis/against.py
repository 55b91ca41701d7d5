"""Two runs against each other: what came out differently, beside what was different about them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis import compare, models, sentences, statistics
from loadproof.runfolder import shown
from loadproof.runfolder.record import RunRecord

Results = Mapping[str, Any]
# beside what either run asked for
FIGURES = ("tps", "mtt_ms", "p95_ms", "answer_or_give_up_ms", "efficiency")
DIGITS = 12  # of a hash, enough to tell two apart


def runs(first: Results, second: Results, records: tuple[RunRecord, RunRecord]) -> dict[str, Any]:
    """ "arms": per arm that both have, each figure of the second run over that of the first; "only": arms of one of them;
    "differences": (what, in the first, in the second) of settings, hosts and software; "warnings"."""
    arms = [{arm["label"]: arm for arm in one["arms"]} for one in (first, second)]
    common = [label for label in arms[0] if label in arms[1]]
    alike = [label for label in common if models.of(arms[0][label]) == models.of(arms[1][label])]
    found = [*_settings(arms, common), *_around(*records)]
    asked = [one.get("primary", FIGURES[0]) for one in (first, second)]
    figures = tuple(dict.fromkeys((*asked, *FIGURES)))
    return {
        "first": first["run"],
        "second": second["run"],
        "verdicts": [first["verdict"], second["verdict"]],
        "arms": [
            one
            for label in alike
            for one in _figures(
                arms[0][label], arms[1][label], figures, _unlike(arms, label, (first["run"], second["run"]))
            )
        ],
        "only": [[label for label in mine if label not in other] for mine, other in (arms, arms[::-1])],
        "differences": found,
        "warnings": [
            *(
                f"{label} is {models.said(arms[0][label])} in the one and {models.said(arms[1][label])} in the other:"
                " open and closed loads are not compared"
                for label in common
                if label not in alike
            ),
            *_warnings(first, second, common, found),
            *_unrecorded(*records),
        ],
    }


def _figures(
    first: Mapping[str, Any], second: Mapping[str, Any], figures: Sequence[str], unlike: str
) -> Iterator[dict[str, Any]]:
    for name in figures:
        values = [compare.values(arm, name) for arm in (first, second)]
        if not all(values):
            continue
        why_not = unlike or compare.unfit(second, first, name)
        ratio = None if why_not else statistics.apart(values[1], values[0])
        yield {
            "arm": first["label"],
            "figure": sentences.NAMES.get(name, name) + (", %" if name == compare.FAILED else ""),
            "first": _shown(first, name, values[0]),
            "second": _shown(second, name, values[1]),
            "ratio": ratio.ratio if ratio else None,
            "low": ratio.low if ratio else None,
            "high": ratio.high if ratio else None,
            "n": [len(one) for one in values],
            "words": _words(ratio) if ratio else f"not compared: {why_not}",
        }


def _words(ratio: statistics.Ratio) -> str:
    few = ratio.low is None and ratio.n < statistics.LEAST_PAIRS
    return f"no interval: that needs {statistics.LEAST_PAIRS} trials in each run" if few else ratio.words


def _unlike(arms: Sequence[Mapping[str, Mapping[str, Any]]], label: str, runs: Sequence[str]) -> str:
    """Why nothing of an arm that two runs have may be compared; empty: it may."""
    both = [mine[label] for mine in arms]
    if any((arm["window"] or {}).get("short") for arm in both):
        return "a window is below 15 s, or 20 times the think time"
    # by their runs: the arms have one name
    named = [{**arm, "label": run} for arm, run in zip(both, runs, strict=True)]
    return next(iter(sentences.unequal(named)), "")


def _shown(arm: Mapping[str, Any], name: str, values: Sequence[float]) -> float | None:
    """The mean of a figure, where it is shown."""
    if name == compare.FAILED:
        return 100 * sum(values) / len(values)
    return None if shown.withheld(arm, name) or compare.lacking(arm, name) else statistics.geometric(values)


def _settings(arms: Sequence[Mapping[str, Any]], common: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """What the arms were made with, each difference once, with the arms that have it."""
    seen: dict[tuple[str, str, str], list[str]] = {}
    for label in common:
        ours, theirs = (one[label]["setup"] for one in arms)
        for name in dict.fromkeys((*ours, *theirs)):
            pair = str(ours.get(name, "none")), str(theirs.get(name, "none"))
            if pair[0] != pair[1]:
                seen.setdefault((name, *pair), []).append(label)
    for (name, one, other), labels in seen.items():
        yield (name if len(labels) == len(common) else f"{name} ({', '.join(labels)})", one, other)


def _around(first: RunRecord, second: RunRecord) -> Iterator[tuple[str, str, str]]:
    """Commit, versions and hosts."""
    for name in ("commit", "dirty", "python", "system"):
        pair = str(first.provenance.get(name)), str(second.provenance.get(name))
        if pair[0] != pair[1]:
            yield name, *pair
    edited = [", ".join(one.provenance.get("changed") or ()) or "none" for one in (first, second)]
    if edited[0] != edited[1]:
        yield "uncommitted changes in", edited[0], edited[1]
    for kind, most in (("versions", None), ("locks", DIGITS)):
        ours, theirs = (dict(map(tuple, one.provenance.get(kind) or ())) for one in (first, second))
        for name in sorted(ours.keys() | theirs.keys()):
            if ours.get(name) != theirs.get(name):
                yield name, str(ours.get(name, "none"))[:most], str(theirs.get(name, "none"))[:most]
    hosts = [
        {
            host.name: f"{host.address or host.ssh_host} ({', '.join(host.roles)})"
            for host in one.inventory.hosts
        }
        for one in (first, second)
    ]
    for name in dict.fromkeys((*hosts[0], *hosts[1])):
        if hosts[0].get(name) != hosts[1].get(name):
            yield f"host {name}", hosts[0].get(name, "none"), hosts[1].get(name, "none")


def _unrecorded(first: RunRecord, second: RunRecord) -> Iterator[str]:
    """Where what was run may differ, and no record tells it."""
    if first.provenance.get("dirty") and second.provenance.get("dirty"):
        yield "both were run with uncommitted changes: whether with the same ones is not recorded"


def _brief(one: Results, common: Sequence[str]) -> Iterator[str]:
    """Windows of a run that are too short for figures, or for times alone."""
    windows = {arm["label"]: arm["window"] or {} for arm in one["arms"] if arm["label"] in common}
    short = [label for label, frame in windows.items() if frame.get("short")]
    times = [label for label, frame in windows.items() if label not in short and frame.get("short_for_times")]
    for labels, least, what in (
        (short, "15 s, or 20 times the think time", "figures"),
        (times, "20 times its MTT", "times"),
    ):
        if labels:
            yield f"{one['run']}: the window of {', '.join(labels)} is below {least}: its {what} are not to be compared"


def _warnings(
    first: Results, second: Results, common: Sequence[str], differences: Sequence[tuple[str, str, str]]
) -> Iterator[str]:
    for one in (first, second):
        if one["verdict"] != "VALID":
            yield f"{one['run']} is {one['verdict']}: its figures are not to be trusted"
        yield from (f"{one['run']}: {text}" for text in sentences.lenient(one["arms"]))
        yield from _brief(one, common)
    if not common:
        yield "no arm is in both runs: there is nothing to compare"
    if len(differences) > 1:
        names = ", ".join(name for name, _, _ in differences)
        yield f"more than one thing differs ({names}): none of them alone is the cause of a difference"
    yield "they were not run in turn: what changed on the hosts between them is in the ratios too"
