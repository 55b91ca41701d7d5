"""Whatever kills the limiter, its supervisor or the app in the middle of a hold: limited again, and never frozen."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from tests.words.trials import (
    SHORT,
    Run,
    assert_quiet,
    assert_sealed,
    bench,
    fetch,
    going,
    health,
)
from tests.words.words import Shell, Words, until

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

APP, LIMIT = "loadproof-app.service", "loadproof-limit.service"
MOST_PERCENT = 12.0  # over any 5 s: the limit is 5, cpulimit's own settling is in it
WINDOW_S = 5.0
BACK_S = 2.5  # "within a second or two", and the clock of the test


class Host:
    """The app host of the trial in progress."""

    def __init__(self, shell: Shell, name: str) -> None:
        self.shell, self.name = shell, name

    def events(self, name: str) -> list[dict[str, Any]]:
        """The limiter's events of one name so far."""
        text = self.shell.run(self.name, "cat /var/lib/loadproof/current/limiter.jsonl", ok=False)
        lines = [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]
        return [line for line in lines if line["event"] == name]

    def pid(self, unit: str) -> str:
        """The main process of a unit."""
        return self.shell.run(self.name, f"systemctl show -p MainPID --value {unit}").strip()

    def kill(self, pid: str) -> None:
        """kill -9 of one process, by its number."""
        assert int(pid) > 1
        self.shell.run(self.name, f"kill -9 {pid}")

    def back(self, harm: Callable[[], None]) -> None:
        """Do harm; wait until the limit is attached anew."""
        before = len(self.events("attached"))
        harm()
        until(lambda: len(self.events("attached")) > before, "limited again", 5)

    def restart(self) -> None:
        """The app's unit is stopped for a while."""
        self.shell.run(self.name, f"systemctl stop {APP}")
        until(lambda: self.events("gone")[-1]["what"] == "app", "the supervisor knows that the app is gone")
        self.shell.run(self.name, f"systemctl start {APP}")


@pytest.fixture(scope="module")
def harmed(words: Words, shell: Shell) -> Run:
    """A trial in whose hold all parts of the limit were killed, one after the other."""
    host = Host(shell, "app1")
    with going(words, *SHORT, "--hold", "20s", "--timeout", "4s", "--name", "harmed") as bench:
        bench.live(3)
        host.back(lambda: host.kill(str(host.events("attached")[-1]["child"])))
        bench.live(6)
        host.back(lambda: host.kill(host.pid(LIMIT)))
        bench.live(9)
        host.back(lambda: host.kill(host.pid(APP)))
        bench.live(14)
        host.back(host.restart)
        said = bench.ended()
    assert said.code == 0, said
    assert_quiet(shell)
    assert_sealed(shell, bench.run)
    assert health(shell, "app1")["in_flight"] == 0, "it answers: it is not frozen"
    fetch(words, bench.run)
    return bench.run


def test_each_loss_was_limited_again_at_once(harmed: Run) -> None:
    order = [event for event in harmed.limiter("app1") if event["event"] in ("gone", "attached")]
    lost = [event["what"].partition(":")[0] for event in order if event["event"] == "gone"]
    assert lost == ["cpulimit", "supervisor", "app", "app"]
    assert order[0]["event"] == order[-1]["event"] == "attached"
    for before, after in list(pairwise(order))[:-1]:
        if before["event"] == "gone":
            assert after["event"] == "attached"
            assert after["monotonic_ns"] - before["monotonic_ns"] < BACK_S * 1e9, (before, after)


def cpu_of_app(run: Run) -> list[tuple[int, int]]:
    """(monotonic ns, CPU ns of the app's processes so far) of each sample on app1; a process is its pid and start."""
    curve, known, used = [], dict[tuple[int, int], int](), 0
    for line in run.lines("app1", "sample.jsonl"):
        for one in line.get("processes", ()):
            if one["unit"] == APP:
                key = (one["pid"], one["start"])
                used += one["cpu_ns"] - known.get(key, 0)
                known[key] = one["cpu_ns"]
        if "processes" in line:
            curve.append((line["monotonic_ns"], used))
    return curve


def test_the_app_never_had_more_than_its_share(harmed: Run) -> None:
    """In every window of 5 s between two attaches, but for a second after each."""
    curve = cpu_of_app(harmed)
    attached = [event["monotonic_ns"] for event in harmed.limiter("app1", "attached")]
    ends = [
        event["monotonic_ns"] for event in harmed.limiter("app1") if event["event"] in ("gone", "detached")
    ]
    seen = []
    for begin in attached:
        end = min(moment for moment in ends if moment > begin)
        inside = [point for point in curve if begin + 1e9 <= point[0] <= end]
        for index, (moment, used) in enumerate(inside):
            later = [point for point in inside[index:] if point[0] - moment >= WINDOW_S * 1e9]
            if later:
                seen.append(100 * (later[0][1] - used) / (later[0][0] - moment))
    assert seen and max(seen) < MOST_PERCENT, seen


def test_each_event_is_in_the_journal_and_said(harmed: Run) -> None:
    journal = [line["detail"] for line in harmed.journal() if line["event"] == "limiter"]
    assert journal == harmed.limiter("app1")
    (note,) = [line for line in harmed.results["incomplete"] if "the limit was lost" in line]
    assert note.endswith(
        "app1: the limit was lost (cpulimit, supervisor, app 2 times gone) and put back; limiter.jsonl has the times"
    )


def test_its_failures_are_counted_not_hidden(harmed: Run) -> None:
    whole = harmed.results["arms"][0]["whole_run"]
    errors = dict(whole["errors"])
    assert whole["failures"] == sum(errors.values()) > 0
    # an app that dies between the head of an answer and its body: nginx can only hang up, and says so
    log = (harmed.raw("proxy") / "error.log").read_text()
    assert errors.pop("closed", 0) == log.count("prematurely closed connection while reading upstream")
    assert errors and set(errors) <= {"http_502", "http_504", "timeout"}, errors


@pytest.mark.long
def test_a_bench_afterwards_works(words: Words, shell: Shell, harmed: Run) -> None:
    run = bench(words, "--hold", "1s")
    assert_sealed(shell, run)
    assert_quiet(shell)
