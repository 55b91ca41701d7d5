"""What `./inv` adds to `python -m invoke` for a cheap word: median of 9, side by side.

python -m timings.start [--rounds 9]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WORD = "runs"
ASKED_S = 0.3


def main() -> None:
    """Measure the two in turn, print one line each and the difference."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    ways = {
        "./inv": [str(ROOT / "inv"), WORD],
        "python -m invoke": [sys.executable, "-P", "-m", "invoke", "--search-root", str(ROOT), WORD],
    }
    for words in ways.values():  # what is compiled or read for the first time is no start
        clock(words)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds):
        for name in list(ways) if turn % 2 else reversed(ways):
            seconds[name].append(clock(ways[name]))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, values in seconds.items():
        print(f"{name} {WORD}: median {medians[name]:.3f} s of [{' '.join(f'{one:.3f}' for one in values)}]")
    added = medians["./inv"] - medians["python -m invoke"]
    print(f"./inv adds {added:.3f} s (asked: < {ASKED_S:g} s)")


def clock(words: list[str]) -> float:
    """Seconds a command takes."""
    began = time.monotonic()
    subprocess.run(words, cwd=ROOT, check=True, stdin=subprocess.DEVNULL, capture_output=True)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
