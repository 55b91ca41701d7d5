"""One parser per kind of value that a person may give; each raises ValueError with a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from loadproof.plan import allowed, durations, limiters, openload
from loadproof.plan.load import RAMPS

Parser = Callable[[str], Any]

MOST_STEAL = 8.0

_WHOLE = re.compile(r"-?[0-9]{1,12}")


def whole(least: int, most: int) -> Parser:
    """A whole number of a range."""

    def parse(text: str) -> int:
        if not _WHOLE.fullmatch(text) or not least <= int(text) <= most:
            raise ValueError(f"{allowed.shown(text)} is no whole number from {least} to {most}")
        return int(text)

    return parse


def one_of(known: Iterable[str]) -> Parser:
    """One of the names there are."""
    names = tuple(known)

    def parse(text: str) -> str:
        if text not in names:
            hint = allowed.did_you_mean(text, names)
            raise ValueError(f"there is no {allowed.shown(text)}: {', '.join(names)}{hint}")
        return text

    return parse


def judged(judge: Callable[[str], str | None]) -> Parser:
    """A text that an allow-list passes."""

    def parse(text: str) -> str:
        if sentence := judge(text):
            raise ValueError(sentence)
        return text

    return parse


def note(text: str) -> str:
    """A remark in one line, at most 200 characters."""
    if sentence := allowed.words(text):
        raise ValueError(sentence)
    if len(text) > 200:
        raise ValueError(f"a note has at most 200 characters, this one {len(text)}")
    return text


def server_count(text: str) -> int:
    """A number of servers, or "all", which is 0."""
    return 0 if text == "all" else int(whole(1, 1000)(text))


def percent(text: str) -> float:
    """Percent of one CPU: "5" or "5%"."""
    word = text.removesuffix("%").strip()
    if not re.fullmatch(r"[0-9]{1,5}(\.[0-9]{1,3})?", word):
        raise ValueError(f"{allowed.shown(text)} is no percentage")
    return float(word)


def tolerance(text: str) -> float:
    """Percent that the machine below may keep for itself. Of a machine that takes more, nothing can be believed."""
    value = percent(text)
    if value > MOST_STEAL:
        raise ValueError(
            f"{allowed.shown(text)} is more than {MOST_STEAL:g} %: take hosts that are left alone"
        )
    return value


def switch(text: str) -> bool:
    """yes or no; a flag of the command line comes as True."""
    known = {"yes": True, "true": True, "no": False, "false": False}
    if text.lower() not in known:
        raise ValueError(f"{allowed.shown(text)} is neither yes nor no")
    return known[text.lower()]


def duration(text: str) -> float:
    """Seconds from 300s, 20m, 1h30m, 500ms or a plain number."""
    return durations.parse(text)


def rate(text: str) -> float:
    """Requests per second from 200/s, 0.5/s or 60/m."""
    return openload.parse(text)


def ramp(text: str) -> str:
    """What a step adds to."""
    return str(one_of(RAMPS)(text))


def limiter(text: str) -> str:
    """A file name of plan/limiters."""
    return str(one_of(limiters.names())(text))
