"""The summary of results.json, the list of runs, and what runs on which host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from loadproof.console.capacity import tried
from loadproof.console.text import WIDTH, escape, number, table
from loadproof.runfolder import shown

NAMES_WIDTH = 26  # of the column with the names of figures
FIGURE_WIDTH = 17  # of the widest figure: 12,345 (100.0 %)
LABEL_WIDTH = 40  # a longer one is broken over lines


def summary(results: Mapping[str, Any]) -> str:
    """The verdict first; the arms side by side, errors by class, CPU per server; checks that did not hold and what to do
    about them, what is missing, and what may be concluded."""
    arms: list[Mapping[str, Any]] = list(results["arms"])
    lines = [escape(shown.verdict(results)), f"run {escape(results['run'])}"]
    if results.get("question"):
        lines += ["", f"question: {escape(results['question'])}"]
    if answer := _answer(results.get("comparisons", ())):
        lines += ["", answer]
    if searched := results.get("capacity"):
        lines += ["", tried(searched)]
    for some in _side_by_side(arms) if arms else ():
        lines += ["", _figures(some)]
    lines += ["", _servers(arms)] if arms else []
    errors = _errors(arms)
    if errors:
        lines += ["", errors]
    if why := _why(arms):
        lines += ["", why]
    if asked := results.get("thresholds"):
        rows = [
            (one["threshold"], one["arm"], one["said"], "passed" if one["passed"] else "FAILED")
            for one in asked
        ]
        lines += ["", table(("threshold", "arm", "found", ""), rows)]
    lines += _ramps(arms)
    lines += _checks(results)
    lines += [f"incomplete: {escape(text)}" for text in results.get("incomplete", ())]
    lines += ["", *(escape(text) for _, text in results["sentences"])]
    return "\n".join(lines)


def _answer(compared: Iterable[Mapping[str, Any]]) -> str:
    """Ratios over several blocks, the one that answers first, be it that there is none."""
    compared = list(compared)
    several = any(_pairs(one) > 1 for one in compared)
    rows = [
        (
            f"{one['metric']}, {one['basis']}" + (" (primary)" if one["primary"] else ""),
            f"{one['numerator']} / {one['denominator']}",
            number(one["ratio"], 3),
            "-" if one["low"] is None else shown.between(one["low"], one["high"]),
            one["n"],
            one["words"],
        )
        for one in compared
        if _pairs(one) > 1 or (several and one["primary"])
    ]
    return table(("figure", "arms", "ratio", "interval", "pairs", "in words"), rows) if rows else ""


def _pairs(compared: Mapping[str, Any]) -> int:
    return int(max(compared["n"], compared["all_trials"]["n"]))


def _checks(results: Mapping[str, Any]) -> list[str]:
    """What did not hold and what it withholds, each with its remedy."""
    found = []
    figures = [check for check in results["checks"] if isinstance(check["withholds"], list)]
    for check in (*shown.conditions(results), *figures):
        withheld = check["withholds"]
        what = "" if withheld == "trial" else f", withholds {', '.join(withheld)}"
        found.append(f"check {check['name']}: {check['verdict']}{what}: {check['said']}")
        found.append(f"  remedy: {check['remedy']}")
    return ["", *(escape(line) for line in found)] if found else []


def _ramps(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where the arms with a ramp bend, one line each."""
    found = [
        f"ramp of {arm['label']}: {arm['knee']['answer']}; errors {arm['errors_begin']['answer']}"
        for arm in arms
        if shown.ramped(arm)
    ]
    return ["", *(escape(line) for line in found)] if found else []


def _side_by_side(arms: Sequence[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The arms in groups that fit beside each other without breaking a figure."""
    groups: list[list[Mapping[str, Any]]] = [[]]
    left = WIDTH - NAMES_WIDTH
    for arm in arms:
        needed = max(FIGURE_WIDTH, min(len(arm["label"]), LABEL_WIDTH)) + 3
        if groups[-1] and needed > left:
            groups.append([])
            left = WIDTH - NAMES_WIDTH
        groups[-1].append(arm)
        left -= needed
    return groups


def _figures(arms: Sequence[Mapping[str, Any]]) -> str:
    def failed(arm: Mapping[str, Any]) -> str:
        percent = shown.share(arm["failures"], arm["requests"])
        return number(arm["failures"]) + (f" ({percent})" if percent else "")

    def time(arm: Mapping[str, Any], name: str) -> str:
        why = shown.withheld(arm, name)
        return f"- ({why})" if why else number(arm[name])

    def window(arm: Mapping[str, Any]) -> str:
        frame = arm["window"]
        if frame is None:
            return "-"
        if frame["from_s"] is None:  # of several trials
            said = f"{shown.held(arm)} x {arm['setup']['hold']}"
        else:
            said = f"{'-'.join(f'{round(frame[end], 1):g}' for end in ('from_s', 'to_s'))} s"
        return said + (f" ({short})" if (short := shown.short(frame)) else "")

    def spikes(arm: Mapping[str, Any]) -> str:
        return f"{100 * arm['spikes']['share']:.1f} % of seconds" if arm.get("spikes") else "-"

    rows: list[tuple[str, list[str]]] = [
        ("window (hold)", [window(arm) for arm in arms]),
        ("users", [number((arm["window"] or {}).get("users")) for arm in arms]),
        ("TPS", [number(arm["tps"]) for arm in arms]),
        ("MTT ms", [time(arm, "mtt_ms") for arm in arms]),
        ("MTSD ms", [time(arm, "mtsd_ms") for arm in arms]),
        ("p50 ms", [time(arm, "p50_ms") for arm in arms]),
        ("p95 ms", [time(arm, "p95_ms") for arm in arms]),
        ("p99 ms", [time(arm, "p99_ms") for arm in arms]),
        ("answer or give up ms", [number(arm["answer_or_give_up_ms"]) for arm in arms]),
        *([("service ms", [time(arm, "service_ms") for arm in arms])] if any(map(_arrivals, arms)) else []),
        *([("not made, late", [_arrivals(arm) or "-" for arm in arms])] if any(map(_arrivals, arms)) else []),
        ("spikes", [spikes(arm) for arm in arms]),
        ("requests", [number(arm["requests"]) for arm in arms]),
        ("failed", [failed(arm) for arm in arms]),
        ("undelivered", [number(arm["undelivered"]) for arm in arms]),
        ("wasted", [number(arm["wasted"]) for arm in arms]),
        ("BrokenPipeError", [number(arm["broken_pipe"]) for arm in arms]),
        ("successes per CPU-second", [number(arm["efficiency"]) for arm in arms]),
        ("whole run: peak TPS", [number(arm["whole_run"]["peak_tps"]) for arm in arms]),
        ("whole run: requests", [number(arm["whole_run"]["requests"]) for arm in arms]),
        ("whole run: failed", [number(arm["whole_run"]["failures"]) for arm in arms]),
    ]
    return table(("", *(arm["label"] for arm in arms)), [(name, *cells) for name, cells in rows])


def _arrivals(arm: Mapping[str, Any]) -> str:
    """Of the planned requests of an open load those that were not made, and those that were late; empty otherwise."""
    found = arm.get("arrivals")
    return f"{found['not_made']} + {found['late']} of {found['planned']}" if found else ""


def _servers(arms: Sequence[Mapping[str, Any]]) -> str:
    rows = []
    for arm in arms:
        for server in arm["servers"]:
            rows.append(
                (
                    arm["label"],
                    server["host"],
                    number(server["requests"]),
                    number(server["cpu_percent"], 2),
                    shown.limit(server, number),
                    number(server["undelivered"]),
                    number(server["broken_pipe"]),
                )
            )
    return table(("arm", "server", "requests", "CPU %", "limit %", "undelivered", "BrokenPipeError"), rows)


def _why(arms: Sequence[Mapping[str, Any]]) -> str:
    """Failures by the layer and reason where they began."""

    def count(part: Mapping[str, Any], key: str) -> str:
        found = part["attribution"]
        return number(None if found is None else found.get(key, 0))

    rows = []
    for arm in arms:
        whole = arm["whole_run"]
        keys = whole["attribution"] or arm["attribution"] or {}
        rows += [(arm["label"], key, count(arm, key), count(whole, key)) for key in keys]
        if arm["unexplained"] or whole["unexplained"]:
            rows.append(
                (arm["label"], "unexplained", number(arm["unexplained"]), number(whole["unexplained"]))
            )
    return table(("arm", "began at", "in the window", "whole run"), rows) if rows else ""


def _errors(arms: Sequence[Mapping[str, Any]]) -> str:
    def count(errors: Mapping[str, int] | None, name: str) -> str:
        return number(None if errors is None else errors.get(name, 0))

    rows = [
        (arm["label"], name, count(arm["errors"], name), count(arm["whole_run"]["errors"], name))
        for arm in arms
        for name in shown.most_errors(arm)
    ]
    return table(("arm", "error", "in the window", "whole run"), rows) if rows else ""


def runs(rows: Iterable[Sequence[object]]) -> str:
    """The list of runs, newest last."""
    rows = list(rows)
    return table(("run", "trials", "state", "note"), rows) if rows else "no runs yet; ./inv demo makes one"
