"""The README names every word and every flag."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import tasks

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


@pytest.mark.parametrize("word", sorted(tasks.ns.task_names))
def test_every_word_and_flag_is_in_the_readme(word: str) -> None:
    assert re.search(rf"`{re.escape(word)}[ `]", README), word
    flags = [argument.name.replace("_", "-") for argument in tasks.ns[word].get_arguments()]
    missing = [flag for flag in flags if len(flag) > 1 and not re.search(rf"--{flag}\b", README)]
    assert missing == []
