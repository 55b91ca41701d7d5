"""Words for those who work on loadproof itself."""

from __future__ import annotations

import shlex
import sys

from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import task

from words.places import ROOT
from words.talk import agreed, say


def python(words: str) -> str:
    """A command line for this environment's Python."""
    return f"{shlex.quote(sys.executable)} -m {words}"


@task
def lint(context: Context) -> None:
    """Format, lint, types (strict), import table."""
    with context.cd(str(ROOT)):
        context.run(python("ruff format --check ."))
        context.run(python("ruff check ."))
        context.run(python("mypy"))
        context.run(python("pytest -q -p no:cacheprovider tests/test_architecture.py"))


@task(pre=[lint], help={"long": "everything, hours included", "only": "words for pytest: paths, -k …"})
def test(context: Context, long: bool = False, only: str = "") -> None:
    """Lint, the fast tests, and the tests on the lab."""
    from tests import machine

    if packages := machine.missing():
        say(f"tests need packages that are not here; will be installed: {' '.join(packages)}")
        if not agreed("Go on?"):
            raise Exit("nothing was touched", code=4)
        for trouble in machine.install(packages):
            say(f"{trouble}\nthe tests that need it are skipped")
    # tests that need no hosts run beside those that do (tests/conftest.py)
    beside = "" if only else "-n 2 "
    with context.cd(str(ROOT)):
        done = context.run(
            python("pytest " + beside + ("--long " if long else "") + only), pty=False, warn=True
        )
    raise Exit(code=done.exited if done else 70)
