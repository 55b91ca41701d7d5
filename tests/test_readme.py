"""The README names every word and every flag."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tasks
from loadproof.plan import load, settings
from words import given

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


@pytest.mark.parametrize("word", sorted(tasks.ns.task_names))
def test_every_word_and_flag_is_in_the_readme(word: str) -> None:
    assert re.search(rf"`{re.escape(word)}[ `]", README), word
    flags = [argument.name.replace("_", "-") for argument in tasks.ns[word].get_arguments()]
    missing = [flag for flag in flags if len(flag) > 1 and not re.search(rf"--{flag}\b", README)]
    assert missing == []


def test_what_help_calls_the_default_is_the_default() -> None:
    known = settings.DEFAULTS | {"vusers": settings.DEFAULT_VUSERS, "hold": f"{load.DEFAULT_HOLD_S:.0f}s"}
    asked = {name: known.get(name.replace("_", "-")) for name in given.LOAD_HELP}
    wrong = [
        name for name, value in asked.items() if value and f"(default {value}" not in given.LOAD_HELP[name]
    ]
    assert wrong == []


def test_what_the_readme_shows_as_the_default_of_bench_is_the_default() -> None:
    (shown,) = re.findall(r"^\| `bench ([^`]*)`", README, re.MULTILINE)
    known = settings.DEFAULTS | {"vusers": settings.DEFAULT_VUSERS}
    flags = dict(re.findall(r"\[--([a-z-]+) ([^]]+)\]", shown))
    assert flags and flags == {name: known[name] for name in flags}
