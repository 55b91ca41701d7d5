"""Open loads with real Locust fleets: requests begin when they are due, and what could not be made is written down."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from loadproof.runfolder import formats
from loadtests.profiles import arrivals
from loadtests.profiles.arrivals import Share
from tests.loadtests.fleet import Fleet, wait_until
from tests.loadtests.server import BadServer
from tests.loadtests.test_load import assert_conserved

Make = Callable[..., Fleet]
NOT_MADE = formats.ERROR_CLASSES.index("not_made")


def due(made: Fleet, name: str, rate: float, workers: int, end_s: float) -> list[float]:
    """When requests were to be sent, of all workers, in order; the fleets here are trial 01 with seed 1."""
    parts = [
        arrivals.times(name, Share(rate, index, workers, end_s, arrivals.seed(1, "01", index + 1)))
        for index in range(workers)
    ]
    return sorted(itertools.chain(*parts))


def zero_us(made: Fleet) -> int:
    """Second 0: the first user started."""
    rows = np.concatenate([made.rows(number) for number in range(1, made.workers + 1)])
    return int(rows["start_us"][rows["kind"] == formats.KIND_USER_STARTED].min())


@pytest.mark.parametrize("name", arrivals.names())
def test_requests_begin_when_they_are_due(fleet: Make, name: str) -> None:
    with BadServer(lambda _: "slow") as server:
        made = fleet(workers=2, users=20, hold=4.0, target=server.url, rate=60.0, arrivals=name).run()
    assert_conserved(made, server)
    rows = made.requests()
    assert set(made.errors()) <= {"", "cut"}
    planned = due(made, name, 60.0, 2, 4.0)
    seen = np.sort(rows["intended_us"] - zero_us(made)) / 1e6
    assert abs(len(seen) - len(planned)) <= 2, "the last ones may fall behind the end"
    # one offset for all: what the master's word on second 0 took to come
    offset = seen[: len(planned) - 2] - np.array(planned[: len(seen)])[: len(planned) - 2]
    assert 0 <= np.median(offset) < 0.5
    assert np.abs(offset - np.median(offset)).max() < 0.1
    sent = rows["start_us"] - rows["intended_us"]
    assert sent.min() >= 0 and np.median(sent) < 20_000
    assert not rows["think_us"].any()
    assert server.seen.connections < 20, "who was free last goes first"


def test_who_waits_for_a_user_longer_than_the_timeout_is_not_made(fleet: Make) -> None:
    """A server that answers nobody, and fewer users than arrivals: times count from when a request was to be sent."""
    with BadServer(lambda _: "hang") as server:
        made = fleet(users=3, hold=4.0, target=server.url, rate=20.0, arrivals="even", timeout_s=0.5).run()
    assert_conserved(made, server)
    rows = made.requests()
    gone = rows[rows["error"] == NOT_MADE]
    assert len(gone) > 20
    waited = (gone["end_us"] - gone["intended_us"]) / 1e6
    assert waited.min() >= 0.5 and np.median(waited) < 0.7
    assert not gone["user"].any() and not gone["port"].any() and not gone["first_us"].any()
    timed_out = rows[rows["error"] == formats.ERROR_CLASSES.index("timeout")]
    assert 9 <= len(timed_out) <= 21  # 3 users, 0.5 s each, in 3 s
    assert len(server.seen.ids) < len(rows)
    assert abs(len(rows) - len(due(made, "even", 20.0, 1, 4.0))) <= 1


def test_a_load_of_failures_is_ended_by_ngrinders_rule(fleet: Make) -> None:
    with BadServer(lambda _: "503") as server:
        made = fleet(users=2, hold=40.0, target=server.url, autostop="ngrinder", think_s=0.1).start()
        wait_until(lambda: any(line.get("event") == "autostop" for line in made.live()), 30, "the rule")
        assert not any(made.wait(60)), made.logs()
    assert_conserved(made, server)
    last = made.live()[-1]
    assert (last["event"], last["rule"], last["users"]) == ("autostop", "ngrinder", 2)
    assert 10 <= last["elapsed_s"] <= 13
    assert last["failures"] == last["requests"] > 20


def test_without_the_rule_a_load_of_failures_goes_on(fleet: Make) -> None:
    with BadServer(lambda _: "503") as server:
        made = fleet(users=2, hold=12.5, target=server.url, think_s=0.1).start()
        assert not any(made.wait(60)), made.logs()
    assert not [line for line in made.live() if "event" in line]
    assert made.live()[-1]["elapsed_s"] >= 12
