"""Which load a search for a capacity tries next, and what its answer is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from loadproof.errors import BadInput
from loadproof.plan import capacity, experiment, levels, limits, trials
from loadproof.plan.capacity import End, Next, Outcome, Round, Seen
from loadproof.plan.values import Below, Capacity, Inventory
from loadproof.runfolder import shown
from tests.analysis import synthetic
from tests.plan.inventories import states

ASKED = Capacity((Below("p95_ms", 500.0),), 1, 1, 1000, 0.1, 5)
HOSTS = Inventory("inventory/made.yml", synthetic.HOSTS)


def seen(*tried: tuple[int, Outcome], rate: float | None = 50.0) -> list[Seen]:
    return [Seen(level, outcome, rate, 30.0) for level, outcome in tried]


def then(tried: list[Seen], *rounds: Round, asked: Capacity = ASKED) -> tuple[str, int | None]:
    """What follows: ("search", level), ("verify", level), or (kind of the answer, level)."""
    found = capacity.following(asked, 30.0, tried, rounds)
    return (found.kind if isinstance(found, End) else found.purpose, found.level)


U, OV = "under", "over"
ENDED = seen((1, U), (4, U), (16, U), (64, OV), (32, U), (45, OV), (37, U), (40, OV), (40, OV))


@pytest.mark.parametrize(
    ("tried", "level"),
    [
        ([], 1),
        ([(1, U)], 4),
        ([(1, U), (4, U)], 16),
        ([(1, U), (4, U), (16, U), (64, U), (256, U)], 1000),  # not beyond what was asked for
        ([(1, U), (4, U), (16, U), (64, OV)], 32),
        ([(1, U), (4, U), (16, U), (64, OV), (32, OV)], 22),
        ([(1, U), (4, OV)], 2),
        ([(1, U), (4, OV), (2, U)], 3),  # side by side is near enough
        ([(1, U), (4, OV), (2, U), (3, OV)], 3),  # is it over?
        ([(1, U), (4, OV), (2, U), (3, OV), (3, U)], 3),  # once and once: the majority counts
        ([(1, U), (4, OV), (2, U), (3, OV), (3, U), (3, U)], 4),
        ([(1, U), (4, OV), (2, U), (3, OV), (3, U), (3, U), (4, U), (4, U)], 16),  # 4 was by chance
        ([(1, OV)], 1),
        ([(1, U), (4, U), (16, "unmeasured")], 8),
        ([(1, "few")], 1),
    ],
)
def test_the_next_trial_of_a_search(tried: list[tuple[int, Outcome]], level: int) -> None:
    assert then(seen(*tried)) == ("search", level)


@pytest.mark.parametrize(
    ("tried", "level"),
    [
        ([(1, U), (4, OV), (2, U), (3, OV), (3, OV)], 2),
        ([(1, OV), (1, OV)], 1),  # not even one? fresh trials say so
        ([(1, U), (4, U), (16, U), (64, U), (256, U), (1000, U)], 1000),
        ([(1, U), (4, U), (16, "unmeasured"), (8, U), (11, U), (13, U), (14, U), (15, U)], 15),
    ],
)
def test_what_a_search_found_is_run_anew(tried: list[tuple[int, Outcome]], level: int) -> None:
    assert then(seen(*tried)) == ("verify", level)


def test_a_search_ends_whatever_it_sees() -> None:
    """The worst that can come: each load as often over as under, for ever."""
    tried: list[Seen] = []
    for turn in range(100):
        found = capacity.following(ASKED, 30.0, tried)
        if isinstance(found, End) or found.purpose == "verify":
            break
        tried.append(Seen(found.level, U if turn % 2 else OV, 50.0, 30.0))
    assert len(tried) <= capacity.most_searched(ASKED) < 20


def test_every_answer_comes_of_fresh_trials() -> None:
    assert then(ENDED) == ("verify", 37)
    assert then(ENDED, Round(37, 4)) == ("verify", 37)
    assert then(ENDED, Round(37, 5, "under", 0.98)) == ("found", 37)
    found = capacity.following(ASKED, 30.0, ENDED, [Round(37, 4)])
    assert isinstance(found, Next) and found.number == 5
    assert found.because == "verification 1: 37 users, fresh trial 5 of 5"


def test_what_is_not_shown_is_verified_lower_with_trials_of_its_own() -> None:
    refused = Round(37, 5, "over", 1.02)
    assert then(ENDED, refused) == ("verify", 35)
    assert then(ENDED, Round(37, 5, "over", 1.5)) == ("verify", 24)
    assert then(ENDED, Round(37, 5, "over", float("inf"))) == ("verify", 18)
    assert then(ENDED, refused, Round(35, 2)) == ("verify", 35)
    assert then(ENDED, refused, Round(35, 5, "under", 0.9)) == ("found", 35)
    levels = [37]
    while len(levels) < len(capacity.MISSES):
        levels.append(then(ENDED, *[Round(level, 5, "over", 1.01) for level in levels])[1] or 0)
    assert levels == sorted(set(levels), reverse=True)
    end = capacity.following(ASKED, 30.0, ENDED, [Round(level, 5, "over", 1.01) for level in levels])
    assert isinstance(end, End) and end.kind == "not decided" and "37" in end.why


@pytest.mark.parametrize(
    ("tried", "rounds", "answer"),
    [
        ([(1, OV), (1, OV)], [Round(1, 5, "over", 1.3, all_over=True)], ("none", None)),
        ([(1, OV), (1, OV)], [Round(1, 5, "over", 1.3)], ("not decided", None)),
        ([(1, OV), (1, OV)], [Round(1, 5, "under", 0.9)], ("found", 1)),
        ([(1, U), (4, U), (16, U), (64, U), (256, U), (1000, U)], [Round(1000, 5, "under", 0.5)], ("at least", 1000)),
        ([(1, U), (4, "unmeasured"), (2, U), (3, U)], [Round(3, 5, "under", 0.5)], ("at least", 3)),
        ([(1, "unmeasured")], [], ("not decided", None)),
        ([(1, "few"), (1, "few"), (1, "few")], [], ("not decided", None)),
        ([(1, U), (4, OV), (2, U), (3, OV), (3, OV)], [Round(2, 3, broken="trial 09 was INVALID")], ("not decided", None)),
    ],
)  # fmt: skip
def test_answers(
    tried: list[tuple[int, Outcome]], rounds: list[Round], answer: tuple[str, int | None]
) -> None:
    assert then(seen(*tried), *rounds) == answer


def test_all_that_may_go_wrong_is_five_percent() -> None:
    assert sum(capacity.MISSES) == pytest.approx(0.05)
    assert [capacity.confidence(n + 1) for n in range(len(capacity.MISSES))] == sorted(
        capacity.confidence(n + 1) for n in range(len(capacity.MISSES))
    )
    # "over in each of the fresh trials" where as many lie below as above
    assert 0.5**5 < 0.05


@pytest.mark.parametrize(
    ("figure", "values", "text"),
    [
        ("p95_ms", [485.16], "p95 485.2 ms"),
        ("p95_ms", [12345.0, 99.96, 101.0], "p95 100 to 12,345 ms"),
        ("failures", [0.0, 0.0], "failed 0 %"),
        ("failures", [0.0, None, 12.345], "failed 0 to 12.35 or - %"),
        ("mtt_ms", [None], "MTT - ms"),
    ],
)
def test_figures_in_words(figure: str, values: list[float | None], text: str) -> None:
    assert limits.spread(figure, values) == text


def test_percentiles_need_what_the_report_needs() -> None:
    assert capacity.ENOUGH.items() <= shown.ENOUGH.items()


@pytest.mark.parametrize(
    ("rates", "level", "hold_s"),
    [
        ({}, 4, 30.0),
        ({1: 50.0}, 4, 30.0),
        ({1: 1.5}, 1, 59.0),  # 1.5 times 59 at 1.5/s
        ({1: 1.5}, 4, 59.0),  # more users are not answered less
        ({4: 1.5, 16: 1.0}, 4, 59.0),
        ({4: 2.0}, 2, 89.0),  # half of the users, half of the answers at worst
        ({1: 0.01}, 1, 300.0),
        ({1: 0.0}, 1, 300.0),
    ],
)
def test_a_hold_is_long_enough_for_the_percentile(rates: dict[int, float], level: int, hold_s: float) -> None:
    tried = [Seen(at, "under", rate, 30.0) for at, rate in rates.items()]
    assert capacity.hold(ASKED, 30.0, tried, level) == hold_s


def test_too_few_answers_are_asked_for_again_for_longer() -> None:
    found = capacity.following(ASKED, 30.0, [Seen(1, "few", 1.5, 30.0)])
    assert isinstance(found, Next) and (found.level, found.hold_s) == (1, 59.0)
    assert found.because == "search: 1 user again: there were too few answers"
    end = capacity.following(ASKED, 30.0, [Seen(1, "few", 0.1, 300.0)])
    assert isinstance(end, End) and end.why == "1 user: too few answers in 300 s"


def test_a_hold_is_long_against_the_time_that_is_asked() -> None:
    slow = replace(ASKED, limits=(Below("mtt_ms", 4000.0),))
    assert capacity.shortest_hold(slow, 30.0) == 80.0
    assert capacity.shortest_hold(ASKED, 5.0) == 15.0
    thinking = experiment.capacity_search({"p95": "500ms", "think": "2s"})
    assert thinking.arms[0].load.hold_s == 40.0  # a window below 20 think times is short


def test_users_come_at_once_and_stay() -> None:
    base = experiment.capacity_search({"p95": "500ms", "processes": "2", "think": "1s"}).arms[0].load
    load = levels.users(base, 26, 40.0)
    assert load.table == ((0.0, 6), (1.0, 12), (2.0, 18), (3.0, 24), (4.0, 26))
    assert (load.processes, load.threads, load.users, load.think_s) == (2, 13, 26, 1.0)
    assert (load.ramp_end_s, load.hold_s, load.end_s) == (4.0, 40.0, 49.0)
    assert levels.users(base, 2, 40.0).users == 2


def test_every_load_is_a_multiple_of_the_processes() -> None:
    asked = replace(ASKED, least=3, step=3, most=999)
    tried: list[Seen] = []
    while isinstance(found := capacity.following(asked, 30.0, tried), Next) and found.purpose == "search":
        assert found.level % 3 == 0
        tried.append(Seen(found.level, OV if found.level > 100 else U, 50.0, 30.0))
    assert then(tried, asked=asked)[0] == "verify" and (then(tried, asked=asked)[1] or 0) in range(90, 101)


def test_the_first_trial_is_planned_as_any_other() -> None:
    asked = experiment.capacity_search({"p95": "500ms", "servers": "2", "failures": "1%"})
    (made,) = trials.trials(asked, HOSTS, "run", states(asked, HOSTS))
    assert (made.id, made.arm, made.factors) == ("01", "users=1", (("users", 1),))
    assert (made.purpose, made.because, made.folder) == ("search", "search: 1 user", "01-users-1")
    assert made.load.users == 1 and made.planned_s == made.load.end_s == 35.0
    assert (
        asked.question == "How many users may there be with p95 below 500 ms and the failed share below 1 %?"
    )
    assert asked.capacity == Capacity((Below("p95_ms", 500.0), Below("failures", 1.0)), 1, 1, 1000, 0.1, 5)


@pytest.mark.parametrize(
    ("flags", "problems"),
    [
        ({}, ["nothing is asked of the load"]),
        ({"p95": "soon"}, ["--p95: 'soon' is no length of time"]),
        ({"p95": "0"}, ["a time above 0"]),
        ({"p95": "10s"}, ["no answer takes longer than the timeout of 10s"]),
        ({"failures": "0"}, ["no trial can show 0"]),
        ({"failures": "100"}, ["below 100 %"]),
        ({"p95": "1s", "fresh": "3", "most": "5000"}, ["--most: ", "--fresh: "]),
        ({"p95": "1s", "processes": "8", "most": "4"}, ["8 processes have at least 8 users"]),
        ({"p95": "never", "servers": "none", "think": "long"}, ["--p95: ", "--servers: ", "--think: "]),
    ],
)  # fmt: skip
def test_what_cannot_be_asked(flags: dict[str, str], problems: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        experiment.capacity_search(flags)
    assert all(one in caught.value.what for one in problems), caught.value.what
    assert len(caught.value.problems) == len(problems) and caught.value.next == "inv --help capacity"
