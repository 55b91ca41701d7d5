"""What the report says of why requests failed, as plain values for the template."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis import journey
from analysis.attribution import REASONS
from analysis.results import Judgement
from analysis.words import NONE, number
from loadproof.errors import RecordUnreadable
from loadproof.runfolder import record

Arm = Mapping[str, Any]
UNEXPLAINED = ("unexplained", "what the witnesses say proves none of these", "")
MOST = 24  # requests told on a page


def reasons(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """One row per reason that any arm has: what it is, what proves it, per arm (in the window, in the whole run), and the
    first of each arm."""
    rows = [(reason.key, reason.said, reason.proof) for reason in REASONS]
    made = []
    for key, said, proof in [*rows, UNEXPLAINED]:
        cells = [(_count(arm, key), _count(arm["whole_run"], key)) for arm in arms]
        if any(count for pair in cells for count in pair):
            firsts = [(arm["label"], *first) for arm in arms for first in _firsts(arm, key)]
            made.append(
                {
                    "key": key,
                    "said": said,
                    "proof": proof,
                    "cells": [(number(inside), number(whole)) for inside, whole in cells],
                    "firsts": firsts,
                }
            )
    return made


def _count(part: Mapping[str, Any], key: str) -> int | None:
    if key == UNEXPLAINED[0]:
        found: int | None = part["unexplained"]
        return found
    return None if part["attribution"] is None else part["attribution"].get(key, 0)


def _firsts(arm: Arm, key: str) -> Iterator[tuple[str, str, str]]:
    for one in arm["whole_run"]["first"] or ():
        if one["reason"] == key:
            yield f"{one['second']:.2f} s", number(one["users"]), one["id"]


def by_server(arms: Sequence[Arm]) -> list[tuple[str, str, str, str]]:
    """(arm, server, reason, count) in the window."""
    return [
        (arm["label"], server["host"], key, number(count))
        for arm in arms
        for server in arm["servers"]
        for key, count in (server["attribution"] or {}).items()
    ]


def accounts(arms: Sequence[Arm]) -> list[dict[str, Any]]:
    """The two ledgers of each trial, in words: they balance trial by trial, or not."""
    made = []
    for arm in arms:
        for trial in arm["trials"]:
            ledgers = trial["whole_run"]["ledgers"] or {}
            requests, time = ledgers.get("requests"), ledgers.get("time")
            made.append(
                {
                    "arm": arm["label"] if len(arm["trials"]) == 1 else f"{arm['label']} · {trial['id']}",
                    "requests": NONE if requests is None else _requests(requests),
                    "listed": [] if requests is None else requests["said"],
                    "time": NONE if time is None else _time(time),
                }
            )
    return made


def _requests(one: Mapping[str, Any]) -> str:
    balance = f"{number(one['differences'])} do not balance" if one["differences"] else "every one balances"
    named = [
        f"{number(one[name])} {words}"
        for name, words in (
            ("cut", "cut by the end of the load"),
            ("retried", "tried at several backends"),
            ("never_arrived", "never at nginx"),
            ("strangers", "of somebody else beside them"),
        )
        if one.get(name)  # results of before they were counted
    ]
    return f"{number(one['total'])} requests, id by id: {balance}" + (
        f"; {', '.join(named)}" if named else ""
    )


def _time(one: Mapping[str, Any]) -> str:
    return (
        f"{number(one['user_s'])} s of users, {number(one['spent_s'])} s of requests and thinking: "
        f"a gap of {100 * one['gap']:.2f} %"
    )


def stories(judgement: Judgement) -> list[dict[str, Any]]:
    """The first request of each reason of each trial, told: what `inv journey` prints."""
    made: list[dict[str, Any]] = []
    for member in judgement.members:
        judged, firsts = member.judged, member.judged.figures["whole_run"]["first"] or []
        wanted = [int(one["id"], 16) for one in firsts[: MOST - len(made)]]
        if not wanted or judged.run is None:
            continue
        paths = member.run.trial(judged.plan.folder)
        try:
            inventory = record.read_run(member.run).inventory
        except RecordUnreadable:
            inventory = None
        told = journey.of_trial(judged.journeys, paths, judged.plan, inventory, judged.run.zero_us, wanted)
        made += [{"arm": member.label, "told": told[id]} for id in wanted if id in told]
    return made
