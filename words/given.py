"""What was typed: the flags of several words, and what is refused because it says less than it seems to."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from invoke.parser.context import ParserContext

INVENTORY_HELP = {
    "inventory": "Ansible inventory: a YAML file, or anything ansible-inventory reads",
    "i": "the same as --inventory",
    "group": "map a group of ours to one of yours: app=web,load=generators",
}

LOAD_HELP = {
    "servers": "how many app hosts serve, the first ones of the group (default 1; deploy: all)",
    "vusers": "virtual users, turned into processes x threads by nGrinder's rule (default 100)",
    "processes": "Locust workers, instead of --vusers",
    "threads": "users in each worker, instead of --vusers",
    "ramp": "what a step adds to: users, thread (of each process) or process (default users)",
    "initial": "users of the first step (default: as step)",
    "step": "users added at each step (default: an eleventh of all)",
    "interval": "time between steps (default 5s)",
    "settle": "time after the last step before the window begins (default 5s)",
    "hold": "length of the window (default 30s)",
    "duration": "length of the whole load, instead of --hold: 10m, for example",
    "think": "time a user waits between requests: 150ms, for example (default 0)",
    "rate": "an open load instead of users in a closed loop: 200/s, 0.5/s or 60/m requests, whatever became of those before; --vusers is then how many may be on their way at once (default: rate x timeout and some)",
    "arrivals": "when requests of --rate are due: poisson or even (default poisson)",
    "autostop": "end the load early by a rule: ngrinder (more than half of all requests failed, for 10 s) or none (default none)",
    "timeout": "one deadline over connect, send and the whole answer (default 10s)",
    "cpu_limit": "percent of one CPU for each server's app (default 5)",
    "limiter": "cpulimit, quota or none (default cpulimit)",
    "calibrate": "first find what each limiter must be set to for that percent, about 3 minutes (default no)",
    "variant": "of the app: plain, local, local_async, global, global_async (default plain)",
    "scenario": "what the users do (default items)",
    "rows": "rows of the data file (default 10000)",
    "steal": "percent of the hosts' CPU that the machine below them may keep for itself; more makes a trial INVALID (default 2, at most 8)",
    "name": "name of the run (default bench)",
    "note": "a remark that stays with the run",
}

RUN_HELP = {
    "run": "a run's id, its folder, or -1 for the newest folder, reports too; default: the newest run",
    "json": "print results.json",
}

CAPACITY_LOAD = ("servers", "processes", "settle", "hold", "think", "timeout", "cpu_limit", "limiter", "calibrate", "variant",
                 "scenario", "rows", "steal", "name", "note")  # fmt: skip

CAPACITY_HELP = {
    "p95": "95 of 100 answers take less: 500ms, for example",
    "p99": "99 of 100 answers take less",
    "mtt": "the mean time of an answer is less",
    "failures": "fewer requests fail, in percent: 1%",
    "most": "users at most (default 1000)",
    "fresh": "trials that answer, each time (default 5)",
    **{name: LOAD_HELP[name] for name in CAPACITY_LOAD},
    "processes": "Locust workers; users are a multiple of it (default 1)",
    "name": "name of the run (default capacity)",
}
# flags of words that take words of their own: what follows is their value
VALUED = ("-i", "--inventory", "--group", "--turn", "--name", "--run", "--set", "--repeats", "--steal")
SWITCHES = ("calibrate",)  # of these flags, what is there or not and has no value


def repeated(words: list[str]) -> list[str]:
    """`report A -1 --run B` as `report --run=A --run=-1 --run=B`, `rehearse A` as `rehearse --turn=A`, `experiment A` as
    `experiment --name=A`: Invoke has no words that repeat or may be missing, only flags."""
    flags = {"rehearse": "turn", "experiment": "name", "rerun": "run", "share": "run"}
    if words and words[0] in flags:
        return [words[0], *_as_flags(words[1:], flags[words[0]])]
    if not words or words[0] not in ("report", "analyse", "variance"):
        return words
    said, rest = [words[0]], iter(words[1:])
    for word in rest:
        run = next(rest, "") if word == "--run" else word
        said.append(f"--run={run}" if word == "--run" or _plain(run) else word)
    return said


def _plain(word: str) -> bool:
    """Whether a word is no flag; -1 is a run."""
    return not word.startswith("-") or word[1:].isdigit()


def _as_flags(words: list[str], flag: str) -> Iterator[str]:
    """The words that are no flag, and no flag's value, as values of a flag. A flag that may be given again and has nothing
    behind it, which Invoke would leave out, has an empty value: `refuse_unclear` says so."""
    value = False
    for word, behind in zip(words, [*words[1:], "--"], strict=False):
        if not value and word in ("--set", "--turn") and behind.startswith("--"):
            yield f"{word}="
            continue
        yield word if value or not _plain(word) else f"--{flag}={word}"
        value = word in VALUED


def flags(values: Mapping[str, Any]) -> dict[str, str]:
    """The flags that were given, with the names a person typed."""
    return {
        name.replace("_", "-"): str(value) for name, value in values.items() if value not in (None, "", False)
    }


def refuse_unclear(words: Iterable[ParserContext]) -> None:
    """Raises BadInput for a flag with nothing behind it, which would mean its default, and for two inventories."""
    from loadproof.errors import BadInput, Problem

    problems: list[Problem] = []
    for one in words:
        for argument in one.args.values():
            values = argument.value if argument.kind is list else [argument.value]
            if argument.got_value and any(isinstance(value, str) and not value.strip() for value in values):
                flag = "-i" if argument.name == "i" else f"--{argument.name}"
                problems.append(Problem("an empty value (of an unset variable?)", flag))
        if all(name in one.args and one.args[name].got_value for name in ("i", "inventory")):
            problems.append(Problem("two inventories: the one is as good as the other", "-i, --inventory"))
    if problems:
        raise BadInput(problems, next="leave the flag out, or give it a value, once; then the same command")


def command_line() -> list[str]:
    """The words as typed, for the record."""
    words = sys.argv[3:] if sys.argv[1:2] == ["--search-root"] else sys.argv[1:]  # `inv` adds that one
    return ["./inv", *words]
