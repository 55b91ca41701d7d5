"""Signals while a trial runs: Ctrl-C stops it in order, a second one leaves at once; HUP and TERM detach.

Under Invoke, HUP and TERM do not run `finally`: handlers turn all three into exceptions of the main thread.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

from loadproof.errors import Interrupted


class Stopped(Interrupted):
    """Ctrl-C: stop, lift, seal, then exit 4."""


class Detached(Interrupted):
    """HUP, TERM or a lost link: nothing is touched, the load runs on by itself."""


@dataclass
class Signals:
    """What arrived. While `shielded`, a signal is noted and not raised, so that closing is never cut by the first."""

    run: str = ""
    shielded: bool = False
    pending: list[Interrupted] = field(default_factory=list)

    def arrived(self, number: int, frame: FrameType | None) -> None:
        """The handler of all three signals."""
        name = signal.Signals(number).name
        if number == signal.SIGINT:
            if any(isinstance(error, Stopped) for error in self.pending):
                sys.stderr.write("\nleft at once; the hosts end load and limit by themselves\n")
                sys.stderr.flush()
                os._exit(Interrupted.exit_code)
            error: Interrupted = Stopped(
                "Ctrl-C: the trial was stopped", kept="what was measured until then", next="./inv fetch-results"
            )
        else:
            error = Detached(
                f"{name}: detached; the load runs on by itself", kept="everything", next=f"./inv attach --run {self.run}"
            )
        self.pending.append(error)
        if not self.shielded:
            raise error

    @contextmanager
    def shield(self) -> Iterator[None]:
        """Inside, signals wait; a second Ctrl-C still leaves at once."""
        before, self.shielded = self.shielded, True
        try:
            yield
        finally:
            self.shielded = before


@contextmanager
def handled(run: str) -> Iterator[Signals]:
    """Installs the handlers for the time of the block and puts the old ones back."""
    signals = Signals(run)
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signals.arrived) for number in numbers}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
