"""Trials as a person runs them: `./inv bench` in front or in the background, its run folder, and what the hosts hold."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from loadproof.runfolder import formats
from tests.words.words import BUSY, BUSY_S, HEEDING, HOSTS, REPO, Said, Shell, Words, judged, until

# --interval and --settle only as long as they must be: nobody compares these figures
SHORT = ("--processes", "2", "--threads", "3", "--interval", "300ms", "--settle", "1s")
RECOMPUTE = REPO / "tests" / "analysis" / "recompute.py"
STAGES = (
    *("reset", "open", "apply", "facts", "ready", "warm", "limit", "load", "watch", "drain", "facts"),
    *("stop", "lift", "seal"),
)


LIVE = re.compile(
    r"^ *(\d+) s +\d+ +\d+\.\d ", re.M
)  # elapsed, users, TPS; the table of the load has words there


def environment(words: Words) -> dict[str, str]:
    """Of an `./inv` whose words take no -i: results and inventory by name."""
    named = {"LOADPROOF_RESULTS": str(words.results), "LOADPROOF_INVENTORY": str(words.inventory)}
    return os.environ | named | {"COLUMNS": "200"}


def inv(words: Words, *line: str, within_s: float = 120.0) -> Said:
    """Run `./inv LINE`; waits while somebody else's run holds the hosts."""
    end = time.monotonic() + BUSY_S
    while True:
        said = once(words, *line, within_s=within_s)
        if not BUSY.search(said.err) or time.monotonic() > end:
            return said
        time.sleep(1)


def once(words: Words, *line: str, within_s: float = 120.0) -> Said:
    """Run it once."""
    begun = time.monotonic()
    done = subprocess.run(
        ["./inv", *line], cwd=REPO, env=environment(words), stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=within_s,
    )  # fmt: skip
    return Said(line, done.returncode, done.stdout, done.stderr, time.monotonic() - begun)


@dataclass(frozen=True)
class Run:
    """The folder of a run with one trial."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def trial(self) -> Path:
        """The folder of its only trial."""
        (found,) = (self.path / "trials").iterdir()
        return found

    @property
    def plan(self) -> dict[str, Any]:
        return dict(json.loads((self.trial / "plan.json").read_text()))

    @property
    def results(self) -> dict[str, Any]:
        return dict(json.loads((self.path / "results.json").read_text()))

    @property
    def out(self) -> str:
        """Where the trial's raw files are on a host."""
        return f"/var/lib/loadproof/trials/{self.id}/01"

    def journal(self) -> list[dict[str, Any]]:
        """Its whole lines so far."""
        found = list(self.path.glob("trials/*/journal.jsonl"))
        text = found[0].read_text() if found else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def stages(self, event: str = "begin") -> list[str]:
        """Stages in the order in which they began, or ended; but for the generator's own rate, which only the first run
        of a clone measures."""
        lines = [line for line in self.journal() if line["stage"] != "rate"]
        return [str(line["stage"]) for line in lines if line["event"] == event]

    def raw(self, host: str) -> Path:
        return self.trial / "raw" / host

    def lines(self, host: str, name: str) -> list[dict[str, Any]]:
        """A raw file of JSON lines."""
        return [json.loads(line) for line in (self.raw(host) / name).read_text().splitlines()]

    def logged(self) -> list[dict[str, str]]:
        """The lines of nginx's access log, by field."""
        text = (self.raw("proxy") / formats.ACCESS_LOG).read_text(encoding="ascii")
        return [dict(zip(formats.PROXY_FIELDS, line.split("\t"), strict=True)) for line in text.splitlines()]

    def limiter(self, host: str, event: str = "") -> list[dict[str, Any]]:
        """The limiter's events on a host, or those of one name."""
        return [one for one in self.lines(host, "limiter.jsonl") if event in ("", one["event"])]

    def rows(self, path: Path, layout: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
        """The rows of a row file."""
        data = path.read_bytes()[formats.HEADER.itemsize :]
        return np.frombuffer(data[: len(data) // layout.itemsize * layout.itemsize], layout)

    def hashes(self) -> dict[str, str]:
        """Of every file of the run."""
        files = sorted(path for path in self.path.rglob("*") if path.is_file())
        return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def newest(words: Words) -> Run:
    """The newest run of the tests' own results."""
    return Run((words.results / "latest").resolve())


def bench(words: Words, *flags: str) -> Run:
    """A whole `./inv bench`, sealed on the hosts."""
    said = inv(words, "bench", *SHORT, *flags)
    assert said.code == 0, said
    run = newest(words)
    # users over time before anything starts, what is seen while it runs, a summary, the next command
    parts = [
        "inventory: ", "load: 6 users = 2 processes x 3 threads", "window begins", "trial 01 (1 of 1)", "elapsed    users",
        "CPU app1", f"sealed on the hosts: run {run.id}", "seen live", "next: ./inv fetch-results",
    ]  # fmt: skip
    places = [said.err.find(part) for part in parts]
    assert -1 not in places and places == sorted(places), (places, said)
    assert LIVE.search(said.err), said
    return run


def fetch(words: Words, run: Run) -> Said:
    """Bring it home; the figures must be what the raw files say."""
    said = judged(inv(words, "fetch-results", "--run", run.id))
    recompute(run)
    return said


def recompute(run: Run) -> None:
    """Every number of results.json, counted again by a program that imports nothing of ours."""
    words = [sys.executable, "-I", "-S", str(RECOMPUTE), str(run.path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 differences; 0 figures are null" in done.stdout, done.stdout


@dataclass
class Going:
    """A word of `./inv` at work in the background. `inv` becomes its Python by exec: signals reach that."""

    words: Words
    process: subprocess.Popen[str]
    err: IO[str]
    run: Run

    def said(self) -> str:
        """Its stderr so far."""
        self.err.seek(0)
        return self.err.read()

    def reached(self, stage: str, event: str = "begin", within_s: float = 90.0) -> None:
        """Wait until its journal says so."""

        def there() -> bool:
            assert self.process.poll() is None or stage in self.run.stages(event), self.said()
            return stage in self.run.stages(event)

        until(there, f"{event} of {stage}", within_s)

    def live(self, seconds: float, within_s: float = 60.0) -> None:
        """Wait until its load has run for so long, as the master on the host says."""
        until(lambda: self._elapsed() >= seconds, f"{seconds} s of load", within_s)

    def _elapsed(self) -> float:
        seen = [float(second) for second in LIVE.findall(self.said())]
        assert self.process.poll() is None, self.said()
        return max(seen, default=0.0)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self, within_s: float = 60.0) -> Said:
        """How it ended."""
        begun = time.monotonic()
        code = self.process.wait(timeout=within_s)
        return Said((str(self.process.args),), code, "", self.said(), time.monotonic() - begun)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.err.close()


@contextmanager
def going(words: Words, *line: str, word: str = "bench") -> Iterator[Going]:
    """`./inv bench LINE` (or another word that makes trials) in the background, from the moment its journal is there."""
    end = time.monotonic() + BUSY_S
    while True:
        made = _start(words, word, *line)
        try:
            if made is not None:
                yield made
                return
        finally:
            if made is not None:
                made.close()
        assert time.monotonic() < end, "the hosts were never free"
        time.sleep(1)


def _start(words: Words, *line: str) -> Going | None:
    """None when the hosts belong to somebody else's run."""
    before = {path.name for path in words.results.glob("2*")}
    err = tempfile.TemporaryFile("w+")  # noqa: SIM115
    process = subprocess.Popen(
        [*HEEDING, "./inv", *line], cwd=REPO, env=environment(words), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=err, text=True,
    )  # fmt: skip
    made = Going(words, process, err, Run(words.results))

    def begun() -> bool:
        for path in words.results.glob("2*"):
            if path.name not in before:
                made.run = Run(path)
        return bool(made.run.path != words.results and made.run.journal()) or process.poll() is not None

    until(begun, "a journal", 60)
    if process.poll() is not None and BUSY.search(made.said()):
        made.close()
        return None
    assert process.poll() is None, made.said()
    return made


def health(shell: Shell, host: str) -> dict[str, Any]:
    """What the app on a host answers, asked from here."""
    with urllib.request.urlopen(f"http://{shell.addresses[host]}:8000/healthz", timeout=5) as answer:
        return dict(json.load(answer))


QUIET = r"""
systemctl list-units --plain --no-legend --state=active,activating,deactivating \
    'loadproof-load@*' 'loadproof-limit*' 'loadproof-sample*'
for pid in $(systemctl show -p MainPID --value loadproof-app.service); do
    [ "$pid" = 0 ] || awk '/^State:.*stopped/ {print "the app is stopped"}' /proc/$pid/status
done
[ ! -e /run/loadproof/lock.json ] || cat /run/loadproof/lock.json
pgrep -x cpulimit -a | sed 's/^/still there: /'
"""


def assert_quiet(shell: Shell) -> None:
    """No load, no limiter, no sampler, nothing stopped, nobody holds a host."""
    said = shell.each(QUIET + "true")
    assert not any(text.strip() for text in said.values()), said


def assert_sealed(shell: Shell, run: Run) -> None:
    """Every host has a manifest of the trial, and writes elsewhere."""
    said = shell.each(f"readlink /var/lib/loadproof/current; cat {run.out}/manifest.json")
    for host in HOSTS:
        current, _, manifest = said[host].partition("\n")
        assert current == "/var/lib/loadproof/idle", (host, current)
        assert "held" not in json.loads(manifest), (host, manifest)
