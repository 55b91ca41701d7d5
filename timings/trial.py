"""What a trial costs beyond warm-up, load and drain: read from the journals of real benches on the lab.

    .venv/bin/python -m timings.trial [--runs 5] [--processes 3]

Asked: <= 8 s with 3 Locust workers, <= 10 s with 10. The load's own part is its planned length; what Locust needs to
start and to stop counts as overhead.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path

from loadproof.runfolder import journal, record
from loadproof.runfolder.paths import RunFolder

ROOT = Path(__file__).resolve().parent.parent
NOT_OVERHEAD = ("warm", "drain")


def stages(folder: RunFolder) -> dict[str, float]:
    """Seconds of each stage of the only trial of a run; `trial` is the whole."""
    paths = folder.trials[0]
    seconds: dict[str, float] = {}
    for line in journal.read(paths.journal).lines:
        if line["event"] == "end":
            seconds[line["stage"]] = seconds.get(line["stage"], 0.0) + float(line["seconds"])
    seconds["planned load"] = record.read_plan(paths.plan).planned_s
    return seconds


def overhead(seconds: dict[str, float]) -> float:
    """Everything but warm-up, the planned load, and drain."""
    return seconds["trial"] - seconds["planned load"] - sum(seconds.get(name, 0.0) for name in NOT_OVERHEAD)


def main() -> None:
    """Runs the benches and prints the median of each stage."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--threads", type=int, default=3)
    asked = parser.parse_args()
    words = ["--processes", str(asked.processes), "--threads", str(asked.threads)]
    words += ["--interval", "500ms", "--settle", "1s", "--hold", "15s", "--name", "timing-trial"]
    all_stages = []
    for number in range(asked.runs):
        subprocess.run(
            [str(ROOT / "inv"), "bench", "--servers", "2", *words], check=True, stderr=subprocess.DEVNULL
        )
        all_stages.append(stages(RunFolder.open(ROOT / "results")))
        sys.stdout.write(f"run {number + 1}: overhead {overhead(all_stages[-1]):.2f} s\n")
    for name in all_stages[0]:
        sys.stdout.write(f"{name:>14} {statistics.median(row.get(name, 0.0) for row in all_stages):7.2f} s\n")
    sys.stdout.write(f"{'OVERHEAD':>14} {statistics.median(map(overhead, all_stages)):7.2f} s\n")


if __name__ == "__main__":
    main()
