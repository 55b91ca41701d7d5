"""Lengths of time as people write them: 300s, 20m, 1h30m, 500ms; a plain number is seconds."""

from __future__ import annotations

import re

_FORM = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m(?!s))?(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?"
)
_PLAIN = re.compile(r"\d+(?:\.\d+)?")
_LENGTH = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
LONGEST_S = 7 * 24 * 3600.0


def parse(text: str) -> float:
    """Seconds, to the microsecond. Raises ValueError with a sentence."""
    word = text.strip()
    if _PLAIN.fullmatch(word) and len(word) <= 20 and word.isascii():
        seconds = float(word)
    else:
        found = _FORM.fullmatch(word) if word and len(word) <= 40 and word.isascii() else None
        if found is None:
            raise ValueError(f"{word[:40]!r} is no length of time: write 300s, 20m, 1h30m, 500ms or seconds")
        seconds = sum(float(value) * _LENGTH[unit] for unit, value in found.groupdict().items() if value)
    if seconds > LONGEST_S:
        raise ValueError(f"{word!r} is longer than a week")
    return round(seconds, 6)


def spell(seconds: float) -> str:
    """Seconds as a person writes them: 90.0 -> 1m30s, 0.8 -> 800ms; `parse` reads it back."""
    if seconds < 1:
        return f"{round(seconds * 1000, 3):g}ms" if seconds else "0s"
    minutes, rest = divmod(round(seconds, 6), 60)
    hours, minutes = divmod(int(minutes), 60)
    parts = [f"{hours}h" if hours else "", f"{minutes}m" if minutes else ""]
    parts.append(f"{round(rest, 6):.6f}".rstrip("0").rstrip(".") + "s" if rest or not any(parts) else "")
    return "".join(parts)
