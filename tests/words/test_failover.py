"""nginx asks another server when one fails: each attempt is accounted for, and no request is without an explanation."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from loadproof.runfolder import formats
from tests.words.trials import Run, assert_quiet, going, inv, recompute
from tests.words.words import Shell, Words, until

pytestmark = [pytest.mark.lab, pytest.mark.long, pytest.mark.timeout(400)]

ASKED = """\
question: What becomes of requests when one of two servers goes away?
servers: 2
failover: yes
limiter: none
processes: 1
threads: 2
interval: 300ms
settle: 1s
hold: 6s
warm: 20
think: 20ms
timeout: 4s
"""
APP = "loadproof-app.service"
IN_WINDOW_S = 2.5  # it begins at 1.3 s: the server that goes away is to have answered in it


def second(shell: Shell, run: Run) -> float:
    """How long the load has run, as its master says."""
    text = shell.run("load1", f"cat {run.out}/live.jsonl", ok=False)
    return max(map(float, re.findall(r'"elapsed_s": ([0-9.]+),', text)), default=0.0)


def taken_away(shell: Shell, run: Run) -> None:
    """The second server's app is stopped until an attempt there has failed. It is there again before the load ends: a host
    whose app is gone does not say that it is idle, and is waited for."""
    until(lambda: second(shell, run) > IN_WINDOW_S, "the window", 30)
    shell.run("app2", f"systemctl stop {APP}")
    try:
        # refused, or closed by the app that ends: after either nginx asks that server no more for 10 s
        left_out = f"grep -c 'upstream server temporarily disabled' {run.out}/error.log"
        until(lambda: int(shell.run("proxy", left_out, ok=False) or 0), "nginx leaves it out")
    finally:
        shell.run("app2", f"systemctl start {APP}")


def logged(trial: Path) -> list[dict[str, str]]:
    """The lines of nginx's access log, by field."""
    text = (trial / "raw" / "proxy" / formats.ACCESS_LOG).read_text(encoding="ascii")
    return [dict(zip(formats.PROXY_FIELDS, line.split("\t"), strict=True)) for line in text.splitlines()]


def test_who_asks_sees_nothing_of_it_and_the_record_all(words: Words, shell: Shell, tmp_path: Path) -> None:
    path = tmp_path / "failover.yml"
    path.write_text(ASKED)
    with going(words, str(path), word="experiment") as begun:
        begun.reached("watch")
        taken_away(shell, begun.run)
        said = begun.ended(within_s=180)
    run = begun.run
    assert said.code in (0, 2) and "trial 01: INVALID" in said.err, said
    assert_quiet(shell)
    recompute(run)
    (arm,) = run.results["arms"]
    assert [one["id"] for one in arm["trials"]] == ["01", "02"], "an app that did not run on: once more"
    harmed, again = arm["trials"]
    checks: dict[str, Any] = {one["name"]: one for one in harmed["checks"]}
    assert checks["app_alive"]["verdict"] == "INVALID" and "app2" in checks["app_alive"]["said"]
    backend = checks["every_backend"]
    assert (backend["verdict"], backend["limit"]) == ("VALID", 0.0) and 0 < backend["value"] < 1, backend
    assert "nginx looks at how apps do" in backend["said"]
    assert checks["ledger_requests"]["verdict"] == "VALID", checks["ledger_requests"]
    for one in (harmed, again):
        whole = one["whole_run"]
        assert (whole["failures"], whole["unexplained"], whole["attribution"]) == (0, 0, {}), whole
    ledger = harmed["whole_run"]["ledgers"]["requests"]
    (trial,) = (run.path / "trials").glob("01-*")
    twice = [line for line in logged(trial) if ", " in line["upstream_addr"]]
    assert len(twice) == ledger["retried"] > 0 == ledger["differences"], ledger
    order = ", ".join(f"{shell.addresses[host]}:8000" for host in ("app2", "app1"))
    assert {(one["upstream_addr"], one["upstream_status"], one["status"]) for one in twice} == {
        (order, "502, 200", "200")
    }
    assert not again["whole_run"]["ledgers"]["requests"]["retried"]
    told = inv(words, "journey", run.id, twice[0]["id"], "--trial", "01", "--json")
    tries = json.loads(told.out)
    assert told.code == 0 and "turned to app2" in str(tries) and "turned to app1" in str(tries), told
