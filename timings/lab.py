"""How long the lab takes: 4 hosts from the cached image (median of 5), and with --image the image from nothing.

    python -m timings.lab [--image] [--rounds 5] [--app 2]

Runs a lab of its own beside the one that may stand (own bridge, net and folders; the image is shared) and removes it.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

from lab import image
from lab.config import LabConfig
from lab.down import down
from lab.status import status
from lab.up import up

NET = IPv4Network("198.18.99.0/24")


def main() -> None:
    """Measure, print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--image", action="store_true", help="also build the image from nothing, once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--app", type=int, default=2)
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="loadproof-timings-") as place:
        config = beside(Path(place))
        try:
            if words.image:
                fresh = replace(config, images=config.state / "image")
                show(
                    "image from nothing",
                    [clock(lambda: image.build(fresh, image.suite_of(fresh), print))],
                    60,
                )
            measure(config, words.app, words.rounds)
        finally:
            down(purge=True, config=config)


def beside(place: Path) -> LabConfig:
    """A lab that shares nothing with the standing one but the image."""
    clone = place / "clone"
    clone.mkdir()
    return replace(
        LabConfig.of(clone, {}), images=LabConfig.of(environ={}).images, net=NET, bridge="ltime-br0", prefix="ltime-",
        owner=Path("/run/loadproof-lab-timings.json"),
    )  # fmt: skip


def measure(config: LabConfig, app: int, rounds: int) -> None:
    """Up from nothing, up again, status and down, `rounds` times each."""
    image.build(config, image.suite_of(config), print)
    first, again, look, end = [], [], [], []
    for _ in range(rounds):
        first.append(clock(lambda: up(app, 1, config=config)))
        again.append(clock(lambda: up(config=config)))
        look.append(clock(lambda: status(config)))
        end.append(clock(lambda: down(config=config)))
    show(f"up, {app + 2} hosts from the cached image, answering and running", first, 3)
    show("up again, nothing to do", again, 1)
    show("status", look, None)
    show("down", end, None)


def clock(function: Callable[[], object]) -> float:
    """Seconds a call takes."""
    began = time.monotonic()
    function()
    return time.monotonic() - began


def show(what: str, seconds: list[float], limit: float | None) -> None:
    """One line: the median, all values, and the figure asked for."""
    values = " ".join(f"{value:.2f}" for value in seconds)
    asked = f" (asked: <= {limit:g} s)" if limit is not None else ""
    print(f"{what}: median {statistics.median(seconds):.2f} s of [{values}]{asked}")


if __name__ == "__main__":
    main()
