"""How long a newcomer waits: `./inv demo` in a fresh clone with nothing cached, then again with everything cached.

    .venv/bin/python -m timings.demo [--cached-runs 5]

Asked: nothing cached <= 8 minutes, cached <= 3 minutes. The clone, its home and its lab are made in a temporary folder
and removed; the environment is plain, as `env -i` gives it. The machine's lab must be down.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def demo(clone: Path, home: Path) -> float:
    """Seconds of one `./inv demo`; its output stays beside the clone. Raises when it does not exit 0."""
    begun = time.monotonic()
    with (clone.parent / "demo.out").open("a") as out:
        subprocess.run(
            ["./inv", "demo"], cwd=clone, env={"PATH": PATH, "HOME": str(home)}, check=True,
            stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return time.monotonic() - begun


def main() -> None:
    """Prints seconds of the first demo and the median of the later ones."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cached-runs", type=int, default=5)
    runs = parser.parse_args().cached_runs
    with tempfile.TemporaryDirectory(prefix="loadproof-demo-") as folder:
        clone, home = Path(folder) / "clone", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
        try:
            sys.stdout.write(f"nothing cached: {demo(clone, home):.0f} s\n")
            cached = [demo(clone, home) for _ in range(runs)]
            if cached:
                text = ", ".join(f"{seconds:.0f}" for seconds in cached)
                sys.stdout.write(f"cached: median {statistics.median(cached):.0f} s of {text}\n")
        finally:
            subprocess.run(["./inv", "lab.down", "--purge", "--discard"], cwd=clone, check=False)


if __name__ == "__main__":
    main()
