"""Templates to text: undefined names are errors, and no value may carry what could end a word."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

# The second fence: every value that is rendered has passed its allow-list before (plan.allowed). Neither nginx nor
# systemd nor nft gives a meaning to any of these characters inside a word.
_HARMLESS = re.compile(r"[A-Za-z0-9._:/@+=, -]*")


def environment(root: Path) -> Environment:
    """The templates of a clone."""
    return Environment(
        loader=FileSystemLoader(root / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,
        finalize=_harmless,
    )


def _harmless(value: Any) -> Any:
    if isinstance(value, StrictUndefined):
        return value
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"a template may not print {value!r}")
    if not _HARMLESS.fullmatch(str(value)):
        raise ValueError(f"a value passed its allow-list and still is no plain word: {value!r}")
    return value


def render(templates: Environment, name: str, **values: Any) -> bytes:
    """The text of templates/<name>.j2 with these values. Raises jinja2.UndefinedError, ValueError."""
    return templates.get_template(f"{name}.j2").render(values).encode()
