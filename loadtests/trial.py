"""The trial in progress, as the control machine wrote it: read once, checked whole, never guessed."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass
from typing import Any

from loadtests import autostop
from loadtests.profiles import arrivals

PATH_VARIABLE = "LOADPROOF_TRIAL"
DEFAULT_PATH = "/run/loadproof/trial.json"
FORMAT = 1
FIRST_RESERVED_WORKER = 0xFFF0


class BadTrial(Exception):
    """trial.json cannot be used; the text lists every problem."""


@dataclass(frozen=True)
class LoadTrial:
    """What the load programs of one host need to know. Times in seconds; `table` holds (second, users)."""

    run: str
    trial: str
    out: str
    master_host: str
    master_port: int
    bind: str
    workers: int
    target: str
    table: tuple[tuple[float, int], ...]
    end_s: float
    users: int
    scenario: str
    timeout_s: float
    think_s: float
    seed: int
    rows: int
    rate: float | None = None  # per second, of an open load
    arrivals: str = ""  # a file name of profiles/arrivals
    autostop: str = "none"


def path() -> str:
    """Where trial.json is: $LOADPROOF_TRIAL or the place every host has."""
    return os.environ.get(PATH_VARIABLE, DEFAULT_PATH)


def read(where: str) -> LoadTrial:
    """The trial in the file `where`. Raises BadTrial with all problems at once."""
    try:
        with open(where, encoding="utf-8") as file:
            raw = json.load(file)
    except (OSError, ValueError) as error:
        raise BadTrial(f"cannot read {where}: {error}") from error
    return parse(raw, where)


def parse(raw: Any, where: str) -> LoadTrial:
    """The trial in the decoded JSON `raw`; `where` names it in messages. Raises BadTrial with all problems."""
    problems: list[str] = []
    if not isinstance(raw, dict) or not isinstance(raw.get("load"), dict):
        raise BadTrial(f"{where}: must be an object with an object `load` in it")
    if raw.get("format") != FORMAT:
        problems.append(f"format must be {FORMAT}, is {raw.get('format')!r}")
    load = raw["load"]
    trial = LoadTrial(
        run=_text(raw, "run", problems),
        trial=_text(raw, "trial", problems),
        out=_text(raw, "out", problems),
        master_host=_text(load, "master_host", problems),
        master_port=int(_number(load, "master_port", problems, low=1, high=65535)),
        bind=_text(load, "bind", problems),
        workers=int(_number(load, "workers", problems, low=1, high=FIRST_RESERVED_WORKER - 1)),
        target=_text(load, "target", problems).rstrip("/"),
        table=_table(load.get("table"), problems),
        end_s=_number(load, "end_s", problems, low=0.001),
        users=int(_number(load, "users", problems, low=1)),
        scenario=_text(load, "scenario", problems),
        timeout_s=_number(load, "timeout_s", problems, low=0.001),
        think_s=_number(load, "think_s", problems, high=3600),
        seed=int(_number(load, "seed", problems, low=-math.inf)),
        rows=int(_number(load, "rows", problems, low=1)),
        rate=None if load.get("rate") is None else _number(load, "rate", problems, low=1e-6),
        arrivals=str(load.get("arrivals") or ""),
        autostop=str(load.get("autostop") or "none"),
    )
    _whole(trial, problems)
    if problems:
        raise BadTrial("\n".join(f"{where}: {problem}" for problem in problems))
    return trial


def _whole(trial: LoadTrial, problems: list[str]) -> None:
    if trial.target and not trial.target.startswith(("http://", "https://")):
        problems.append(f"target must be an http address, is {trial.target!r}")
    if trial.table and trial.end_s and trial.table[-1][0] >= trial.end_s:
        problems.append(f"end_s ({trial.end_s}) must come after the last step ({trial.table[-1][0]})")
    if trial.rate is not None and trial.arrivals not in arrivals.names():
        problems.append(f"arrivals must be one of {', '.join(arrivals.names())}, is {trial.arrivals!r}")
    if trial.autostop not in autostop.NAMES:
        problems.append(f"autostop must be one of {', '.join(autostop.NAMES)}, is {trial.autostop!r}")
    if trial.table and max(users for _, users in trial.table) != trial.users:
        problems.append(f"the table never reaches its {trial.users} users")


def _text(where: dict[str, Any], key: str, problems: list[str]) -> str:
    value = where.get(key)
    if not isinstance(value, str) or not value:
        problems.append(f"{key} must be a text, is {value!r}")
        return ""
    return value


def _number(
    where: dict[str, Any], key: str, problems: list[str], low: float = 0, high: float = math.inf
) -> float:
    value = where.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        problems.append(f"{key} must be a number from {low} to {high}, is {value!r}")
        return 0
    return value


def _table(value: Any, problems: list[str]) -> tuple[tuple[float, int], ...]:
    try:
        table = tuple((float(second), int(users)) for second, users in value)
    except (TypeError, ValueError):
        table = ()
    seconds = [second for second, _ in table]
    rising = all(before < after for before, after in zip(seconds, seconds[1:], strict=False))
    if not table or seconds[0] != 0 or not rising or any(users < 1 for _, users in table):
        problems.append(f"table must be rising [[second, users], ...] from second 0, is {value!r}")
        return ()
    return table
