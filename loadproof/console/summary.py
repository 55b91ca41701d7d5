"""The summary of results.json, the list of runs, and what runs on which host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from loadproof.console.text import escape, number, table

ANECDOTE = "one trial per arm: an anecdote, no interval"


def summary(results: Mapping[str, Any]) -> str:
    """The arms side by side, errors by class, CPU per server; says what is missing."""
    arms: list[Mapping[str, Any]] = list(results["arms"])
    lines = [f"run {escape(results['run'])}", "", _figures(arms)]
    lines += ["", _servers(arms)]
    errors = _errors(arms)
    if errors:
        lines += ["", errors]
    lines += [f"incomplete: {escape(text)}" for text in results.get("incomplete", ())]
    if arms and all(len(arm["trials"]) == 1 for arm in arms):
        lines += ["", ANECDOTE]
    return "\n".join(lines)


def _figures(arms: Sequence[Mapping[str, Any]]) -> str:
    def share(arm: Mapping[str, Any]) -> str:
        if not arm["requests"] or arm["failures"] is None:
            return "-"
        return f"{100 * arm['failures'] / arm['requests']:.2f} %"

    def window(arm: Mapping[str, Any]) -> str:
        frame = arm["window"] or {}
        if frame.get("from_s") is None:
            return "-"
        return f"{frame['from_s']:.0f}-{frame['to_s']:.0f} s" + (" (short)" if frame.get("short") else "")

    rows: list[tuple[str, list[str]]] = [
        ("window (hold)", [window(arm) for arm in arms]),
        ("users", [number((arm["window"] or {}).get("users")) for arm in arms]),
        ("TPS", [number(arm["tps"]) for arm in arms]),
        ("MTT ms", [number(arm["mtt_ms"]) for arm in arms]),
        ("MTSD ms", [number(arm["mtsd_ms"]) for arm in arms]),
        ("p50 ms", [number(arm["p50_ms"]) for arm in arms]),
        ("p95 ms", [number(arm["p95_ms"]) for arm in arms]),
        ("p99 ms", [number(arm["p99_ms"]) for arm in arms]),
        ("requests", [number(arm["requests"]) for arm in arms]),
        ("failed", [f"{number(arm['failures'])} ({share(arm)})" for arm in arms]),
        ("undelivered", [number(arm["undelivered"]) for arm in arms]),
        ("BrokenPipeError", [number(arm["broken_pipe"]) for arm in arms]),
        ("successes per CPU-second", [number(arm["efficiency"]) for arm in arms]),
        ("whole run: peak TPS", [number(arm["whole_run"]["peak_tps"]) for arm in arms]),
        ("whole run: requests", [number(arm["whole_run"]["requests"]) for arm in arms]),
        ("whole run: failed", [number(arm["whole_run"]["failures"]) for arm in arms]),
    ]
    return table(("", *(arm["label"] for arm in arms)), [(name, *cells) for name, cells in rows])


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
                    number(server["limit_percent"]),
                    number(server["undelivered"]),
                    number(server["broken_pipe"]),
                )
            )
    return table(("arm", "server", "requests", "CPU %", "limit %", "undelivered", "BrokenPipeError"), rows)


def _errors(arms: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (arm["label"], name, number(count))
        for arm in arms
        for name, count in (arm["whole_run"]["errors"] or {}).items()
    ]
    return table(("arm", "error (whole run)", "count"), rows) if rows else ""


def ratio(results: Mapping[str, Any]) -> str:
    """For two arms of an anecdote: the ratio of TPS in words, without any claim; none where a window is short."""
    arms = results["arms"]
    if len(arms) != 2 or not arms[0]["tps"] or arms[1]["tps"] is None:
        return ""
    short = [arm["label"] for arm in arms if (arm["window"] or {}).get("short")]
    if short:
        return (
            f"the window of {' and of '.join(short)} is short (below 15 s or 20 x MTT): shown, not compared"
        )
    return f"TPS of {arms[1]['label']} / TPS of {arms[0]['label']} = {arms[1]['tps'] / arms[0]['tps']:.2f}; {ANECDOTE}"


def runs(rows: Iterable[Sequence[object]]) -> str:
    """The list of runs, newest last."""
    rows = list(rows)
    return table(("run", "trials", "state", "note"), rows) if rows else "no runs yet; ./inv demo makes one"
