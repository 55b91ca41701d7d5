"""Real Locust fleets against a server on 127.0.0.1: what is written is what happened."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest

from loadproof.runfolder import formats
from tests.loadtests.fleet import Fleet, free_port, wait_until
from tests.loadtests.server import BadServer

Make = Callable[..., Fleet]
CUT = formats.ERROR_CLASSES.index("cut")


def sequences(ids: Any) -> dict[int, list[int]]:
    """Sequence numbers by worker, sorted."""
    found: dict[int, list[int]] = {}
    for one in sorted(int(i) for i in ids):
        found.setdefault(one >> 48, []).append(one & (1 << 48) - 1)
    return found


def assert_conserved(fleet: Fleet, server: BadServer | None = None) -> None:
    """rows = Locust's count + cut = requests the server read + never connected, and no gap in any sequence."""
    rows = fleet.requests()
    totals = [fleet.json(f"totals-{number}.json") for number in range(1, fleet.workers + 1)]
    cut = int((rows["error"] == CUT).sum())
    never = int((rows["port"] == 0).sum())
    failed = int(((rows["error"] != 0) & (rows["error"] != CUT)).sum())
    assert len(rows) == sum(total["requests"] for total in totals) + cut
    assert failed == sum(total["failures"] for total in totals)
    assert never == sum(total["connected_never"] for total in totals)
    assert fleet.json("totals-master.json")["requests"] == len(rows) - cut
    assert fleet.json("totals-master.json")["failures"] == failed
    assert fleet.json("totals-master.json")["lost"] == []
    for worker, sequence in sequences(rows["id"]).items():
        assert sequence == list(range(len(sequence))), f"gap in worker {worker}"
    if server is not None:
        sent = {int(row["id"]) for row in rows if row["port"]}
        # what was cut off at the end may still be on its way through the server's threads
        wait_until(lambda: set(server.seen.ids) >= sent, 3, "the server has read everything")
        assert set(server.seen.ids) == sent
        assert len(server.seen.ids) == len(sent), "a request was sent twice"


def test_three_workers(fleet: Make) -> None:
    with BadServer(lambda _: "slow") as server:
        made = fleet(workers=3, users=30, step=6, interval=0.5, hold=2.0, target=server.url).run()
    assert_conserved(made, server)
    rows = [made.rows(worker) for worker in (1, 2, 3)]
    check_users(made, rows)
    requests = made.requests()
    assert set(made.errors()) <= {"", "cut"}
    assert server.seen.connections == 30, "keep-alive: one connection per user"
    assert (requests["intended_us"] == requests["start_us"]).all()
    done = requests[requests["error"] == 0]
    assert (done["start_us"] < done["first_us"]).all()
    assert (done["first_us"] <= done["end_us"]).all()
    assert set(done["status"]) == {200}
    assert set(done["bytes"]) == {5}
    first = [np.flatnonzero(requests["user"] == user)[0] for user in range(1, 11)]
    assert not requests["think_us"][first].any(), "nobody slept before the first request"
    assert np.median(requests["think_us"]) >= 20_000
    assert made.json("names-2.json") == ["", "/items/{item_id}"]
    assert len(set(server.seen.paths)) > 50
    check_seconds(made)


def check_users(made: Fleet, rows: list[Any]) -> None:
    """The planned table was followed, each worker had its share, everybody stopped."""
    started = [row[row["kind"] == formats.KIND_USER_STARTED]["start_us"] for row in rows]
    assert [len(one) for one in started] == [10, 10, 10]
    for row in rows:
        stopped = row[row["kind"] == formats.KIND_USER_STOPPED]
        assert sorted(stopped["user"]) == list(range(1, 11))
    times = np.sort(np.concatenate(started))
    for second, users in made.table:
        assert abs((times[users - 1] - times[0]) / 1e6 - second) < 0.5, f"step at {second} s"


def check_seconds(made: Fleet) -> None:
    """Each worker told its state each second, and the master what everybody saw."""
    for worker in (1, 2, 3):
        seconds = made.rows(worker, formats.SECOND_ROW)
        seconds = seconds[seconds["kind"] == formats.KIND_SECOND]
        assert len(seconds) >= 3
        assert (np.diff(seconds["cpu_ns"]) > 0).all()
        assert seconds["users"].max() == 10
        assert (seconds["lag_max_us"] >= seconds["lag_p99_us"]).all()
    live = made.live()
    assert not [line for line in live if "event" in line]
    assert len(live) >= 3
    assert live[-1]["users"] in (0, 30)
    assert live[-1]["requests"] > live[0]["requests"] > 0
    assert all(line["failures"] == 0 and line["mtt_ms"] > 0 for line in live if line["tps"])


def test_what_a_task_computes_before_its_request_is_no_sleep(fleet: Make) -> None:
    """The scenario burns 20 ms of CPU between waking up and asking."""
    with BadServer(lambda _: "slow") as server:
        made = fleet(
            scenario="heavy", workers=1, users=1, step=1, think_s=0.005, hold=2.0, target=server.url
        ).run()
    requests = made.requests()
    pause = requests["start_us"][1:] - requests["end_us"][:-1]
    assert len(requests) > 20 and np.median(pause) >= 25_000
    assert 5_000 <= np.median(requests["think_us"]) < 20_000


def test_weary_users_ask_less_and_less_often(fleet: Make) -> None:
    """1/4 s of thinking at first, 0.05 requests per second less with each second; all of it in the rows as slept."""
    with BadServer(lambda _: "ok") as server:
        made = fleet(scenario="weary", workers=1, users=1, step=1, hold=12.0, target=server.url).run()
    requests = made.requests()
    thought = requests["think_us"][1:] / 1e6
    since = (requests["start_us"][1:] - requests["start_us"][1]) / 1e6
    assert thought[0] == pytest.approx(0.25, abs=0.05) and since[-1] > 8
    assert thought[-1] == pytest.approx(1 / (4 - 0.05 * since[-1]), abs=0.05) and thought[-1] > thought[0]


def test_nothing_is_sent_twice(fleet: Make) -> None:
    with BadServer(lambda number: "ok" if number % 3 else "close") as server:
        made = fleet(users=3, target=server.url).run()
    assert_conserved(made, server)
    errors = made.errors()
    errors.pop("cut", None)
    closed = len(server.seen.ids) // 3
    assert closed > 10
    assert closed - 3 <= errors.pop("closed") <= closed  # three users: up to three may have been cut instead
    assert set(errors) == {""}


BEHAVIOURS = {
    "ok": "",
    "503": "http_503",
    "redirect": "",
    "close": "closed",
    "reset": "reset",
    "cut": "closed",
    "cutreset": "reset",
    "garbage": "other:HTTPParseError",
    "hang": "timeout",
    "drip": "timeout",
}


def test_error_classes(fleet: Make) -> None:
    """One fleet sees everything a server can do wrong; the server remembers what it did to which id."""
    order = list(BEHAVIOURS)
    with BadServer(lambda number: order[number % len(order)]) as server:
        made = fleet(users=6, hold=2.5, timeout_s=0.3, target=server.url).run()
    assert_conserved(made, server)
    done = {one: order[(index + 1) % len(order)] for index, one in enumerate(server.seen.ids)}
    seen: dict[str, Counter[str]] = {what: Counter() for what in order}
    connected = made.requests()
    connected = connected[connected["port"] > 0]  # our stop may have cut one off while it connected
    for row in connected:
        name = formats.ERROR_CLASSES[row["error"]]
        name = f"http_{row['status']}" if name == "http" else name
        name = f"other:{made.json('names-1.json')[row['error_name']]}" if name == "other" else name
        what = done[int(row["id"])]
        seen[what][name] += 1
        check_row(row, what, name)
    for what, expected in BEHAVIOURS.items():
        assert seen[what].pop(expected, 0) > 0, (what, seen[what])
        assert set(seen[what]) <= {"cut"}, (what, seen[what])
    assert "/elsewhere" not in server.seen.paths


def check_row(row: Any, what: str, name: str) -> None:
    """What a row says beyond its class."""
    if name == "timeout":  # one deadline over everything: a byte now and then does not move it
        assert 280_000 <= row["end_us"] - row["start_us"] < 600_000
        assert row["status"] == (200 if what == "drip" else 0)
        assert (row["first_us"] > 0) == (what == "drip")
    if name == "http_503":
        assert row["bytes"] == 4
    if what == "cut" and name == "closed":
        assert (row["status"], row["bytes"]) == (200, 5)
    if what == "redirect" and not name:
        assert row["status"] == 302


def test_refused(fleet: Make) -> None:
    made = fleet(hold=0.5, target=f"http://127.0.0.1:{free_port()}").run()
    assert_conserved(made)
    assert set(made.errors()) - {"cut"} == {"refused"}
    assert not made.requests()["port"].any()


@contextmanager
def full_backlog() -> Iterator[str]:
    """An address of 127.0.0.1 where connecting takes for ever: nobody accepts, and the queue is full."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for one in waiting:
            one.close()


def test_connect_timeout(fleet: Make) -> None:
    with full_backlog() as url:
        made = fleet(hold=1.0, timeout_s=0.3, target=url).run()
    assert_conserved(made)
    assert set(made.errors()) - {"cut"} == {"connect_timeout"}
    assert not made.requests()["port"].any()


JUDGING = '''"""Has its own opinion on answers."""
from locust import task
from loadtests.user import LoadUser

class Judging(LoadUser):
    """Every way to judge an answer."""
    turn = 0

    @task
    def judge(self):
        self.turn += 1
        what = ("good", "bad", "raises", "ignored", "forgiven", "broken", "streamed", "posted", "nested")[self.turn % 9]
        if what == "good":
            with self.client.get("/ok", name=what, catch_response=True) as answer:
                assert answer.text == "hello"
        elif what == "bad":
            with self.client.get("/ok", name=what, catch_response=True) as answer:
                answer.failure("I do not like it")
        elif what == "raises":
            with self.client.get("/ok", name=what, catch_response=True) as answer:
                raise KeyError("no such thing")
        elif what == "ignored":
            self.client.get("/ok", name=what, catch_response=True)
        elif what == "forgiven":
            with self.client.get("/503", name=what, catch_response=True) as answer:
                answer.success()
        elif what == "broken":
            with self.client.get("/close", name=what, catch_response=True) as answer:
                answer.success()
        elif what == "nested":
            with self.client.get("/ok", name=what, catch_response=True) as answer:
                self.client.get("/ok", name="within")
                self.client.get("/ok", name="within, ignored", catch_response=True)
                answer.failure("for what came after it")
        elif what == "posted":
            self.client.post("/ok", name=what, json={"a": 1})
        else:
            self.client.get("/ok", name=what, stream=True)
'''


def test_scenarios_have_the_last_word(fleet: Make, tmp_path: Any, request: pytest.FixtureRequest) -> None:
    with BadServer(lambda _: "") as server:
        made = fleet(scenario="judging", think_s=0.005, target=server.url)
        package = made.own_package(request.config.rootpath, tmp_path)
        (package / "scenarios" / "judging.py").write_text(JUDGING)
        made.run()
    assert_conserved(made, server)
    names = made.json("names-1.json")
    rows = made.requests()
    judged = {
        (names[row["name"]], formats.ERROR_CLASSES[row["error"]]) for row in rows if row["error"] != CUT
    }
    assert judged == {
        ("good", ""),
        ("bad", "scenario"),
        ("raises", "scenario"),
        ("ignored", ""),
        ("forgiven", ""),
        ("broken", "closed"),  # no scenario can call good what never came
        ("posted", ""),
        ("nested", "scenario"),
        ("within", ""),
        ("within, ignored", ""),
    }
    assert {int(row["status"]) for row in rows if names[row["name"]] == "forgiven"} - {0} == {503}
    assert "stream=True" in made.logs()
