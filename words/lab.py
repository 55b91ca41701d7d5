"""Words about the local hosts."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from invoke.context import Context
from invoke.exceptions import Exit

from words.places import LAB_INVENTORY, RESULTS, lab_up
from words.talk import give, say
from words.word import word


@word(name="up", help={"app": "app hosts (default 2)", "load": "load hosts (default 1)"})
def lab_up_word(context: Context, app: str = "", load: str = "") -> None:
    """Make or repair the local hosts and wait until they answer."""
    from loadproof.plan.flags import count

    lab_up(count("--app", app), count("--load", load))


@word(name="status")
def lab_status(context: Context) -> None:
    """Say which local hosts there are and whether they answer."""
    from lab import status as lab
    from loadproof.console import hosts as show

    state = lab.status()
    give(show.lab(state))
    raise Exit(code=0 if state.up else 3)


def keep_runs(host: str) -> None:
    """Raises Refused while a host of the lab (or this one) holds what nobody has fetched."""
    from lab import listing, up
    from lab.config import LabConfig
    from loadproof.campaign import stake
    from loadproof.control import inventory

    config = LabConfig.of()
    hosts = [one for one in up.remembered(config).hosts if host in ("", one.name)]
    if hosts:
        with tempfile.NamedTemporaryFile(
            "w", suffix=".yml"
        ) as file:  # lab.yml may be gone, or name others too
            file.write(listing.text(config, hosts))
            file.flush()
            known = replace(inventory.read(Path(file.name)), path=str(LAB_INVENTORY))
            stake.refuse_loss(known, RESULTS, "./inv lab.down")


@word(
    name="down",
    help={
        "purge": "also the image and the lab's keys",
        "discard": "even if a run is on, or was not fetched",
        "host": "only this one, app3 for example",
    },
)
def lab_down(context: Context, purge: bool = False, discard: bool = False, host: str = "") -> None:
    """Stop and remove the local hosts, bridge and files; the image stays unless --purge."""
    from lab import down

    if not discard:
        keep_runs(host)
    gone = down.down(purge=purge, say=lambda text: say(f"  {text}"), host=host or None)
    say(f"lab: {', '.join(gone.hosts)} gone" if gone.hosts else "lab: there were no hosts")
    if gone.words:
        say(f"installed packages stay; this line removes them: {gone.words}")
