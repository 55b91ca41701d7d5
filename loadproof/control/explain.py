"""What an error of a trial says is kept, and what to do next; and how closing goes on when the journal cannot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from loadproof.control.perform import Recorder
from loadproof.errors import LoadproofError, LocalDisk

# (kept, next) of an error that says neither: what can be done depends on how far the trial has come.
NOT_BEGUN = ("the run's plan; the next bench resets the hosts", "inv doctor, then the same command again")


def sealed(run: str, goes_on: str = "") -> tuple[str, str]:
    """For a trial that was closed on every host. `goes_on`: the command that takes up the rest of the run, if any."""
    then = (
        f"inv fetch-results --run {run}, which brings every log; then {goes_on or 'the same command again'}"
    )
    return "what was measured until then, sealed on the hosts", then


def left_open(run: str) -> tuple[str, str]:
    """For a trial of which some host could not be closed."""
    return "what was measured until then, on the hosts; not all of it is sealed", f"inv attach --run {run}"


def fill(error: LoadproofError, kept_and_next: tuple[str, str]) -> LoadproofError:
    """Fills the parts that an error does not have yet."""
    error.kept, error.next = error.kept or kept_and_next[0], error.next or kept_and_next[1]
    return error


@contextmanager
def whatever(kept_and_next: tuple[str, str]) -> Iterator[None]:
    """Every error of the block is filled."""
    try:
        yield
    except LoadproofError as error:
        fill(error, kept_and_next)
        raise


class Spared:
    """A recorder that closing can go on without: the first error of its disk is kept, not raised."""

    def __init__(self, record: Recorder) -> None:
        self._record = record
        self.error: LocalDisk | None = None

    def write(self, stage: str, event: str, **fields: Any) -> None:
        """Append one event, if that is possible."""
        try:
            self._record.write(stage, event, **fields)
        except LocalDisk as error:
            self.error = self.error or error
