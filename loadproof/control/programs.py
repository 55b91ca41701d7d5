"""Running our host programs on hosts that may not have them yet: their text travels on standard input.

A command line holds at most 128 KB, and quoting would inflate a program: so the text goes first on standard input,
followed by what the program itself is to read there.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from loadproof.control.remote import Finished, Remote, failed
from loadproof.plan.shell import quote

FOLDER = Path(__file__).resolve().parents[2] / "hostside"

# Reads exactly the program, so that the rest of standard input is left for it.
BOOTSTRAP = (
    "import sys;n=int(sys.argv.pop(1));name=sys.argv[1];sys.argv[:]=sys.argv[1:];"
    "text=sys.stdin.buffer.read(n);exec(compile(text,name,'exec'),{'__name__':'__main__','__doc__':''})"
)


KEPT = "nothing was touched on this host"


@cache
def text(name: str) -> str:
    """The text of hostside/<name>.py."""
    return (FOLDER / f"{name}.py").read_text(encoding="utf-8")


def run_program(
    remote: Remote, name: str, *words: str, within: float, stdin: str = "", ok: tuple[int, ...] = (0,)
) -> Finished:
    """Run a host program of this clone with the host's own Python. Raises StepFailed on other exit codes."""
    program = text(name)
    size = str(len(program.encode()))
    command = quote(remote.host.python, "-I", "-S", "-c", BOOTSTRAP, size, f"{name}.py", *words)
    finished = remote.run(command, within, program + stdin)
    if finished.exited not in ok:
        raise explain(finished, remote, name)
    return finished


def explain(finished: Finished, remote: Remote, name: str) -> Exception:
    """Why a host program did not do what it should: an old or missing Python is the usual cause."""
    said = finished.stderr
    python = remote.host.python
    if finished.exited == 127 and python in said:
        error = failed(finished, what=f"there is no {python} on this host; Python 3.11 or newer is needed")
        error.kept, error.next = KEPT, "install python3 there, or name it in the inventory: loadproof_python"
        return error
    if finished.exited == 1 and "SyntaxError" in said:
        error = failed(finished, what=f"{python} on this host is too old: Python 3.11 or newer is needed")
        error.kept, error.next = KEPT, "name a newer one in the inventory: loadproof_python"
        return error
    return failed(finished, what=f"{name}.py failed on this host (exit {finished.exited})")
