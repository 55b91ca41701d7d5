"""Requests joined over three witnesses, and the accounts that have to balance."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from analysis import journeyfile, journeys, results, trial
from loadproof.runfolder import formats
from loadproof.runfolder.paths import RunFolder
from tests.analysis import recompute, small, synthetic
from tests.analysis.synthetic import LOAD, Raw

WHOLE = dataclasses.replace(LOAD, timeout_s=1.8)


def judged(base: Path, spoil: Callable[[Raw], None], servers: int = 1) -> tuple[dict[str, Any], RunFolder]:
    """The whole run of a small trial with one more thing in it."""
    raw = Raw(synthetic.plan(load=WHOLE, servers=servers))
    for user in range(9):
        raw.user(raw.plan.workers[user % 3][1], user, (0.0, 2.0, 4.0)[user // 3])
    number = raw.request(1, 0, 7.0, 7.5)
    raw.read("app1", number, 7.1, 7.4)
    raw.logged(number, 7.0, 7.499)
    spoil(raw)
    for user in range(9):
        raw.user(raw.plan.workers[user % 3][1], user, 22.01, formats.KIND_USER_STOPPED)
    synthetic.quiet_samples(raw, dict.fromkeys(raw.plan.apps, 0.05))
    folder = synthetic.write_run(base, [raw])
    return results.analyse(folder.path)["arms"][0]["whole_run"], folder


def table(folder: RunFolder) -> Path:
    return min((folder.path / "tables" / "journeys").glob("*.parquet"))


def test_a_request_with_all_it_went_through(tmp_path: Path) -> None:
    def late(raw: Raw) -> None:
        number = raw.request(1, 1, 8.0, 9.8, "timeout", 0, user=3)
        raw.logged(number, 8.001, 9.801, status=499, upstream_header_time="-", upstream_status="-")
        raw.read("app1", number, 8.1, 10.0, 10.001, "BrokenPipeError")

    whole, folder = judged(tmp_path, late)
    found = journeyfile.find(table(folder), [(1 << 48) | 1]).get((1 << 48) | 1)
    assert found is not None
    t0 = synthetic.T0
    wanted = {
        "worker": 1, "user": 3, "start_us": t0 + 8_000_000, "end_us": t0 + 9_800_000, "error": "timeout", "status": None,
        "lines": 1, "proxy_status": 499, "done_us": t0 + 9_801_000, "received_us": t0 + 8_001_000, "rows": 1,
        "server": "app1", "read_us": t0 + 8_100_000, "handed_us": t0 + 10_000_000, "lost_us": t0 + 10_001_000,
        "app_status": 200, "exception": "BrokenPipeError", "delivered": False, "layer": "app", "reason": "too_late",
        "attempts": [{"server": "198.18.0.11:8000", "status": None, "connect_us": 0, "header_us": None, "response_us": 1_800_000}],
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
    assert whole["attribution"] == {"app/too_late": 1} and whole["unexplained"] == 0 and whole["wasted"] == 1
    assert whole["first"] == [{"reason": "app/too_late", "second": 9.8, "users": 9, "id": "0001000000000001"}]


@pytest.mark.parametrize("log", [formats.ACCESS_LOG, formats.ACCESS_LOG_1])
@pytest.mark.parametrize(
    "odd", ["0.001, x", "nan, inf", "1e400, 2", "9" * 30 + ", 5", "², 5", "1, 2, 3, 4", "70000, 1"]
)
def test_lists_of_attempts_that_nginx_cannot_have_written(tmp_path: Path, log: str, odd: str) -> None:
    """A line of the log that says so is malformed; in a log of objects, what is no number is not there."""
    _, folder = judged(tmp_path, lambda raw: None)
    path = folder.trials[0].raw("proxy1") / formats.ACCESS_LOG
    line = dict(zip(formats.PROXY_FIELDS, path.read_text().split("\n")[0].split("\t"), strict=True))
    line |= {name: odd for name in formats.PROXY_FIELDS if name.startswith("upstream_")}
    line |= {"id": f"{(1 << 48) | 5:016x}", "upstream_addr": "198.18.0.12:8000, 198.18.0.11:8000"}
    data = path.read_bytes()
    if log == formats.ACCESS_LOG:
        path.write_bytes(data + synthetic.tabbed(line))
    else:
        path.unlink()
        path.with_name(log).write_bytes(
            b"".join(map(small.as_objects, data.splitlines())) + json.dumps(line).encode()
        )
    said = " ".join(results.analyse(folder.path)["incomplete"])
    assert ("1 malformed line" in said) == (log == formats.ACCESS_LOG and odd != "1, 2, 3, 4")
    assert journeyfile.find(table(folder), [1 << 48])[1 << 48]["attempts"]


def test_several_attempts_are_kept_in_order(tmp_path: Path) -> None:
    def twice(raw: Raw) -> None:
        number = raw.request(1, 1, 8.0, 8.5)
        raw.read("app1", number, 8.3, 8.4)
        raw.logged(
            number, 8.0, 8.499, upstream_addr="198.18.0.12:8000, 198.18.0.11:8000", upstream_status="502, 200",
            upstream_connect_time="-, 0.001", upstream_header_time="-, 0.200", upstream_response_time="0.100, 0.201",
        )  # fmt: skip

    whole, folder = judged(tmp_path, twice)
    found = journeyfile.find(table(folder), [(1 << 48) | 1]).get((1 << 48) | 1)
    assert found is not None and found["attempts"] == [
        {"server": "198.18.0.12:8000", "status": 502, "connect_us": None, "header_us": None, "response_us": 100_000},
        {"server": "198.18.0.11:8000", "status": 200, "connect_us": 1000, "header_us": 200_000, "response_us": 201_000},
    ]  # fmt: skip
    assert whole["ledgers"]["requests"]["retried"] == 1 and whole["ledgers"]["requests"]["differences"] == 0


def test_the_row_of_the_backend_that_nginx_went_on_to_is_the_one_that_counts(tmp_path: Path) -> None:
    """Also where the one that it left reads the request later; and where there is no other row, that one is missing."""

    def twice(raw: Raw) -> None:
        for number, last in ((1, "app2"), (2, "")):
            id = raw.request(1, number, 8.0, 9.8, "timeout", 0)
            raw.read("app1", id, 9.5)
            if last:
                raw.read(last, id, 8.3)
            raw.logged(
                id, 8.0, 9.8, upstream_addr="198.18.0.11:8000, 198.18.0.12:8000", status=499, upstream_status="504, -",
                upstream_connect_time="0.000, 0.000", upstream_header_time="-, -", upstream_response_time="0.100, 1.700",
            )  # fmt: skip

    whole, folder = judged(tmp_path, twice, servers=2)
    found = journeyfile.find(table(folder), [(1 << 48) | 1, (1 << 48) | 2])
    assert [one["server"] for one in found.values()] == ["app2", "app1"]
    assert whole["attribution"] == {"app/never_accepted": 1, "client/gave_up": 1}
    (arm,) = json.loads(folder.results.read_text())["arms"]
    assert [server["attribution"] for server in arm["servers"]] == [{}, whole["attribution"]]
    assert recompute.compare(folder.path) == ([], [])


def test_the_row_of_a_backend_that_nginx_left_stands_for_no_answer(tmp_path: Path) -> None:
    """app2 answered, and its row is lost: that app1 read the request before is no account of it."""

    def twice(raw: Raw) -> None:
        id = raw.request(1, 1, 8.0, 8.5)
        raw.read("app1", id, 8.1)
        raw.logged(
            id, 8.0, 8.499, upstream_addr="198.18.0.11:8000, 198.18.0.12:8000", upstream_status="502, 200",
            upstream_connect_time="0.000, 0.001", upstream_header_time="-, 0.200", upstream_response_time="0.100, 0.201",
        )  # fmt: skip

    whole, folder = judged(tmp_path, twice, servers=2)
    ledger = whole["ledgers"]["requests"]
    assert ledger["said"] == ["1 request answered, but in no app's rows, first 0001000000000001"]
    assert ledger["differences"] == ledger["retried"] == 1
    assert recompute.compare(folder.path)[0] == []


def answered(raw: Raw, *witnesses: str, times: int = 1) -> None:
    """Request 1 of worker 1, a success, as only some witnesses saw it."""
    number = (1 << 48) | 1
    if "client" in witnesses:
        raw.request(1, 1, 8.0, 8.5)
    for _ in range(times if "nginx" in witnesses else 0):
        raw.logged(number, 8.0, 8.499)
    for _ in range(times if "app" in witnesses else 0):
        raw.read("app1", number, 8.1, 8.4)


def refused_but_logged(raw: Raw) -> None:
    number = raw.request(1, 1, 8.0, 8.1, "refused", 0)
    raw.logged(number, 8.0, 8.1, status=499)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda raw: answered(raw, "nginx", "app"), "in nginx's log, but never sent by a client"),
        (lambda raw: answered(raw, "client", "nginx", "app", times=2), "several lines of nginx for one request"),
        (refused_but_logged, "its client never got a connection, but it is in nginx's log"),
        (lambda raw: answered(raw, "client", "app"), "answered, but in no line of nginx"),
        (lambda raw: answered(raw, "client", "nginx"), "answered, but in no app's rows"),
        (lambda raw: answered(raw, "app"), "read by an app, but in no line of nginx"),
    ],
)  # fmt: skip
def test_what_does_not_balance_is_listed(spoil: Callable[[Raw], None], said: str, tmp_path: Path) -> None:
    whole, _ = judged(tmp_path, spoil)
    ledger = whole["ledgers"]["requests"]
    assert f"1 request {said}, first 0001000000000001" in ledger["said"]
    assert ledger["differences"] == len(ledger["said"]) > 0


@pytest.mark.parametrize("worker", [0, 77], ids=["without ids", "a worker of another trial"])
def test_what_somebody_else_sent_while_the_load_ran_is_counted(worker: int, tmp_path: Path) -> None:
    """By nginx, or to an app itself; before second 0, after the end, and our own probes are none."""

    def strange(raw: Raw) -> None:
        for at in (-3.0, 0.5, 8.0, 21.9, 23.0):
            raw.logged(worker << 48, at, at + 0.05)
            raw.read("app1", worker << 48, at + 0.01, at + 0.04)
            raw.logged(0xFFF2 << 48, at, at + 0.05)
        for number in range(4):
            raw.read("app1", worker << 48, 9.0 + number, 9.5 + number)

    whole, folder = judged(tmp_path, strange)
    ledger = whole["ledgers"]["requests"]
    assert (ledger["differences"], ledger["total"], ledger["strangers"]) == (0, 1, 7)
    assert ledger["said"] == ["7 requests of somebody else while the load ran"]
    (arm,) = json.loads(folder.results.read_text())["arms"]
    (one,) = [one for one in arm["checks"] if one["name"] == "ledger_requests"]
    assert one["verdict"] == "INVALID" and "7 requests of somebody else" in one["said"]
    assert recompute.compare(folder.path)[0] == []


def test_without_a_witness_there_is_no_account_of_requests(copy: RunFolder) -> None:
    (copy.trials[0].raw("proxy1") / "access.tsv").unlink()
    next(copy.trials[1].raw("app2").glob("app-*.rows")).unlink()
    for arm in results.analyse(copy.path)["arms"]:
        assert arm["whole_run"]["ledgers"]["requests"] is None
        assert arm["whole_run"]["ledgers"]["time"]["gap"] < 0.01


def test_the_account_of_the_users_time(two_arms: RunFolder, tmp_path: Path) -> None:
    for arm in json.loads(two_arms.results.read_text())["arms"]:
        time = arm["whole_run"]["ledgers"]["time"]
        assert time["user_s"] == pytest.approx(3 * 22 + 3 * 20 + 3 * 18, abs=0.1)
        assert 0 <= time["gap"] < 0.002  # 0.5 ms between two requests of a user
    idle, _ = judged(tmp_path, lambda raw: None)  # users who did next to nothing
    assert idle["ledgers"]["time"]["gap"] > 0.99


def test_think_time_is_time_of_users(tmp_path: Path) -> None:
    thinking = dataclasses.replace(LOAD, think_s=0.7)
    raw = synthetic.simulate(synthetic.plan(load=thinking), 4, 0.01)
    for worker, rows in raw.client.items():
        raw.client[worker] = [
            (*row[:-1], 700_000 if row[0] == 1 and row[5] & 0xFFFFFFFF > 2 else 0) for row in rows
        ]
    folder = synthetic.write_run(tmp_path, [raw])
    time = results.analyse(folder.path)["arms"][0]["whole_run"]["ledgers"]["time"]
    assert abs(time["gap"]) < 0.02


def test_blocks_of_any_size_give_the_same(
    two_arms: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads(two_arms.results.read_text())
    again = synthetic.two_arms(tmp_path)
    monkeypatch.setattr(journeys, "BLOCK", 7)
    assert results.analyse(again.path) == before
    first, second = (pq.read_table(table(one)).to_pylist() for one in (two_arms, again))
    assert first == second and len(first) == before["arms"][0]["whole_run"]["requests"] + 9


def test_a_forged_number_makes_no_endless_row_of_blocks(tmp_path: Path) -> None:
    def forge(raw: Raw) -> None:
        raw.request(1, 0, 8.0, 8.5, id=(1 << 48) | (1 << 47))
        raw.logged((2 << 48) | (1 << 46), 8.0, 8.1)
        raw.read("app1", (1 << 48) | (1 << 45), 8.0, 8.1)

    whole, folder = judged(tmp_path, forge)
    assert whole["requests"] is None and whole["unexplained"] is None
    assert pq.read_table(table(folder)).num_rows == 4


def test_failures_are_the_sum_of_their_reasons(two_arms: RunFolder) -> None:
    for arm in json.loads(two_arms.results.read_text())["arms"]:
        for part in (arm, arm["whole_run"]):
            assert sum(part["attribution"].values()) + part["unexplained"] == part["failures"] > 0
        by_server: dict[str, int] = {}
        for server in arm["servers"]:
            for reason, count in server["attribution"].items():
                by_server[reason] = by_server.get(reason, 0) + count
        assert by_server == arm["attribution"]


def test_other_rules_make_the_table_again(copy: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reasons in a table that older rules made would contradict those that are counted now."""

    def made() -> list[int]:
        results.analyse(copy.path)
        return [copy.table("journeys", paths.name).stat().st_mtime_ns for paths in copy.trials]

    first = made()
    assert made() == first
    monkeypatch.setattr(trial, "rules", lambda: "others")
    assert all(now > before for now, before in zip(made(), first, strict=True))
