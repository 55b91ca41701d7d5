from __future__ import annotations

import pytest

from loadproof.console import text
from loadproof.errors import BadInput, Problem, StepFailed


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("plain", "plain"),
        ("\x1b]0;pwn\x07", "\\x1b]0;pwn\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u202eb", "a\\u202eb"),
        ("line\nnext\tcell", "line\nnext\tcell"),
        ("\x7f\r", "\\x7f\\x0d"),
        ("upstream [app] /api/[id]", "upstream [app] /api/[id]"),
    ],
)
def test_escape(raw: str, safe: str) -> None:
    assert text.escape(raw) == safe


def test_table_keeps_brackets_and_aligns_numbers() -> None:
    lines = text.table(("name", "count"), [("[app] one", 5), ("two\x1b[31m", "1,000")]).splitlines()
    assert "[app] one" in lines[2] and lines[2].endswith("    5")
    assert "\\x1b[31m" in lines[3] and "\x1b" not in "".join(lines)


@pytest.mark.parametrize(
    ("value", "said"),
    [(0.0, "0 s"), (0.8, "0.8 s"), (8.0, "8 s"), (20.0, "20 s"), (90.0, "90 s"), (110.000001, "110.000001 s"),
     (139.7, "2 min 19.7 s"), (150.0, "2 min 30 s"), (179.9999999, "3 min"), (300.5, "5 min 0.5 s"), (600.0, "10 min"),
     (3647.75, "60 min 47.75 s")],
)  # fmt: skip
def test_seconds(value: float, said: str) -> None:
    assert text.seconds(value) == said


def test_an_error_has_four_parts() -> None:
    error = StepFailed("app1", "nginx -t", 1, "unknown directive", kept="results/x", next="./inv deploy")
    assert text.error(error).splitlines() == [
        "error: exit 1 from: nginx -t",
        "       unknown directive",
        "where: host app1",
        "kept:  results/x",
        "next:  ./inv deploy",
    ]


def test_bad_input_lists_all_problems() -> None:
    error = BadInput([Problem("no such key", "a.yml:3"), Problem("port 0", "a.yml:9")])
    assert "error: a.yml:3: no such key\n       a.yml:9: port 0\nwhere: " in text.error(error)
    assert text.error(error).endswith(
        "\nkept:  nothing was touched\nnext:  correct that, then the same command again"
    )
    assert error.exit_code == 64


@pytest.mark.parametrize(
    ("said", "inventory", "typed"),
    [
        ("inv deploy", "", "./inv deploy"),
        ("./inv deploy", "", "./inv deploy"),
        ("inv trust --yes", "my.yml", "./inv trust -i my.yml --yes"),
        (
            "inv status, or inv stop if it is yours",
            "a b.yml",
            "./inv status -i 'a b.yml', or ./inv stop -i 'a b.yml' if it is yours",
        ),
        ("inv lab.up, or inv lab.down", "my.yml", "./inv lab.up, or ./inv lab.down"),
        ("inv fetch-results --run 3", "my.yml", "./inv fetch-results --run 3"),
        (
            "inv deploy -i inventory/hosts.yml, with your own hosts",
            "my.yml",
            "./inv deploy -i inventory/hosts.yml, with your own hosts",
        ),
        ("inv --help bench", "my.yml", "./inv --help bench"),
        ("see bin/inv deploy", "my.yml", "see bin/inv deploy"),
    ],
)
def test_the_next_command_can_be_typed(said: str, inventory: str, typed: str) -> None:
    assert text.command(said, inventory) == typed


def test_headers_are_text_too() -> None:
    """Labels of arms and names of runs stand there: no markup, no control characters."""
    said = text.table(("", "servers=1 ([red]a)", "x\u202ey"), [("TPS", "1", "2")])
    assert "servers=1 ([red]a)" in said and "x\\u202ey" in said


@pytest.mark.parametrize(
    ("inventory", "typed"),
    [
        ("", "./inv trust --group app=web --yes"),
        ("my.yml", "./inv trust -i my.yml --group app=web --yes"),
    ],
)
def test_the_next_command_has_the_groups_too(inventory: str, typed: str) -> None:
    assert text.command("inv trust --yes", inventory, "app=web") == typed
    assert (
        text.command("inv deploy -i x, or inv lab.up", inventory, "app=web")
        == "./inv deploy -i x, or ./inv lab.up"
    )
    error = StepFailed("app1", "x", 1, "", next="inv trust --yes")
    assert text.error(error, inventory, "app=web, load='x'").endswith(
        """--group 'app=web, load='"'"'x'"'"'' --yes"""
    )
