"""What analysis costs: raw files to results.json, wall time and peak memory, beside pandas with whole files.

    python -m timings.analysis [--requests 1e6 1e7] [--runs 3] [--folder FOLDER]

Each size is generated (timings/generate.py), analysed by a fresh process for every run, its counts held against those
that the generator knows, and deleted; 10 million requests take 3 GB, 100 million 30 GB. Files are in the page cache where
they fit. Up to 2 million, the plain way is timed too: every file whole into pandas, merged on the id, and the same figures
of clients (none of whose evidence is checked) taken from that.
Asked: 10 million in at most 25 s on 2 CPUs, at most 2 GB at any size, time in proportion to the number of requests.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import analysis  # noqa: F401 before pyarrow, as in `inv`: how memory is kept is settled there
from timings.generate import KINDS, generate

ROOT = Path(__file__).resolve().parent.parent
PLAIN_UP_TO = 2_000_000
SECONDS, GIGABYTES = 25.0, 2.0


def ours(folder: Path) -> dict[str, Any]:
    """results.json, as `inv fetch-results` makes it."""
    from analysis import results

    made: dict[str, Any] = results.analyse(folder, rebuild=True)
    whole: dict[str, Any] = made["arms"][0]["whole_run"]
    return {**whole, "incomplete": made["incomplete"]}


def plain(folder: Path) -> dict[str, Any]:
    """The way of a notebook: whole files, pandas, merge."""
    import numpy as np
    import pandas as pd

    from loadproof.runfolder import formats

    (trial,) = (folder / "trials").iterdir()

    def rows(pattern: str, layout: Any) -> Any:
        files = sorted(trial.glob(f"raw/*/{pattern}"))
        return pd.concat([pd.DataFrame(np.fromfile(path, layout, offset=64)) for path in files])

    client = rows("requests-*.rows", formats.CLIENT_ROW)
    client = client[client["kind"] == formats.KIND_REQUEST].drop(columns="_pad")
    app = rows("app-*.rows", formats.APP_ROW).drop(columns=["_pad", "_pad2"])
    (log,) = trial.glob(f"raw/*/{formats.ACCESS_LOG}")
    proxy = pd.read_csv(log, sep="\t", names=list(formats.PROXY_FIELDS), quoting=3, dtype={"id": str})
    proxy["id"] = proxy["id"].map(lambda text: int(text, 16) if len(text) == 16 else 0).astype("uint64")
    joined = client.merge(proxy, on="id", how="left", suffixes=("", "_proxy"))
    joined = joined.merge(app, on="id", how="left", suffixes=("", "_app"))
    joined["taken_ms"] = (joined["end_us"] - joined["start_us"]) / 1000
    done = joined[joined["error"] != formats.ERROR_CLASSES.index("cut")]
    good = done[done["error"] == 0]
    joined.groupby(["error", "status_proxy", "exception"], dropna=False).size()
    good["taken_ms"].quantile([0.5, 0.95, 0.99])
    return {"requests": len(done), "failures": len(done) - len(good), "mtt_ms": good["taken_ms"].mean()}


WAYS: dict[str, Callable[[Path], dict[str, Any]]] = {"ours": ours, "plain": plain}


def once(way: str, folder: Path) -> None:
    """In a process of its own: prints what was found, the seconds and the peak memory."""
    began = time.monotonic()
    found = WAYS[way](folder)
    seconds = time.monotonic() - began
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    used = time.process_time()
    print(json.dumps({"found": found, "seconds": seconds, "cpu_s": used, "peak_gb": peak * 1024 / 1e9}))


def timed(way: str, folder: Path, runs: int) -> dict[str, Any]:
    """Medians of some runs. `whole_s`: with the start of Python and imports."""
    seen = []
    for _ in range(runs):
        shutil.rmtree(folder / "tables", ignore_errors=True)  # those of the run before
        began = time.monotonic()
        words = [sys.executable, "-m", "timings.analysis", "--once", way, str(folder)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        seen.append({**json.loads(done.stdout), "whole_s": time.monotonic() - began})
    middle = {
        name: statistics.median(one[name] for one in seen)
        for name in ("seconds", "whole_s", "cpu_s", "peak_gb")
    }
    return {"found": seen[0]["found"], **middle, "all_s": [round(one["seconds"], 1) for one in seen]}


def right(found: dict[str, Any], kinds: dict[str, int]) -> bool:
    """Whether the counts are those of the generator."""
    failed = sum(kinds[name] for name, _ in KINDS) - kinds["ok"]
    return (found["requests"], found["failures"]) == (kinds["ok"] + failed, failed)


def main(sizes: list[int], runs: int, base: Path) -> None:
    """Prints a line per size and way."""
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {runs} runs")
    for size in sizes:
        began = time.monotonic()
        folder, kinds = generate(base, size)
        count = sum(kinds.values())
        raw = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
        print(f"{count} requests, {raw / 1e9:.1f} GB of raw files, made in {time.monotonic() - began:.0f} s")
        for way in ("ours", "plain") if size <= PLAIN_UP_TO else ("ours",):
            one = timed(way, folder.path, runs)
            print(
                f"  {way}: {one['seconds']:.1f} s (runs {one['all_s']}; with imports {one['whole_s']:.1f} s), {one['cpu_s']:.1f} CPU-s, "
                f"{one['seconds'] / count * 1e6:.2f} µs a request, peak {one['peak_gb']:.2f} GB, "
                f"{'counts right' if right(one['found'], kinds) else 'COUNTS WRONG'}"
                + (f", incomplete: {said}" if (said := one["found"].get("incomplete")) else "")
            )
        shutil.rmtree(folder.path)
    print(f"asked of 10 million: at most {SECONDS:g} s and {GIGABYTES:g} GB, with 2 CPUs to itself")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        once(sys.argv[2], Path(sys.argv[3]))
        sys.exit()
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--requests", type=float, nargs="+", default=[1e6, 1e7])
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--folder", type=Path, help="where to generate; default: a temporary folder")
    given = words.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as made:
        main([int(size) for size in given.requests], given.runs, Path(made))
