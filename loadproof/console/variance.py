"""`inv variance`: where the spread of trials comes from, and what to ask for next, as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadproof.console.text import escape, number, table


def variance(found: Mapping[str, Any]) -> str:
    """For each figure: its arms, the parts of its spread, and how many pairs see which difference at which hold."""
    lines = [f"runs: {escape(', '.join(found['runs']))}"]
    for one in found["figures"]:
        lines += ["", _parts(one), "", _arms(one), "", _proposals(one), "", escape(one["sentence"])]
    lines += ["", *(f"note: {escape(text)}" for text in found["missing"])] if found["missing"] else []
    if found["figures"]:
        lines += [
            "",
            "Pairs: with so many the 95 % interval of a true difference leaves out 1 in 80 of 100 experiments;"
            " in brackets by the 80 % limits of the noise. Take a multiple of the number of arms.",
        ]
    return "\n".join(lines)


def _parts(one: Mapping[str, Any]) -> str:
    said = [
        f"{one['figure']}: {one['trials']} VALID trials with a hold of {one['hold_s']:g} s; spread of a trial's value in %",
        table(
            (
                "within its hold",
                "between launches",
                "both: noise of a trial",
                "80 % limits",
                "between blocks",
            ),
            [
                (
                    number(one["within_percent"], 2),
                    number(one["launches_percent"], 2),
                    number(one["noise_percent"], 2),
                    f"{one['noise_low_percent']:.2f} to {one['noise_high_percent']:.2f}",
                    number(one["blocks_percent"], 2),
                )
            ],
        ),
    ]
    return "\n".join(said)


def _arms(one: Mapping[str, Any]) -> str:
    rows = [
        (
            arm["run"],
            arm["arm"],
            arm["trials"],
            number(arm["value"], 2),
            number(arm["within_percent"], 2),
            number(arm["between_percent"], 2),
        )
        for arm in one["arms"]
    ]
    return table(("run", "arm", "trials", one["figure"], "within %", "from trial to trial %"), rows)


def _proposals(one: Mapping[str, Any]) -> str:
    head = [f"pairs to see {seen['percent']:g} %" for seen in one["proposals"][0]["sees"]]
    rows = [
        (
            f"{row['hold_s']:g} s",
            number(row["noise_percent"], 2),
            *(_pairs(seen) for seen in row["sees"]),
        )
        for row in one["proposals"]
    ]
    return table(("hold", "noise %", *head), rows)


def _pairs(seen: Mapping[str, Any]) -> str:
    if seen["pairs"] is None:
        return "too many"
    most = "…" if seen["high"] is None else seen["high"]
    return f"{seen['pairs']} ({seen['low']} to {most}), {number(seen['minutes'], 0)} min"
