"""What a report costs: 3 arms x 10 trials of 10 minutes, from their tables to the page, and the page in a browser.

    python -m timings.report [--arms 3] [--blocks 10] [--minutes 10] [--rate 60] [--runs 3] [--folder FOLDER]

The trials are generated (timings/generate.py, seeded), their tables made once, and not timed; then a fresh process makes
the report of each run. The browser (headless Chromium, without a network) tells when the page was loaded, and when what
can be seen of it was drawn. Asked: at most 15 s from the tables, at most 3 MB, open in at most 2 s, on 2 CPUs.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from loadproof.plan.values import Arm, Experiment, Inventory, Load, TrialPlan
from loadproof.runfolder import record
from loadproof.runfolder.paths import RunFolder
from tests.analysis import blocks as sounds
from timings import generate
from timings.rawfiles import HOSTS

ROOT = Path(__file__).resolve().parent.parent
SECONDS, OPEN_S, BYTES = 15.0, 2.0, 3_000_000
SEED, SETTLE_S = 1, 5.0
WAIT_S = 60.0

TELL = """
addEventListener("load", () => {
  const loaded = performance.now(), figures = Array.from(document.querySelectorAll("figure[data-chart]"));
  const seen = figures.filter((one) => one.getBoundingClientRect().top < innerHeight * 2);
  const done = (some) => some.every((one) => one.querySelector("canvas"));
  const painted = performance.getEntriesByName("first-contentful-paint")[0];
  let first = 0;
  const look = setInterval(() => {
    if (!first && done(seen)) first = performance.now();
    if (!done(figures)) return;
    clearInterval(look);
    new Image().src = `http://127.0.0.1:PORT/?painted=${painted ? painted.startTime : loaded}&loaded=${loaded}&seen=${first}&all=${performance.now()}`;
  }, 5);
});
"""


def plan(run: str, number: int, arm: str, block: int, load: Load) -> TrialPlan:
    """One trial of an arm."""
    one = generate.plan(run, load.users, load.end_s, SEED + number)
    named = {"id": f"{number:02d}", "arm": f"copy={arm}", "factors": (("copy", arm),), "block": block}
    return dataclasses.replace(one, **named, because=f"block {block}", load=load)


def made(base: Path, arms: int, blocks: int, minutes: float, rate: float) -> RunFolder:
    """The run folder, with the tables of every trial."""
    from analysis import results

    users, end_s = generate.WORKERS, minutes * 60
    spent = (1 - 0.012) * generate.MEAN_US + 0.012 * generate.TIMEOUT_US
    think_s = max(0.0, users / rate - spent / 1e6)
    steady = {
        "table": ((0.0, users),),
        "ramp_end_s": 0.0,
        "hold_s": end_s - SETTLE_S,
        "think_s": round(think_s, 3),
    }
    load = dataclasses.replace(generate.plan("", users, end_s, SEED).load, **steady)
    folder = RunFolder(base / "20261124T031500Z-many")
    folder.path.mkdir(parents=True)
    names = [chr(ord("a") + at) for at in range(arms)]
    order = [
        (block, name)
        for block in range(1, blocks + 1)
        for name in names[block % arms :] + names[: block % arms]
    ]
    plans = [plan(folder.id, at, name, block, load) for at, (block, name) in enumerate(order, 1)]
    one = plans[0]
    asked = Experiment(
        "many", "", tuple(Arm(f"copy={name}", (("copy", name),), 2, load, one.limit, one.serving) for name in names), SEED,
        one.warm_requests, question="Are arms that are alike called alike?", blocks=blocks,
    )  # fmt: skip
    said = {"commit": "0" * 40, "dirty": False, "python": "3.11.2", "system": "Linux", "versions": []}
    record.write_run(
        folder, asked, Inventory("inventory/made.yml", HOSTS), said, ("inv", "experiment"), plans
    )
    for number, trial in enumerate(plans):
        paths = folder.trial(trial.folder)
        generate.trial(paths, trial, np.random.default_rng(SEED + number))
        sounds.sound(paths, trial)
    results.analyse(folder.path)
    return folder


def once(folder: Path) -> None:
    """In a process of its own: prints the seconds of each part, and the peak memory."""
    from analysis import report, results

    began = time.monotonic()
    judgement = results.judge(RunFolder(folder))
    judged = time.monotonic()
    page = report.write(judgement)
    ended = time.monotonic()
    status = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(
        json.dumps(
            {
                "seconds": ended - began, "judge_s": judged - began, "page_s": ended - judged, "bytes": page.stat().st_size,
                "peak_gb": peak * 1024 / 1e9, "verdict": judgement.results["verdict"],
            }
        )
    )  # fmt: skip


def timed(folder: Path, runs: int) -> None:
    """Prints medians of some runs."""
    seen = []
    for _ in range(runs):
        words = [sys.executable, "-m", "timings.report", "--once", str(folder)]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
        seen.append(json.loads(done.stdout))
    middle = {
        name: statistics.median(one[name] for one in seen)
        for name in ("seconds", "judge_s", "page_s", "peak_gb")
    }
    print(
        f"report: {middle['seconds']:.1f} s (runs {[round(one['seconds'], 1) for one in seen]}; judging {middle['judge_s']:.1f} s, "
        f"page, charts and tables {middle['page_s']:.1f} s), peak {middle['peak_gb']:.2f} GB, {seen[0]['verdict']}; asked: at most "
        f"{SECONDS:g} s\npage: {seen[0]['bytes'] / 1e6:.2f} MB; asked: at most {BYTES / 1e6:g} MB"
    )


def opened(page: Path, runs: int) -> None:
    """Prints how long a browser takes, medians of some runs of a fresh one."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        print("browser: there is no Chromium here; apt-get install chromium")
        return
    seen = [found for _ in range(runs) if (found := _opened(browser, page)) is not None]
    if not seen:
        print(f"browser: not all charts were drawn within {WAIT_S:g} s")
        return
    painted, loaded, first, all_ = (
        statistics.median(one[name] for one in seen) / 1000 for name in ("painted", "loaded", "seen", "all")
    )
    print(f"browser: first painted after {painted:.2f} s, loaded after {loaded:.2f} s, what is seen drawn after {first:.2f} s, every chart after {all_:.2f} s; "
          f"asked: open in at most {OPEN_S:g} s")  # fmt: skip


def _opened(browser: str, page: Path) -> dict[str, float] | None:
    """Milliseconds since the navigation began, told by a copy of the page that may run one more script and tell us."""
    told: dict[str, float] = {}
    heard = threading.Event()

    class Ear(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.update(
                {name: float(values[0]) for name, values in parse_qs(urlsplit(self.path).query).items()}
            )
            self.send_response(204)
            self.end_headers()
            if told:
                heard.set()

        def log_message(self, *words: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Ear)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    text = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page.read_text())
    before, end, after = text.rpartition("</body>")
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "page.html"
        copy.write_text(
            f"{before}<script>{TELL.replace('PORT', str(server.server_port))}</script>{end}{after}"
        )
        ran = subprocess.Popen(
            [browser, "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1280,900", "--remote-debugging-port=0",
             f"--user-data-dir={place}/profile", copy.as_uri()],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            return dict(told) if heard.wait(WAIT_S) else None
        finally:
            ran.terminate()
            ran.wait(20)
            server.shutdown()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--once"]:
        once(Path(sys.argv[2]))
        sys.exit()
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--arms", type=int, default=3)
    words.add_argument("--blocks", type=int, default=10)
    words.add_argument("--minutes", type=float, default=10)
    words.add_argument("--rate", type=float, default=60, help="requests per second of each trial")
    words.add_argument("--runs", type=int, default=3)
    words.add_argument("--folder", type=Path, help="where to generate; default: a temporary folder")
    given = words.parse_args()
    print(f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; medians of {given.runs} runs")
    with tempfile.TemporaryDirectory(dir=given.folder) as temporary:
        began = time.monotonic()
        many = made(Path(temporary), given.arms, given.blocks, given.minutes, given.rate)
        print(
            f"{given.arms} arms x {given.blocks} trials of {given.minutes:g} minutes, made with their tables in {time.monotonic() - began:.0f} s"
        )
        timed(many.path, given.runs)
        opened(many.report, given.runs)
