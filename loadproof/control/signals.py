"""Signals: while a trial runs Ctrl-C stops it in order and HUP and TERM detach; any other word they end.

Under Invoke, HUP and TERM do not run `finally`: handlers turn all three into exceptions of the main thread. A second
Ctrl-C leaves at once.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import NoReturn

from loadproof.errors import Interrupted

HERE = "this machine"
STDERR = 2
NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(Interrupted):
    """Ctrl-C: stop, lift, seal, then exit 4."""


class Detached(Interrupted):
    """HUP, TERM or a lost link: nothing is touched, the load runs on by itself."""


@dataclass
class Signals:
    """What arrived. While `shielded`, a signal is noted and not raised, so that closing is never cut by the first.

    `run` is the run's id once it has one; `begun` says whether something of the trial is there to close and to fetch;
    `goes_on` is the command that takes up the rest of a run of several trials.
    """

    run: str = ""
    begun: bool = False
    goes_on: str = ""
    shielded: bool = False
    pending: list[Interrupted] = field(default_factory=list)

    def arrived(self, number: int, frame: FrameType | None) -> None:
        """The handler of all three signals. Only the first one is raised: what it sets off is not cut short."""
        name = signal.Signals(number).name
        if number == signal.SIGINT:
            if any(isinstance(error, Stopped) for error in self.pending):
                leave("left at once; the hosts end load and limit by themselves")
            error: Interrupted = self._stopped()
        else:
            error = Detached(
                f"{name}: detached; nothing was touched, what runs on the hosts runs on and ends by itself",
                where=HERE,
                kept="everything, and the hosts stay locked for this run"
                if self.run
                else "nothing was touched",
                next=self._back() if self.run else "the same command again",
            )
        self.pending.append(error)
        if not self.shielded and len(self.pending) == 1:
            raise error

    def _stopped(self) -> Stopped:
        if self.begun:
            fetch = f"./inv fetch-results --run {self.run}"
            then = f"{self.goes_on}; or {fetch}, for what there is" if self.goes_on else fetch
            return Stopped(
                "Ctrl-C: the trial was stopped", where=HERE, kept="what was measured until then", next=then
            )
        if self.goes_on:
            return Stopped(
                "Ctrl-C: stopped before the next trial",
                where=HERE,
                kept="the run's plan and what was measured until then",
                next=self.goes_on,
            )
        kept = "the run's plan; the next bench resets the hosts" if self.run else "nothing was touched"
        return Stopped(
            "Ctrl-C: stopped before anything was measured",
            where=HERE if self.run else f"{HERE}, before any host was changed",
            kept=kept,
            next="the same command again",
        )

    def after_closing(self) -> Interrupted:
        """The error for a signal that came while the hosts were being closed: that went on to its end."""
        first = self.pending[0]
        if isinstance(first, Stopped):
            return first
        said = first.what.partition(":")[0]
        return Stopped(
            f"{said}: ended as soon as the trial was sealed",
            where=HERE,
            kept="the whole trial, on the hosts",
            next=self._back(),
        )

    def _back(self) -> str:
        return self.goes_on or f"./inv attach --run {self.run}"

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Inside, signals wait; a second Ctrl-C still leaves at once."""
        before, self.shielded = self.shielded, True
        try:
            yield
        finally:
            self.shielded = before


def leave(said: str) -> NoReturn:
    """End without any closing."""
    # not through sys.stderr: the signal may have come in the middle of one of its writes, which refuses a second one
    if select.select([], [STDERR], [], 0)[1]:
        os.write(STDERR, f"\n{said}\n".encode())
    os._exit(Interrupted.exit_code)


@contextmanager
def handled(run: str = "") -> Iterator[Signals]:
    """Installs the handlers for the time of the block and puts the old ones back.

    A signal that we were started to ignore (`nohup`, a background job) stays ignored.
    """
    signals = Signals(run)
    numbers = [number for number in NUMBERS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, signals.arrived) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def ending(
    word: str,
    kept: str = "what was done until then",
    next: str = "the same command again: it goes on from there",
) -> Iterator[None]:
    """For the time of a word, or of a part that is kept and goes on in its own way: the three signals end it with an
    Interrupted; what the caller ignores stays ignored."""
    came: list[str] = []

    def arrived(number: int, frame: FrameType | None) -> None:
        if came and number == signal.SIGINT:
            leave(f"left {word} at once")
        came.append("Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name)
        if len(came) == 1:
            # no LoadproofError: that would be taken for one host's answer where it is raised
            raise KeyboardInterrupt

    asked = [number for number in NUMBERS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, arrived) for number in asked}
    try:
        yield
    except KeyboardInterrupt:
        # the interpreter's last steps, after it has waited for threads, put the default back: it would hide our exit code
        atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)
        raise Interrupted(
            f"{came[0] if came else 'Ctrl-C'}: stopped on the way",
            where=f"inv {word}",
            kept=kept,
            next=next,
        ) from None
    finally:
        # after a signal they stay: the next Ctrl-C leaves without waiting for threads that still speak to hosts
        for number, handler in before.items() if not came else ():
            if signal.getsignal(number) is arrived:
                signal.signal(number, handler)
