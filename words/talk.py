"""What words say, ask and show: the only place that prints."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invoke.exceptions import Exit

if TYPE_CHECKING:
    from loadproof.campaign.bench import Watcher as WatcherType
    from loadproof.control.conduct import Live
    from loadproof.plan.values import TrialPlan


def say(text: str = "") -> None:
    """Talk goes to stderr, data to stdout; what hosts said may be in it."""
    from loadproof.console.text import escape

    try:
        print(escape(text), file=sys.stderr, flush=True)
    except OSError:  # nobody reads it any more (`| head`, a closed terminal): what is being done goes on
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def give(text: str) -> None:
    """Data goes to stdout. Raises LocalDisk where that takes no more; whoever reads it may have seen enough."""
    from loadproof.runfolder import disk

    try:
        print(text, flush=True)
    except OSError as error:
        # the interpreter must not try again at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno in (errno.EPIPE, errno.EIO):  # `| head`: end as other programs do, without a word
            raise Exit(code=141) from None
        raise disk.output_trouble(error) from error


def dumped(value: Any) -> str:
    """A value as JSON; `json` is a flag of some words."""
    return json.dumps(value, indent=2)


def agreed(question: str, by_default: bool = True) -> bool:
    """Asks on a terminal; without one goes on. The end of the input is a no."""
    if not sys.stdin.isatty():
        return True
    say(question + (" [Y/n]" if by_default else " [y/N]"))
    try:
        answer = input().strip().lower()
    except EOFError:
        return False
    return answer in ("y", "yes") or (by_default and not answer)


def watcher(stream_is_terminal: bool, last: list[Live] | None = None) -> WatcherType:
    """Prints what happens while trials run; where the output is no terminal, a line each few seconds. `last` gets all
    that was seen live of the last trial."""
    from loadproof.campaign.bench import Watcher
    from loadproof.console import trial as show

    every, view = (2.0 if stream_is_terminal else 5.0), {"next": 0.0, "headed": 0.0}

    def trial(plan: TrialPlan, index: int, total: int) -> None:
        if last is not None:
            last.clear()
        view.update({"next": 0.0, "headed": 0.0})
        say("\n" + show.trial_line(plan, index, total))

    def live(figures: Live) -> None:
        if last is not None:
            last.append(figures)
        if figures.elapsed_s < view["next"]:
            return
        if not view["headed"]:
            say(show.live_header([name for name, _ in figures.cpu_percent]))
        view.update({"next": figures.elapsed_s + every, "headed": 1.0})
        say(show.live_line(figures))

    return Watcher(say=lambda text: say(f"  {text}"), trial=trial, live=live)


def finish(results: Mapping[str, Any], report: Path, as_json: bool) -> None:
    """The summary, or results.json on stdout; then where the report is. Exits 2 unless the run is VALID, 99 when it is and
    a threshold failed."""
    from loadproof.console import summary

    if as_json:
        give(json.dumps(results, indent=2))
    else:
        give(summary.summary(results))
    say(f"\nreport: {report}")
    if results["verdict"] != "VALID":
        raise Exit(code=2)
    if not all(one["passed"] for one in results.get("thresholds", ())):  # an earlier loadproof wrote none
        raise Exit(code=99)


def all_answered(answers: Mapping[str, Any], inventory: str, group: str) -> None:
    """Ends with the error of every host that did not do what it was asked, if there is one."""
    from loadproof.console import text
    from loadproof.errors import LoadproofError

    errors = [answer for answer in answers.values() if isinstance(answer, LoadproofError)]
    for error in errors:
        say(text.error(error, inventory, group))
    if errors:
        raise Exit(code=errors[0].exit_code)
