"""Words reach the program unchanged, whatever is in them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadproof.plan.shell import Raw, quote

ECHO = "import sys, json; print(json.dumps(sys.argv[1:]))"


def received(command: str) -> list[str]:
    """What a program started by this shell command is given as its words."""
    import json

    said = subprocess.run(["sh", "-c", command], capture_output=True, check=True, timeout=30)
    words: list[str] = json.loads(said.stdout)
    return words


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20), max_size=4
    )
)
def test_any_word_arrives_unchanged(words: list[str]) -> None:
    assert received(quote(sys.executable, "-c", ECHO, *words)) == words


@pytest.mark.parametrize(
    "word", ["; reboot", "$(id)", "`id`", "a b", "'", '"', "\n", "*", "~", "-n", "&&", "\\", ""]
)
def test_no_word_is_shell(word: str) -> None:
    assert received(quote(sys.executable, "-c", ECHO, word)) == [word]


def test_raw_is_left_alone() -> None:
    assert quote("a b", Raw("&&"), "c;d", Raw(quote("e f"))) == "'a b' && 'c;d' 'e f'"


def test_a_nul_byte_is_refused() -> None:
    with pytest.raises(ValueError, match="NUL"):
        quote("a\0b")
