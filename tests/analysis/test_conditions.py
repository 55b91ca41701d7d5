"""What the checks of a whole trial are told, and what a damaged one makes of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from analysis import checks, results, verdicts
from analysis.attribution import addresses
from analysis.checks.evidence import Evidence
from analysis.journeys import Journeys
from analysis.load import tables
from analysis.measures.waiting import Waiting
from analysis.measures.window import Window
from analysis.readers.clock import Clocks
from analysis.tally import timed
from loadproof.plan.values import Inventory
from loadproof.runfolder.paths import RunFolder
from tests.analysis import synthetic

NAMES = addresses(Inventory("x", synthetic.HOSTS))


def test_an_app_host_without_a_port_has_no_address() -> None:
    without = [dataclasses.replace(host, ports=()) for host in synthetic.HOSTS[:1]]
    assert addresses(Inventory("x", (*without, *synthetic.HOSTS[1:]))) == {"198.18.0.12:8000": "app2"}


def test_where_requests_waited_and_went(tmp_path: Path) -> None:
    raw = synthetic.Raw(synthetic.plan(servers=2))
    for number, (begin, end, server) in enumerate([(7, 8, "app1"), (7.5, 9, "app1"), (21.5, 22.5, "app2")]):
        raw.logged((1 << 48) | number, begin, end, server)
    raw.logged(0xFFF0 << 48, 7, 8, "app2")  # warm-up
    raw.logged((1 << 48) | 9, 7, 7.1, "-", status=499)  # nginx asked no server
    raw.logged((1 << 48) | 10, 9, 19, "app2", status=499, upstream_connect_time="-")  # its port was silent
    folder = synthetic.write_run(tmp_path, [raw])
    found = tables(folder.trials[0], raw.plan, lambda kind: tmp_path / f"{kind}.parquet")
    hold = Window("hold", 9, synthetic.T0, synthetic.T0 + 6_000_000, synthetic.T0 + 22_000_000)

    def waited(names: dict[str, str]) -> Waiting:
        journeys = Journeys(found, raw.plan, names)
        waiting = Waiting(synthetic.T0, synthetic.T0 + 23_000_000, journeys, hold)
        for block in journeys.blocks():
            waiting.add(block)
        return waiting

    waiting = waited(NAMES)
    assert waiting.attempts.tolist() == [2, 1] and not waiting.elsewhere
    seconds = [(waiting.busy(server) - synthetic.T0) / 1e6 for server in (0, 1)]
    assert seconds[0].tolist() == [[7.0, 9.01]] and seconds[1].tolist() == [[21.5, 22.51]]
    assert waited({}).elsewhere == 4


def test_every_attempt_of_nginx_counts(tmp_path: Path) -> None:
    one, two = (f"{host.address}:8000" for host in synthetic.HOSTS if host.name in ("app1", "app2"))
    raw = synthetic.Raw(synthetic.plan(servers=2))
    several = [f"{two}, {one}", f"{two}, {one}, {two}", f"{two}, backends", one, "backends", "-"]
    for number, listed in enumerate(several):
        raw.logged((1 << 48) | number, 7, 8, listed)
    raw.logged((1 << 48) | 9, 23, 24, f"{two}, {one}")  # not in the window
    folder = synthetic.write_run(tmp_path, [raw])
    found = tables(folder.trials[0], raw.plan, lambda kind: tmp_path / f"{kind}.parquet")

    def waited(names: dict[str, str]) -> Waiting:
        journeys = Journeys(found, raw.plan, names)
        hold = Window("hold", 9, synthetic.T0, synthetic.T0 + 6_000_000, synthetic.T0 + 22_000_000)
        waiting = Waiting(synthetic.T0, synthetic.T0 + 23_000_000, journeys, hold)
        for block in journeys.blocks():
            waiting.add(block)
        return waiting

    assert waited(NAMES).attempts.tolist() == [3, 4] and not waited(NAMES).elsewhere
    assert waited({one: "app1"}).elsewhere == 4


def test_a_request_waits_at_each_server_that_nginx_tries(tmp_path: Path) -> None:
    one, two = (f"{host.address}:8000" for host in synthetic.HOSTS if host.name in ("app1", "app2"))
    raw = synthetic.Raw(synthetic.plan(servers=2))
    tried = [
        (7, 12, f"{two}, {one}", "0.001, 0.001", "4.000, 1.000"),
        (14, 17, f"{two}, {one}", "-, 0.001", "2.000, 1.000"),  # never connected
        (18, 22, f"{one}, {two}, {one}", "0.001, 0.001, 0.001", "1.000, 2.000, 1.000"),
    ]
    for number, (begin, end, listed, connect, response) in enumerate(tried):
        times = {"upstream_connect_time": connect, "upstream_response_time": response}
        raw.logged((1 << 48) | number, begin, end, listed, **times)
    folder = synthetic.write_run(tmp_path, [raw])
    found = tables(folder.trials[0], raw.plan, lambda kind: tmp_path / f"{kind}.parquet")
    journeys = Journeys(found, raw.plan, NAMES)
    waiting = Waiting(synthetic.T0, synthetic.T0 + 23_000_000, journeys, None)
    for block in journeys.blocks():
        waiting.add(block)
    seconds = [(waiting.busy(server) - synthetic.T0) / 1e6 for server in (0, 1)]
    assert seconds[0].tolist() == [[11.0, 12.01], [16.0, 17.01], [18.0, 19.01], [21.0, 22.01]]
    assert seconds[1].tolist() == [[7.0, 11.01], [19.0, 21.01]]


@pytest.mark.parametrize(("moved_s", "known"), [(0.0, True), (0.2, True), (3.0, False), (None, False)])
def test_an_nginx_whose_clock_moved_says_of_no_server_when_requests_waited(
    moved_s: float | None, known: bool, copy: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copy.trials[1].facts
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        if line["host"] == "proxy1" and moved_s is None:
            line["offset"] = None
        elif (line["host"], line["when"]) == ("proxy1", "after") and moved_s is not None:
            line["offset"]["best_us"] += round(moved_s * 1e6)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    seen: list[Evidence] = []
    judge_all = checks.judge_all
    monkeypatch.setattr(checks, "judge_all", lambda one: (seen.append(one), judge_all(one))[1])
    arms = results.analyse(copy.path)["arms"]
    one = next(one for one in seen if one.plan.id == "02")
    for server in arms[1]["servers"]:  # they are overloaded throughout
        whole = pytest.approx(server["cpu_percent"], rel=0.01)
        assert server["cpu_saturated_percent"] == (whole if known else None)
    assert (one.busy["app1"] is not None, one.attempts["app1"] is not None) == (known, known)


@pytest.mark.parametrize(
    ("loads", "halves", "sure"),
    [
        (("load1",), {"load1": 200_000, "proxy1": 200_000}, True),
        (
            ("load1",),
            {"load1": 3_000_000, "proxy1": 200_000},
            True,
        ),  # rows count from the beginning of their file
        (("load1",), {"load1": 200_000, "proxy1": 3_000_000}, False),
        (("load1",), {"proxy1": 100}, False),
        (("load1",), {"load1": 100}, False),
        (("proxy1",), {"proxy1": 200_000}, True),
        (("proxy1",), {"proxy1": 3_000_000}, False),  # it moved: its rows did not, nginx's lines did
        (("proxy1",), {}, True),
    ],
)
def test_whether_times_of_nginx_are_those_of_the_load(
    loads: tuple[str, ...], halves: dict[str, int], sure: bool
) -> None:
    plan = dataclasses.replace(synthetic.plan(), loads=loads)
    assert timed(Clocks({}, (), frozenset(halves), halves), plan) == sure


def test_results_hold_every_check_of_run_arm_and_trial(two_arms: RunFolder) -> None:
    made = json.loads(two_arms.results.read_text())
    keys = {"name", "verdict", "value", "limit", "unit", "withholds", "remedy", "said"}
    for one in (made, *made["arms"], *(trial for arm in made["arms"] for trial in arm["trials"])):
        own = [verdicts.BLOCKS] if one is made else []
        assert [check["name"] for check in one["checks"]] == [*checks.names(), *own]
        assert all(set(check) == keys for check in one["checks"])
        broken = {check["verdict"] for check in one["checks"] if check["withholds"] == "trial"}
        assert one["verdict"] == ("INVALID" if "INVALID" in broken else "UNKNOWN" if broken else "VALID")


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        ("cut a client's rows", "rows_complete"),
        ("another limit", "limiter_attached"),
        ("a lost worker", "workers_kept"),
    ],
)
def test_what_is_spoiled_turns_its_check(copy: RunFolder, spoil: str, name: str) -> None:
    raw = copy.trials[1].path / "raw"
    match spoil:
        case "cut a client's rows":
            rows = raw / "load1" / "requests-1.rows"
            rows.write_bytes(rows.read_bytes()[:-100])
        case "another limit":
            events = raw / "app2" / "limiter.jsonl"
            events.write_text(events.read_text().replace('"percent": 5.0', '"percent": 50'))
        case "a lost worker":
            (raw / "load1" / "totals-master.json").write_text('{"lost": [3]}')
    made = results.analyse(copy.path)
    found = {check["name"]: check for check in made["checks"]}
    assert found[name]["verdict"] == "INVALID" and "servers=2" in found[name]["said"], found[name]
    assert made["verdict"] == "INVALID" and made["arms"][1]["verdict"] == "INVALID"
    assert any("did not hold" in text for _, text in made["sentences"])
    assert not any(" times that of " in text for _, text in made["sentences"])


def test_a_hostile_record_turns_checks_and_breaks_nothing(copy: RunFolder) -> None:
    paths = copy.trials[0]
    hostile = ['{"when": "after", "host": "app1", "facts": {"units": 7, "files": [], "health": {"8000": []}}}',
               '{"when": "after", "host": "load1", "facts": {"units": {"loadproof-load@1.service": []}, "cpus": "two"}}',
               '{"when": "rate", "host": "load1", "rate": "1e99"}', '{"when": [], "host": {}}', "nonsense"]  # fmt: skip
    with paths.facts.open("a") as file:
        file.write("\n".join(hostile) + "\n")
    (paths.raw("app1") / "limiter.jsonl").write_text(
        '{"event": []}\n{"event": "started", "percent": {}}\n7\n'
    )
    (paths.raw("load1") / "totals-master.json").write_text('{"lost": 3}')
    paths.journal.write_text(
        '{"stage": [], "event": {}}\n{"stage": "drain", "event": "note", "host": [1], "detail": {}}\n'
    )
    found = {check["name"]: check["verdict"] for check in results.analyse(copy.path)["arms"][0]["checks"]}
    assert found["limiter_attached"] == "INVALID" and found["tail_drained"] == "INVALID"
    assert found["drift"] == "UNKNOWN"
