"""Ansible's host patterns: app[01:03] is app01, app02 and app03; app[01:03]:2222 is the same with a port."""

from __future__ import annotations

import re
import string

from loadproof.plan.allowed import is_ipv6, shown

MOST_HOSTS = 4096  # one range may name so many; app[1:999999999] is a mistake
_RANGE = re.compile(r"([^\[\]]*)\[([^\[\]]*)\](.*)")
_NAME_AND_PORT = re.compile(r"((?:[^:\[\]]|\[[^\[\]]*\])+):([0-9]+)")
_ADDRESS_AND_PORT = re.compile(r"\[(.+)\]:([0-9]+)")
_ONE_RANGE = re.compile(r"\[[^\[\]]*\]")


def split(key: str) -> tuple[str, str | None]:
    """The pattern and the port of a host's key; brackets around an IPv6 address only set it off from its port."""
    found = _ADDRESS_AND_PORT.fullmatch(key)
    if found is None or not is_ipv6(_ONE_RANGE.sub("0", found[1])):
        found = _NAME_AND_PORT.fullmatch(key)
    return (found[1], found[2]) if found else (key, None)


def expand(pattern: str) -> list[str]:
    """The host names of a pattern: app[01:03] -> app01 app02 app03; [a:c] and steps [0:10:2] too.

    Raises ValueError with a sentence when the range is none.
    """
    parts = _RANGE.fullmatch(pattern)
    if parts is None:
        if "[" in pattern or "]" in pattern:
            raise ValueError(f"{shown(pattern)}: a range is written [begin:end] or [begin:end:step]")
        return [pattern]
    head, body, tail = parts.groups()
    names = [f"{head}{item}{rest}" for item in _items(pattern, body) for rest in expand(tail)]
    if len(names) > MOST_HOSTS:
        raise ValueError(f"{shown(pattern)} names {len(names)} hosts, more than {MOST_HOSTS}")
    return names


def _items(pattern: str, body: str) -> list[str]:
    bounds = body.split(":")
    begin, end, step = (bounds[0] or "0", bounds[1], "1") if len(bounds) == 2 else (bounds + ["", "", ""])[:3]
    begin = begin or "0"
    if len(bounds) not in (2, 3) or not end or not step.isdecimal() or int(step) < 1:
        raise ValueError(f"{shown(pattern)}: a range is written [begin:end] or [begin:end:step]")
    if begin in string.ascii_letters and end in string.ascii_letters and len(begin) == len(end) == 1:
        first, last = string.ascii_letters.index(begin), string.ascii_letters.index(end)
        items = list(string.ascii_letters[first : last + 1 : int(step)])
    elif begin.isdecimal() and end.isdecimal():
        padded = len(begin) > 1 and begin.startswith("0")
        if padded and len(begin) != len(end):
            raise ValueError(f"{shown(pattern)}: {begin} and {end} must have the same number of digits")
        if int(end) - int(begin) > MOST_HOSTS * int(step):
            raise ValueError(f"{shown(pattern)} names more than {MOST_HOSTS} hosts")
        width = len(begin) if padded else 0
        items = [str(number).zfill(width) for number in range(int(begin), int(end) + 1, int(step))]
    else:
        raise ValueError(f"{shown(pattern)}: a range goes from number to number or from letter to letter")
    if not items:
        raise ValueError(f"{shown(pattern)}: the range begins after its end")
    return items
