"""What the report says, as plain values for the template: no figure is computed there, and none here that a file
does not hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from analysis import about, answer, bending, capacity, executed, sentences, spiky, verdicts, why
from analysis.results import Judgement
from analysis.words import NONE, THIN, number
from loadproof.runfolder import shown

Arm = Mapping[str, Any]
HELD = ("VALID", "NOT ASKED")


def context(judgement: Judgement) -> dict[str, Any]:
    """Everything the template needs but the charts."""
    arms: list[Arm] = list(judgement.results["arms"])
    runs = [about.run(source) for source in judgement.sources]
    said = sentences.answers(judgement.results["comparisons"])  # the tables of pairs have them
    labels = {(one["run"], one["id"]): arm["label"] for arm in arms for one in arm["trials"]}
    plans = [(labels[one.run.id, one.judged.plan.id], one.judged.plan) for one in judgement.members]
    return {
        "title": judgement.results["question"]
        or " · ".join(dict.fromkeys(one["note"] for one in runs if one["note"]))
        or " · ".join(arm["label"] for arm in arms),
        "run": judgement.results["run"],
        "sources": judgement.results.get("sources", []),
        "runs": runs,
        "arms": [arm["label"] for arm in arms],
        "leads": answer.leads(judgement.results),
        "pairs": answer.pairs(judgement.results),
        "searched": capacity.rows(judgement.results["capacity"]) if "capacity" in judgement.results else [],
        "figures": figures(arms),
        "bends": [(arm["label"], texts) for arm in arms if (texts := bending.sentences(arm))],
        "level_pairs": bending.pairs(judgement.results["levels"]),
        "sentences": [one for one in judgement.results["sentences"] if tuple(one) not in said],
        "verdict": judgement.results["verdict"],
        "verdict_said": shown.broken(judgement.results),
        "broken": checks(_judged(judgement.results), False),
        "held": checks(_judged(judgement.results), True),
        "whole": whole(arms),
        "errors": by_class(arms),
        "errors_known": bool(arms) and all(shown.errors_known(arm) for arm in arms),
        "errors_by_server": by_server(arms),
        "reasons": why.reasons(arms),
        "reasons_by_server": why.by_server(arms),
        "accounts": why.accounts(arms),
        "stories": why.stories(judgement),
        "servers": servers(arms),
        "delivery": delivery(arms),
        "loads": about.distinct(plans, about.load),
        "timeouts": about.distinct(
            plans, lambda plan: {"chain": plan.timeouts, "said": about.ruled_out(plan)}
        ),
        **executed.listed(judgement),
        "spikes": spiky.arms(arms),
        "spike_pairs": spiky.pairs(judgement.results["spikes"]),
        "incomplete": judgement.results["incomplete"],
    }


def figures(arms: Sequence[Arm]) -> list[tuple[str, str, list[str]]]:
    """(name, what it is, one text per arm) of the window compared."""

    def each(text: Callable[[Arm], str]) -> list[str]:
        return [text(arm) for arm in arms]

    def time(name: str) -> Callable[[Arm], str]:
        def text(arm: Arm) -> str:
            why = shown.withheld(arm, name)
            return f"{NONE} ({why})" if why else number(arm[name])

        return text

    return [
        ("window", "seconds after the first user started", each(window)),
        ("users", "vusers alive in it", each(lambda arm: number((arm["window"] or {}).get("users")))),
        ("TPS", "successes per second", each(lambda arm: number(arm["tps"], 2))),
        ("MTT", "ms, successes", each(time("mtt_ms"))),
        ("MTSD", "ms, successes", each(time("mtsd_ms"))),
        ("p50", "ms, successes", each(time("p50_ms"))),
        ("p95", "ms, successes", each(time("p95_ms"))),
        ("p99", "ms, successes", each(time("p99_ms"))),
        (
            "answer or give up",
            "ms, mean of all requests, failed ones too",
            each(lambda arm: number(arm["answer_or_give_up_ms"])),
        ),
        *_open(arms),
        ("spikes", "of the hold's seconds, above twice the median around them", each(spikes)),
        ("requests", "completed", each(lambda arm: number(arm["requests"]))),
        ("failed", "of the requests", each(failed)),
        ("undelivered", "read by an app, no whole answer", each(lambda arm: number(arm["undelivered"]))),
        ("wasted", "of them handed over by the app", each(lambda arm: number(arm["wasted"]))),
        ("BrokenPipeError", "in the apps' own rows", each(lambda arm: number(arm["broken_pipe"]))),
        ("CPU achieved", "% of one CPU, per server", each(lambda arm: cpu(arm))),
        ("CPU limit", "% of one CPU", each(limit)),
        ("efficiency", "successes per CPU-second", each(lambda arm: number(arm["efficiency"]))),
    ]


def _open(arms: Sequence[Arm]) -> list[tuple[str, str, list[str]]]:
    """What only open loads have: times without the wait before a request was sent, and what became of the plan."""
    if all(arm["arrivals"] is None for arm in arms):
        return []

    def made(arm: Arm) -> str:
        found = arm["arrivals"]
        return (
            NONE
            if found is None
            else f"{number(found['not_made'])} + {number(found['late'])} of {number(found['planned'])}"
        )

    def service(arm: Arm) -> str:
        why = shown.withheld(arm, "service_ms")
        return f"{NONE} ({why})" if why else number(arm["service_ms"])

    return [
        ("service time", "ms, mean from when they were sent, successes", [service(arm) for arm in arms]),
        ("not made, late", "of the planned requests", [made(arm) for arm in arms]),
    ]


def spikes(arm: Arm) -> str:
    """The share of the seconds that are spikes."""
    found = arm["spikes"]
    return NONE if found is None else f"{100 * found['share']:.1f}{THIN}%"


def _judged(results: Mapping[str, Any]) -> list[Arm]:
    """What has checks: the arms, and the run where it has one of its own."""
    own = [check for check in results["checks"] if check["name"] == verdicts.BLOCKS]
    return [*results["arms"], *([{"label": "the run", "checks": own}] if own else [])]


def checks(arms: Sequence[Arm], held: bool) -> list[dict[str, Any]]:
    """One row per check and arm: those that held or were not asked, or the others: first what the verdict comes from."""
    rows = [
        {
            "arm": arm["label"],
            "name": check["name"].replace("_", " "),
            "verdict": check["verdict"],
            "measured": _measured(check),
            "said": check["said"],
            "withholds": check["withholds"]
            if isinstance(check["withholds"], str)
            else ", ".join(check["withholds"]),
            "remedy": check["remedy"],
        }
        for arm in arms
        for check in arm["checks"]
        if (check["verdict"] in HELD) == held
    ]
    order = ("INVALID", "UNKNOWN", "VALID", "NOT ASKED")
    return sorted(rows, key=lambda row: (row["withholds"] != "trial", order.index(row["verdict"])))


def _measured(check: Mapping[str, Any]) -> str:
    """ "97.5 %, limit 90 %"; empty where nothing was measured."""
    if check["value"] is None or check["limit"] is None:
        return ""
    value, most = (f"{_exact(check[name])}{THIN}{check['unit']}".rstrip() for name in ("value", "limit"))
    return f"({value}, limit {most})"


def _exact(value: float) -> str:
    """18.0 as "18", 6.64 as "6.6", 0.05 as "0.05"."""
    if value == int(value):
        return number(int(value))
    return number(value) if abs(value) >= 1 else f"{value:.2g}"


def window(arm: Arm) -> str:
    """ "6.0 – 22.0 s", and whether it is short."""
    frame = arm["window"]
    if frame is None:
        return NONE
    short = shown.short(frame)
    if frame["from_s"] is None:
        return f"hold of each of {shown.held(arm)} trials" + (f" ({short})" if short else "")
    return f"{frame['from_s']:.1f}{THIN}–{THIN}{frame['to_s']:.1f}{THIN}s" + (f", {short}" if short else "")


def failed(arm: Arm) -> str:
    """Count and share."""
    percent = shown.share(arm["failures"], arm["requests"])
    return number(arm["failures"]) + (f" ({percent})" if percent else "")


def cpu(arm: Arm) -> str:
    """Achieved CPU of each server."""
    return " · ".join(number(server["cpu_percent"], 2) for server in arm["servers"]) or NONE


def limit(arm: Arm) -> str:
    """The limit of the servers; they share one."""
    found = dict.fromkeys(shown.limit(server, number, "none") for server in arm["servers"])
    return " · ".join(found) or NONE


def whole(arms: Sequence[Arm]) -> list[tuple[str, list[str]]]:
    """The whole run, ramp included, as nGrinder reports it."""
    rows = (("requests", 0), ("failures", 0), ("cut", 0), ("tps", 2), ("peak_tps", 1), ("mtt_ms", 1), ("undelivered", 0),
            ("undelivered_cut", 0), ("broken_pipe", 0))  # fmt: skip
    names = {"tps": "TPS", "peak_tps": "peak TPS (2 s)", "mtt_ms": "MTT, ms", "cut": "cut by the end of the load",
             "undelivered_cut": "… of them cut by the end", "broken_pipe": "BrokenPipeError"}  # fmt: skip

    def cell(arm: Arm, name: str, digits: int) -> str:
        why = shown.withheld(arm, f"whole_run.{name}")
        return f"{NONE} ({why})" if why else number(arm["whole_run"][name], digits)

    return [
        (names.get(name, name), [cell(arm, name, digits) for arm in arms])
        for name, digits in (*rows[:-1], ("wasted", 0), rows[-1])
    ]


def by_class(arms: Sequence[Arm]) -> list[tuple[str, list[tuple[str, str]]]]:
    """(class, per arm (in the window, in the whole run))."""
    classes: dict[str, int] = {}
    for arm in arms:
        for name, count in shown.most_errors(arm).items():
            classes[name] = classes.get(name, 0) + count

    def cell(errors: Mapping[str, int] | None, name: str) -> str:
        return NONE if errors is None else number(errors.get(name, 0))

    ordered = sorted(classes, key=lambda name: (-classes[name], name))
    return [
        (name, [(cell(arm["errors"], name), cell(arm["whole_run"]["errors"], name)) for arm in arms])
        for name in ordered
    ]


def by_server(arms: Sequence[Arm]) -> list[tuple[str, str, str, str]]:
    """(arm, server, class, count) in the window; without class and count where they are not known."""
    return [
        (arm["label"], server["host"], name or NONE, number(count))
        for arm in arms
        for server in arm["servers"]
        for name, count in ({"": None} if server["errors"] is None else server["errors"]).items()
    ]


def servers(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """One row per arm and server, in the window."""
    rows = []
    for arm in arms:
        for server in arm["servers"]:
            percent, held = server["cpu_percent"], server["limit_percent"]
            rows.append(
                {
                    "arm": arm["label"],
                    "host": server["host"],
                    "requests": number(server["requests"]),
                    "cpu": number(percent, 2),
                    "limit": shown.limit(server, number, "none"),
                    "of_limit": NONE if percent is None or not held else f"{100 * percent / held:.0f} %",
                    "bar": None
                    if percent is None
                    else round(min(100.0, 50 * percent / held if held else percent), 1),
                    "held": bool(held),
                }
            )
        if arm["unattributed"]:
            rows.append({"arm": arm["label"], "host": "no server", "requests": number(arm["unattributed"]), "cpu": "", "limit": "",
                         "of_limit": "", "bar": None, "held": False})  # fmt: skip
    return rows


def delivery(arms: Sequence[Arm]) -> list[tuple[str, str, str, str, str, str, str]]:
    """(arm, server, undelivered and broken pipes in the window and in the whole run, second of the first one)."""
    rows = []
    for arm in arms:
        run = {one["host"]: one for one in arm["whole_run"].get("servers") or []}
        for server in arm["servers"]:
            other = run.get(server["host"], {})
            first = server["first_broken_pipe_s"]
            rows.append(
                (
                    arm["label"], server["host"], number(server["undelivered"]), number(other.get("undelivered")),
                    number(server["broken_pipe"]), number(other.get("broken_pipe")), _first(first, arm["window"]),
                )
            )  # fmt: skip
    return rows


def _first(first: float | None, frame: Mapping[str, Any] | None) -> str:
    """When the first broken pipe was; those after the hold come of our own stop, which hangs up on requests."""
    if first is None:
        return NONE
    return f"{first:.1f} s" + (", after the hold" if frame and first >= frame["to_s"] else "")
