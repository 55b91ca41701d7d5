"""What can go wrong, by what the person must do about it.

    LoadproofError
    ├── BadInput          64  inventory, groups, servers, load, files or values that we reject
    ├── HostUnreachable    3  no connection to a host
    ├── LinkLost           3  the connection went away, the outcome of the command is unknown
    ├── StepFailed         3  a command on a host failed (or 70 when the fault is ours)
    ├── NotReady           3  a named condition did not come true in time
    ├── RecordUnreadable   2  a file of the run folder cannot be read
    ├── LocalDisk          3  a file of ours cannot be written on this machine (full, read-only, not allowed)
    ├── LabUnavailable     3  the local hosts cannot be made, or are down
    ├── Refused            3  something of somebody else is in the way (a lock, a foreign lab, unfetched results)
    └── Interrupted        4  a signal ended or detached it; it can be taken up again

Every message has four parts: what happened, where (host, stage, run), what was kept, the next command.
"""

from __future__ import annotations

from dataclasses import dataclass

WHAT_WAS_GIVEN = "what was given, before any host was changed"
AGAIN = "correct that, then the same command again"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input: the sentence, and where it stands (`file:line`, or a flag)."""

    message: str
    where: str = ""

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class LoadproofError(Exception):
    """Base of all errors that a person reads. `where`, `kept` and `next` may be filled in on the way up."""

    exit_code = 70

    def __init__(self, what: str, *, where: str = "", kept: str = "", next: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.kept = kept
        self.next = next


class BadInput(LoadproofError):
    """Input that we reject, all its problems at once; nothing was touched."""

    exit_code = 64

    def __init__(self, problems: list[Problem], *, where: str = "", next: str = "") -> None:
        what = "\n".join(str(problem) for problem in problems)
        super().__init__(what, where=where or WHAT_WAS_GIVEN, kept="nothing was touched", next=next or AGAIN)
        self.problems = tuple(problems)


class HostUnreachable(LoadproofError):
    """No ssh session to a host could be opened (refused, silent, key unknown or changed, login rejected)."""

    exit_code = 3

    def __init__(self, host: str, what: str, *, where: str = "", kept: str = "", next: str = "") -> None:
        super().__init__(what, where=where or f"host {host}", kept=kept, next=next)
        self.host = host


class LinkLost(LoadproofError):
    """The connection went away while a command ran: its outcome is unknown."""

    exit_code = 3

    def __init__(self, host: str, what: str, *, where: str = "", kept: str = "", next: str = "") -> None:
        super().__init__(what, where=where or f"host {host}", kept=kept, next=next)
        self.host = host


class StepFailed(LoadproofError):
    """A command on a host ended with a code we did not ask for; carries its last lines."""

    exit_code = 3

    def __init__(
        self,
        host: str,
        command: str,
        exited: int,
        last_lines: str,
        *,
        what: str = "",
        where: str = "",
        kept: str = "",
        next: str = "",
    ) -> None:
        super().__init__(
            what or f"exit {exited} from: {command}\n{last_lines}".rstrip(),
            where=where or f"host {host}",
            kept=kept,
            next=next,
        )
        self.host, self.command, self.exited, self.last_lines = host, command, exited, last_lines


class NotReady(LoadproofError):
    """A named condition did not come true in time; says what was seen last."""

    exit_code = 3

    def __init__(
        self,
        host: str,
        condition: str,
        waited_s: float,
        last_seen: str,
        *,
        where: str = "",
        kept: str = "",
        next: str = "",
    ) -> None:
        super().__init__(
            f"{condition}: not within {waited_s:.0f} s; last seen: {last_seen.strip() or 'nothing'}",
            where=where or f"host {host}",
            kept=kept,
            next=next,
        )
        self.host, self.condition, self.waited_s, self.last_seen = host, condition, waited_s, last_seen


class RecordUnreadable(LoadproofError):
    """A file of the run folder is missing, cut or of another format."""

    exit_code = 2

    def __init__(
        self, what: str, *, where: str = "", kept: str = "nothing was changed", next: str = "inv runs"
    ) -> None:
        super().__init__(what, where=where, kept=kept, next=next)


class LocalDisk(LoadproofError):
    """This machine's disk does not take what we write: full, read-only, not allowed."""

    exit_code = 3


class LabUnavailable(LoadproofError):
    """The local hosts cannot be made here, or are down."""

    exit_code = 3


class Refused(LoadproofError):
    """Something that belongs to somebody else, or is not safe yet, stands in the way."""

    exit_code = 3


class Interrupted(LoadproofError):
    """A signal ended or detached it; it can be taken up again."""

    exit_code = 4
