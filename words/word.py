"""What makes a function a word of `inv`: its flags, and what becomes of its errors."""

from __future__ import annotations

import functools
import inspect
import io
import sys
import traceback
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from invoke.exceptions import Exit
from invoke.main import program
from invoke.tasks import task

from words.given import SWITCHES, refuse_unclear
from words.talk import say


def word(
    more: Mapping[str, str] = MappingProxyType({}), **options: Any
) -> Callable[[Callable[..., None]], Any]:
    """An Invoke task whose errors become the four-part message and the exit codes of design.md.

    `more` are flags beside those of the function's own, with their help; it takes them as keywords.
    """

    def wrap(function: Callable[..., None]) -> Any:
        named = function.__name__.removesuffix("_word").replace("lab_", "lab.").replace("_", "-")

        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            from loadproof.console import text
            from loadproof.control import signals
            from loadproof.errors import LoadproofError
            from loadproof.runfolder import disk

            for stream in (sys.stdout, sys.stderr):
                if isinstance(stream, io.TextIOWrapper):
                    # data and talk keep their order where both go into one file; what that cannot spell is escaped
                    stream.reconfigure(line_buffering=True, errors="backslashreplace")
            try:
                refuse_unclear(getattr(program, "tasks", ()))
                with signals.ending(named):
                    function(*args, **kwargs)
            except LoadproofError as error:
                inventory = kwargs.get("inventory") or kwargs.get("i") or ""
                say(text.error(error, inventory, kwargs.get("group") or ""))
                raise Exit(code=error.exit_code) from error
            except (Exit, SystemExit):
                raise
            except Exception as error:
                if problem := disk.trouble(error):
                    say(text.error(problem))
                    raise Exit(code=problem.exit_code) from error
                traceback.print_exc()
                say(
                    f"error: {type(error).__name__}: {text.escape(error)}\nwhere: loadproof itself; this is our fault"
                    "\nkept:  whatever was done until then\nnext:  ./inv status, and please report the lines above"
                )
                raise Exit(code=70) from error

        # Invoke makes its flags from the signature
        setattr(guarded, "__signature__", _with_flags(inspect.signature(function), more))  # noqa: B010
        help = {**options.pop("help", {}), **more}
        return task(auto_shortflags=False, help=help, **options)(guarded)

    return wrap


def _with_flags(signature: inspect.Signature, more: Mapping[str, str]) -> inspect.Signature:
    """A signature in which the keywords that a function takes besides its own have their names."""
    own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    flags = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False if name in SWITCHES else "")
        for name in more
    ]
    return signature.replace(parameters=[*own, *flags])
